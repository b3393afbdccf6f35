"""Placing boxes in layers, from top to bottom, with boxes inside of boxes: no two overlap, and no arrow crosses a box.

Each Group is placed on its own, the inner ones first; outside it then counts as one box. An arrow that crosses the border of
a group has a port there. Within a group: a box lies below all that it depends on (longest path); an arrow that passes
layers has a place of its own in each of them; barycenters order the layers, so that few arrows cross; least squares under
the order and the widths give the x. Source: Sugiyama, Tagawa and Toda, 1981; Gansner et al., "dot", 1993.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

GAP_X, LANE = 22.0, 8.0  # between neighbours; the width of a passing arrow
GAP_Y, BEND = 14.0, 16.0  # between layers; and more where arrows bend
PADDING, TITLE = 14.0, 22.0  # of a group; its title's height
SWEEPS = 12
STRAIGHT = 1000.0  # how much more a straight trunk counts than another straight arrow


@dataclass(eq=False, repr=False)
class Box:
    """A rectangle with text; `centre` is where arrows begin and end, from its left edge. Places are absolute."""

    group: Group
    width: float
    height: float
    centre: float
    content: Any = None
    x: float = 0.0
    y: float = 0.0


@dataclass(eq=False, repr=False)
class Arrow:
    """From the bottom of one box to the top of another. stations: x, and the two y between which it is vertical."""

    source: Box
    target: Box
    content: Any = None
    trunk: bool = False  # to be as straight as possible
    stations: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Group:
    """A box around others."""

    parent: Group | None
    content: Any = None
    children: list[Box | Group] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    level: Level = None  # type: ignore[assignment]

    def chain(self) -> list[Group]:
        """This group and those around it, the innermost first."""
        return [self, *(self.parent.chain() if self.parent else [])]


@dataclass(eq=False, repr=False)
class Item:
    """What takes room in a layer: a box, a group, a port, or an arrow that passes."""

    child: Box | Group | None
    width: float
    height: float
    layer: int = 0
    x: float = 0.0  # left edge, within the group
    above: list[Link] = field(default_factory=list)
    below: list[Link] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Link:
    """Between items of neighbouring layers, for the arrows of one source."""

    upper: Item
    lower: Item
    source: Box
    weight: float

    def top(self) -> float:
        """Its x at the upper item."""
        return self.upper.x + _meets(self.upper, self.source, leaving=True)

    def bottom(self) -> float:
        """Its x at the lower item."""
        return self.lower.x + _meets(self.lower, self.source, leaving=False)


def _meets(item: Item, source: Box, leaving: bool) -> float:
    """Where an arrow from source leaves or enters an item, from its left side: at the port of a group, else in the middle."""
    child = item.child
    if isinstance(child, Group):
        port = (child.level.out_ports if leaving else child.level.in_ports)[source]
        return port.x + port.width / 2
    return item.width / 2 if child is None else child.centre


class Level:
    """The inside of one group: its items in layers."""

    def __init__(self, group: Group, arrows: Sequence[Arrow]) -> None:
        self.group = group
        self.items = {child: Item(child, child.width, child.height) for child in group.children}
        self.in_ports: dict[Box, Item] = {}
        self.out_ports: dict[Box, Item] = {}
        self.routes: dict[tuple[Item, Item, Box], list[Item]] = {}  # the items of a whole arrow within this group
        self.trunks: set[tuple[Item, Item, Box]] = set()
        for arrow in arrows:
            ends = self.ends(arrow)
            if ends is not None and ends[0] is not ends[1]:
                self.routes.setdefault((*ends, arrow.source), [])
                self.trunks.update([(*ends, arrow.source)] if arrow.trunk else [])
        self._assign_layers()
        self.layers = self._with_passing_arrows()
        self._order()
        self._place_x()
        self._place_y()

    def ends(self, arrow: Arrow) -> tuple[Item, Item] | None:
        """The items between which an arrow runs in this group; None if it does not."""
        upper, lower = self._child(arrow.source), self._child(arrow.target)
        if upper is None and lower is None:
            return None
        if upper is None:
            upper = self.in_ports.setdefault(arrow.source, Item(None, LANE, 0.0))
        if lower is None:
            lower = self.out_ports.setdefault(arrow.source, Item(None, LANE, 0.0))
        return upper, lower

    def _child(self, box: Box) -> Item | None:
        """The item of this group that has the box inside."""
        inner: Box | Group = box
        for group in box.group.chain():
            if group is self.group:
                return self.items[inner]
            inner = group
        return None

    # ------------------------------------------------------------------------------------ layers

    def _assign_layers(self) -> None:
        """Longest path from the top; what neither a port nor the first child leads to lies just above what uses it."""
        below: dict[Item, list[Item]] = {}
        count: dict[Item, int] = dict.fromkeys([*self.in_ports.values(), *self.items.values()], 0)
        for upper, lower, _ in self.routes:
            below.setdefault(upper, []).append(lower)
            count[lower] = count.get(lower, 0) + 1
        order = [item for item, n in count.items() if n == 0]
        main = set(self.in_ports.values()) or set(order[:1])
        for item in order:
            item.layer = 1 if item.child is not None and self.in_ports else 0
        for item in order:  # it grows: a topological order
            for lower in below.get(item, ()):
                lower.layer = max(lower.layer, item.layer + 1)
                main.update([lower] if item in main else [])
                count[lower] -= 1
                if count[lower] == 0:
                    order.append(lower)
        for item in reversed(order):
            if item not in main and below.get(item):
                item.layer = max(item.layer, min(lower.layer for lower in below[item]) - 1)
        last = max((item.layer for item in self.items.values()), default=0) + 1
        for port in self.out_ports.values():
            port.layer = last

    def _with_passing_arrows(self) -> list[list[Item]]:
        """The layers, with an item for each arrow in each layer that it passes; neighbours are linked."""
        every = [*self.in_ports.values(), *self.items.values(), *self.out_ports.values()]
        layers: list[list[Item]] = [[] for _ in range(1 + max((item.layer for item in every), default=0))]
        passing: dict[tuple[Item, Box, int], Item] = {}  # those of one source share it
        for (upper, lower, source), route in self.routes.items():
            weight = STRAIGHT if (upper, lower, source) in self.trunks else 1.0
            route.append(upper)
            for n in range(upper.layer + 1, lower.layer):
                item = passing.get((upper, source, n))
                if item is None:
                    item = passing[upper, source, n] = Item(None, LANE, 0.0, n)
                    layers[n].append(item)
                self._link(route[-1], item, source, weight)
                route.append(item)
            self._link(route[-1], lower, source, weight)
            route.append(lower)
        for item in every:  # behind what passes: boxes have more room on their right
            layers[item.layer].append(item)
        return layers

    def _link(self, upper: Item, lower: Item, source: Box, weight: float) -> None:
        link = next((k for k in upper.below if k.lower is lower and k.source is source), None)
        if link is None:
            link = Link(upper, lower, source, weight)
            upper.below.append(link)
            lower.above.append(link)
        link.weight = max(link.weight, weight)

    # -------------------------------------------------------------------------------------- order

    def _order(self) -> None:
        """Sweeps by barycenter; the order with the fewest crossings stays."""
        best, fewest = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for other, layer in itertools.pairwise(self.layers if down else self.layers[::-1]):
                places = {item: i for i, item in enumerate(other)}
                key = {item: _barycentre(item, i, places, down) for i, item in enumerate(layer)}
                layer.sort(key=key.__getitem__)
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _crossings(self) -> int:
        total = 0
        for upper, lower in itertools.pairwise(self.layers):
            place = {item: i for i, item in enumerate(lower)}
            ends = [place[link.lower] for item in upper for link in sorted(item.below, key=lambda k: place[k.lower])]
            starts = [i for i, item in enumerate(upper) for _ in item.below]
            pairs = [*zip(starts, ends)]
            total += sum(a[0] < b[0] and a[1] > b[1] for a, b in itertools.combinations(pairs, 2))
        return total

    # -------------------------------------------------------------------------------------- places

    def _place_x(self) -> None:
        """Each item as near to those that it is linked to as the order allows; at last, straight below those above it."""
        for layer in self.layers:
            for left, item in zip([None, *layer], layer):
                item.x = 0.0 if left is None else left.x + left.width + GAP_X
        for sweep in range(2 * SWEEPS + 1):
            down = sweep % 2 == 0
            for layer in self.layers if down else self.layers[::-1]:
                for item, x in zip(layer, _apart(layer, down)):
                    item.x = x
        least = min((item.x for layer in self.layers for item in layer), default=0.0)
        for layer in self.layers:
            for item in layer:
                item.x += PADDING - least
        right = max((item.x + item.width for layer in self.layers for item in layer), default=0.0)
        self.width = right + PADDING

    def _place_y(self) -> None:
        self.tops, self.bottoms, y = [], [], TITLE if self.group.content is not None else GAP_Y
        for layer in self.layers:
            self.tops.append(y)
            y += max((item.height for item in layer), default=0.0)
            self.bottoms.append(y)
            bends = any(abs(link.top() - link.bottom()) > 1 for item in layer for link in item.below)
            y += GAP_Y + BEND * bends
        self.height = (self.bottoms[-1] if self.bottoms else y) + (2.0 if self.out_ports else PADDING)


def _barycentre(item: Item, own: int, places: dict[Item, int], up: bool) -> float:
    """The mean of the places of those that it is linked to."""
    linked = [link.upper for link in item.above] if up else [link.lower for link in item.below]
    return sum(places[other] for other in linked) / len(linked) if linked else float(own)


def _apart(layer: list[Item], down: bool) -> list[float]:
    """The x nearest to those wanted, by least squares, such that each is right of the one before: isotonic regression."""
    starts = [0.0, *itertools.accumulate(item.width + GAP_X for item in layer)]
    blocks: list[list[float]] = []  # mean, weight, count
    for item, start in zip(layer, starts):
        links = item.above if down else item.below
        moves = [(link.top() - link.bottom()) * (1 if down else -1) * link.weight for link in links]
        weight = sum(link.weight for link in links)
        wanted = (
            item.x + sum(moves) / weight if links else start + blocks[-1][0] if blocks else item.x
        )  # beside the last
        weight = weight * (8 if item.child is None else 1) or 1e-6
        blocks.append([wanted - start, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, count = blocks.pop()
            other = blocks[-1]
            total = other[1] + weight
            blocks[-1] = [(other[0] * other[1] + mean * weight) / total, total, other[2] + count]
    flat = [mean for mean, _, count in blocks for _ in range(int(count))]
    return [x + start for x, start in zip(flat, starts)]


# ------------------------------------------------------------------------------------------- the whole


def place(root: Group, arrows: Sequence[Arrow]) -> None:
    """Set the places of all boxes and groups below the root, and the stations of the arrows."""
    _inside(root, arrows)
    _move(root, 0.0, 0.0)
    entering: dict[Box, list[Arrow]] = {}
    for arrow in arrows:
        arrow.stations = [*_stations(arrow)]
        entering.setdefault(arrow.target, []).append(arrow)
    for box, found in entering.items():
        _spread(box, found)


def _inside(group: Group, arrows: Sequence[Arrow]) -> None:
    for child in group.children:
        if isinstance(child, Group):
            _inside(child, [a for a in arrows if child in a.source.group.chain() or child in a.target.group.chain()])
    group.level = Level(group, arrows)
    group.width = max(group.level.width, getattr(group.content, "least_width", 0.0))
    group.height = group.level.height


def _move(group: Group, x: float, y: float) -> None:
    group.x, group.y = x, y
    for child, item in group.level.items.items():
        left, top = x + item.x, y + group.level.tops[item.layer]
        if isinstance(child, Group):
            _move(child, left, top)
        else:
            child.x, child.y = left, top


def _stations(arrow: Arrow) -> Iterator[tuple[float, float, float]]:
    """Up from the source to the group that has both, and down to the target."""
    up, down = arrow.source.group.chain(), arrow.target.group.chain()
    common = next(group for group in up if group in down)
    path = [*up[: up.index(common)], common, *reversed(down[: down.index(common)])]
    for group in path:
        yield from _within(group, arrow)


def _within(group: Group, arrow: Arrow) -> Iterator[tuple[float, float, float]]:
    level = group.level
    ends = level.ends(arrow)
    assert ends is not None
    key = (*ends, arrow.source)
    route = level.routes[key]
    for item in route:
        top, bottom = group.y + level.tops[item.layer], group.y + level.bottoms[item.layer]
        if item is route[-1]:
            x = group.x + item.x + _meets(item, arrow.source, leaving=False)
            at_border = item.child is None  # a port: on to the border of the group
            yield x, top, group.y + group.height if at_border else top
        else:
            x = group.x + item.x + _meets(item, arrow.source, leaving=True)
            start = top if item.child is None else top + item.child.height
            yield x, group.y if item is route[0] and item.child is None else start, bottom


def _spread(box: Box, arrows: list[Arrow]) -> None:
    """Let several arrows end side by side, in the order in which they come, a trunk in the middle."""
    arrows = sorted(arrows, key=lambda arrow: arrow.stations[-2][0])
    trunks = [i for i, arrow in enumerate(arrows) if arrow.trunk]
    middle = trunks[0] if trunks else (len(arrows) - 1) / 2
    furthest = max(middle, len(arrows) - 1 - middle)
    step = min(18.0, 0.8 * min(box.centre, box.width - box.centre) / furthest) if furthest else 0.0
    for i, arrow in enumerate(arrows):
        x, top, bottom = arrow.stations[-1]
        arrow.stations[-1] = x + step * (i - middle), top, bottom
