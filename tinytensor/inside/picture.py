"""The picture of a graph of boxes and arrows, in SVG: its text, its colours for light and dark pages, its tooltips."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tinytensor.inside.placing import Arrow, Box, Group

LETTER = 6.7  # width of a character of the font, 11 px
LINE, SIDE = 15.0, 9.0  # height of a line of text, room beside it
FRAME, EDGE = 19.0, 7.0  # height of the heading of a frame, its room at the other sides
PILL, PILL_GAP = 17.0, 4.0

STYLE = """
.tt-draw{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:#fff}
.tt-draw text{fill:#1d2433}.tt-draw .tt-back{fill:#fff}.tt-draw .tt-faint{fill:#5b6475}
.tt-draw .tt-group{fill:#57719c;fill-opacity:.07;stroke:#9aa8bf}.tt-draw .tt-name{fill:#3c4f73;font-weight:bold}
.tt-draw .tt-call{fill:#fff;stroke:#44546e}.tt-draw .tt-module{fill:#e8eefb;stroke:#3c5a99}.tt-draw .tt-head{font-weight:bold}
.tt-draw .tt-parameter{fill:#fdf0d5;stroke:#b07a1e}.tt-draw .tt-constant{fill:#f4f4f4;stroke:#7b8494;stroke-dasharray:3 2}
.tt-draw .tt-arrow{fill:none;stroke:#6b7890;stroke-width:1.2}.tt-draw .tt-residual{stroke:#c2410c;stroke-width:2.4}
.tt-draw .tt-halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
.tt-draw .tt-small{font-size:9px}.tt-draw .tt-tip{fill:#6b7890}.tt-draw .tt-tip-residual{fill:#c2410c}
@media (prefers-color-scheme:dark){
.tt-draw{background:#14181f}.tt-draw text{fill:#e6e9ef}.tt-draw .tt-back{fill:#14181f}.tt-draw .tt-faint{fill:#a3adbd}
.tt-draw .tt-group{fill:#8fa9d8;fill-opacity:.08;stroke:#4d5b73}.tt-draw .tt-name{fill:#b9c9e8}
.tt-draw .tt-call{fill:#1d232d;stroke:#93a1b8}.tt-draw .tt-module{fill:#22304d;stroke:#88a7e6}
.tt-draw .tt-parameter{fill:#3a2e16;stroke:#d9a441}.tt-draw .tt-constant{fill:#262b33;stroke:#8a94a5}
.tt-draw .tt-arrow{stroke:#8f9cb3}.tt-draw .tt-residual{stroke:#fb923c}.tt-draw .tt-halo{stroke:#14181f}
.tt-draw .tt-tip{fill:#8f9cb3}.tt-draw .tt-tip-residual{fill:#fb923c}}
"""


@dataclass
class Pill:
    """A parameter or a constant, beside the box that uses it."""

    text: str
    kind: str  # "parameter" or "constant"
    title: str


@dataclass
class Content:
    """What a box says: its name and further lines, its tooltip, its kind ("call" or "module"), and its pills.

    frame: the heading of a module that makes this one call; it is drawn around the box.
    """

    lines: list[str]
    title: str
    kind: str = "call"
    pills: list[Pill] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    frame: str = ""

    def inner(self) -> float:
        """The width of the box itself."""
        return 2 * SIDE + LETTER * max(map(len, self.lines))

    def size(self) -> tuple[float, float, float]:
        """Width and height with the pills, and the middle of the box."""
        pills = max((_pill_width(p) for p in self.pills), default=-8.0) + 8.0
        width, height = self.inner() + pills, self.inner_height()
        if not self.frame:
            return width, height, self.inner() / 2
        width = max(width, LETTER * len(self.frame))
        return width + 2 * EDGE, height + FRAME + EDGE, self.inner() / 2 + EDGE

    def inner_height(self) -> float:
        """The height of the box itself."""
        return max(8.0 + LINE * len(self.lines), len(self.pills) * (PILL + PILL_GAP) - PILL_GAP)


@dataclass
class Heading:
    """What a group says."""

    text: str

    @property
    def least_width(self) -> float:
        """So that the text has room."""
        return 20.0 + LETTER * len(self.text)


@dataclass
class Value:
    """What an arrow carries: its shape, and the tooltip."""

    shape: str
    title: str


@dataclass
class Graph:
    """Boxes in groups, with arrows between them."""

    root: Group
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)


def svg(graph: Graph) -> str:
    """The SVG of a graph whose boxes have their places."""
    root = graph.root
    width, height = root.width, root.height
    plain = [arrow for arrow in graph.arrows if not arrow.trunk]
    heavy = [arrow for arrow in graph.arrows if arrow.trunk]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tt-draw" viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.0f}"'
        f' height="{height:.0f}" style="max-width:100%;height:auto" role="img">',
        f"<title>A computation of {len(graph.boxes)} boxes</title><style>{STYLE}</style>",
        f'<rect class="tt-back" width="{width:.1f}" height="{height:.1f}"/>',
        *_group_parts(root),
        *(part for arrow in [*plain, *heavy] for part in _arrow_parts(arrow)),
        *(part for box in graph.boxes for part in _box_parts(box)),
        *_headings(root),
        "</svg>",
    ]
    return "\n".join(parts)


def _text(x: float, y: float, text: str, css: str = "", anchor: str = "") -> str:
    end = f' text-anchor="{anchor}"' if anchor else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}"{f" class={chr(34)}{css}{chr(34)}" if css else ""}{end}>{_escaped(text)}</text>'
    )


def _escaped(text: str) -> str:
    """Text for XML, which has no control characters."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))


def _group_parts(group: Group) -> Iterable[str]:
    if group.content is not None:
        yield _rect("tt-group", group.x, group.y, group.width, group.height, 6)
    for child in group.children:
        if isinstance(child, Group):
            yield from _group_parts(child)


def _headings(group: Group) -> Iterable[str]:
    if group.content is not None:
        yield _text(group.x + 8, group.y + 15, group.content.text, "tt-name tt-halo")
    for child in group.children:
        if isinstance(child, Group):
            yield from _headings(child)


def _arrow_parts(arrow: Arrow) -> Iterable[str]:
    """A line that is vertical within layers and bends between them, with a tip."""
    (x, top, bottom), *rest = arrow.stations
    path = [f"M{x:.1f} {top:.1f}V{bottom:.1f}"]
    for nx, ntop, nbottom in rest:
        if abs(nx - x) < 0.05:
            path.append(f"V{nbottom:.1f}")
        else:
            middle = (bottom + ntop) / 2
            path.append(f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ntop:.1f}V{nbottom:.1f}")
        x, bottom = nx, nbottom
    kind = " tt-residual" if arrow.trunk else ""
    tip = "tt-tip-residual" if arrow.trunk else "tt-tip"
    yield f'<path class="tt-arrow{kind}" d="{"".join(path)}"><title>{_escaped(arrow.content.title)}</title></path>'
    yield f'<path class="{tip}" d="M{x:.1f} {bottom:.1f}l-3.5 -7h7z"/>'
    if len(arrow.stations) > 2:  # a long one says what it carries
        x, top, bottom = arrow.stations[1]
        side, anchor = (-4, "end") if bottom - top > LINE else (4, "")  # boxes stand right of an arrow that passes them
        yield _text(x + side, (top + bottom) / 2 + 4, arrow.content.shape, "tt-faint tt-halo tt-small", anchor)


def _pill_width(pill: Pill) -> float:
    return 14.0 + LETTER * len(pill.text)


def _box_parts(box: Box) -> Iterable[str]:
    content: Content = box.content
    x, y, width, height = box.x, box.y, content.inner(), content.inner_height()
    if content.frame:
        yield _rect("tt-group", x, y, box.width, box.height, 6) + _text(x + 8, y + 13, content.frame, "tt-name tt-halo")
        x, y = x + EDGE, y + FRAME
    yield f"<g><title>{_escaped(content.title)}</title>{_rect(f'tt-{content.kind}', x, y, width, height, 3)}"
    top = y + (height - 8.0 - LINE * len(content.lines)) / 2
    for i, line in enumerate(content.lines):
        yield _text(x + width / 2, top + 15 + LINE * i, line, "tt-faint" if i else "tt-head", "middle")
    yield "</g>"
    y += (height - len(content.pills) * (PILL + PILL_GAP) + PILL_GAP) / 2
    for pill in content.pills:
        yield from _pill_parts(pill, x + width, y)
        y += PILL + PILL_GAP


def _pill_parts(pill: Pill, x: float, y: float) -> Iterable[str]:
    wide = _pill_width(pill)
    yield f'<g><title>{_escaped(pill.title)}</title><path class="tt-arrow" d="M{x:.1f} {y + PILL / 2:.1f}h8"/>'
    yield _rect(f"tt-{pill.kind}", x + 8, y, wide, PILL, PILL / 2 if pill.kind == "parameter" else 2)
    yield _text(x + 8 + wide / 2, y + 12.5, pill.text, "", "middle") + "</g>"


def _rect(css: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    size = f'width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"'
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" {size}/>'
