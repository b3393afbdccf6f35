"""draw: a computation as a picture, in SVG. A box for each call, with its module around it; the arrows are the values.

    with tinytensor.trace(model) as t:
        model(ids, targets)[1].backward()
    tinytensor.draw(t).save("model.svg")

A rounded box beside a call is a parameter of it, a dashed one a constant. Each box says the shape of what it computes and,
after a backward, the norm of the gradient that arrived. The heavy arrows are residuals: what an addition takes besides the
result that was computed from the same value. A box has its formula, its line and its numbers as its tooltip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array, as_array, is_array
from tinytensor.base import TensorBase, is_tensor
from tinytensor.devices import to_device
from tinytensor.inside.check import argument
from tinytensor.inside.explain import maker, parameter_names
from tinytensor.inside.picture import Content, Graph, Heading, Pill, Value, svg
from tinytensor.inside.placing import Arrow, Box, Group, place
from tinytensor.inside.show import number, short
from tinytensor.inside.trace import Trace
from tinytensor.inside.watch import Call, Within, call_of, call_of_array, call_of_node
from tinytensor.tape import Node

MANY = 150  # boxes; a larger graph has one box for each module


class Drawing:
    """A picture. `svg` is its text; notebooks show it, save writes a file."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        place(graph.root, graph.arrows)
        self.svg = svg(graph)

    def save(self, path: Any) -> None:
        """Write the SVG to a file. OSError if that is not possible."""
        with open(path, "w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'

    def __repr__(self) -> str:
        size = f"{self.graph.root.width:.0f} × {self.graph.root.height:.0f}"
        return f"<drawing of {len(self.graph.boxes)} boxes and {len(self.graph.arrows)} arrows, {size}; .save('graph.svg')>"


def draw(what: Any, *, collapse: bool | int | None = None) -> Drawing:
    """A drawing of a trace, or of what a Tensor was computed from.

    collapse: True draws one box for each of the outermost modules below the model, a number n for those n levels deep,
    False a box for each call; None: False up to 150 boxes, and beyond it as deep as that many boxes allow.
    Without a trace, a Tensor's picture has what the tape knows: no modules, and nothing once its backward has run.
    TypeError for other values; ValueError if nothing computed the Tensor, or the tape has dropped it.
    """
    if isinstance(what, Trace):
        calls = list(what.calls)
        if not calls:
            raise ValueError("this trace has no calls: run the model inside of `with`, and do not switch calls off")
    elif is_tensor(what):
        call = call_of_node(what._node) or call_of(what)
        if call is None:
            return Drawing(_of_the_tape(what))
        calls = _from(call)
    else:
        raise TypeError(f"draw takes a trace or a Tensor, not {type(what).__name__}")
    return Drawing(of_calls(calls, _depth(calls, collapse)))


def _from(root: Call) -> list[Call]:
    """A call and those that computed its inputs, the oldest first."""
    stack, seen = [root], {root}
    while stack:
        new = {made for made in _makers(stack.pop()) if made is not None} - seen
        seen |= new
        stack += new
    return sorted(seen, key=lambda call: call.date)


def _makers(call: Call) -> list[Call | None]:
    """The calls that computed its inputs, and its constants."""
    made = [maker(call, i) for i in range(len(call.inputs))]
    return made + [call_of_array(x) for x in _constants(call).values()]


def _constants(call: Call) -> dict[str, Array]:
    """The arrays among the keyword arguments of the forward; single numbers do not count."""
    return {name: x for name, x in call.static.items() if is_array(x) and x.ndim}


def _depth(calls: Sequence[Call], collapse: bool | int | None) -> int | None:
    """How many levels of modules below the outermost stay open; None: all."""
    if collapse is None:
        deepest = max(len(call.within) for call in calls)
        fitting = [d for d in range(1, deepest) if len(_runs(calls, d)) <= MANY]
        return None if len(calls) <= MANY else max(fitting, default=1)
    if collapse is False:
        return None
    if collapse < 1:
        raise ValueError(f"collapse is True, False or a number from 1 on, not {collapse}")
    return int(collapse)


# ----------------------------------------------------------------------------------------- from calls


def _runs(calls: Iterable[Call], depth: int | None) -> list[tuple[tuple[Within, ...], list[Call]]]:
    """The boxes: the modules around each, and its calls. Calls in a row of one module that is closed are one box."""
    runs: list[tuple[tuple[Within, ...], list[Call]]] = []
    for call in calls:
        chain = call.within if depth is None else call.within[: depth + 1]
        closed = depth is not None and len(chain) == depth + 1
        if closed and runs and _same(runs[-1][0], chain) == len(chain) == len(runs[-1][0]):
            runs[-1][1].append(call)
        else:
            runs.append((chain, [call]))
    return runs


def _same(one: Sequence[Within], other: Sequence[Within]) -> int:
    """How many modules two chains have in common, from the outermost on."""
    pairs = zip(one, other)
    return next((i for i, (a, b) in enumerate(pairs) if a.module is not b.module), min(len(one), len(other)))


def of_calls(calls: Sequence[Call], depth: int | None = None) -> Graph:
    """A box for each call, in the groups of its modules; deeper modules than `depth` are one box each."""
    graph = Graph(Group(None))
    roots = {id(call.within[0].module): call for call in calls if call.within}.values()
    names = {key: name for call in roots for key, name in parameter_names(call).items()}
    box_of: dict[Call, Box] = {}
    opened: list[Group] = [graph.root]
    before: tuple[Within, ...] = ()
    runs = _runs(calls, depth)
    for n, (chain, run) in enumerate(runs):
        closed = depth is not None and len(chain) == depth + 1
        near = max(_same(chain, other) for other, _ in [((), None), *runs[max(n - 1, 0) : n], *runs[n + 1 : n + 2]])
        alone = not closed and len(chain) > max(near, 1)  # the innermost module makes this one call
        around = chain[:-1] if closed or alone else chain
        del opened[1 + _same(before, around) :]
        for i in range(len(opened) - 1, len(around)):
            opened.append(Group(opened[-1], Heading(_module(around, i))))
            opened[-2].children.append(opened[-1])
        before = around
        content = _module_content(chain, run) if closed else _call_content(run[0], names)
        content.frame = _module(chain, len(chain) - 1) if alone else ""
        box = _box(graph, opened[-1], content)
        box_of.update(dict.fromkeys(run, box))
    _connect(graph, calls, box_of)
    return graph


def _box(graph: Graph, group: Group, content: Content) -> Box:
    width, height, centre = content.size()
    box = Box(group, width, height, centre, content)
    group.children.append(box)
    graph.boxes.append(box)
    return box


def _module(chain: Sequence[Within], i: int) -> str:
    """Path and class of module i of the chain; the path begins where that of the module around it ends."""
    path, kind = chain[i].path, type(chain[i].module).__name__
    outer = chain[i - 1].path if i else ""
    return f"{path.removeprefix(f'{outer}.') if outer else path} · {kind}" if path else kind


def _module_content(chain: Sequence[Within], run: list[Call]) -> Content:
    count = f"{len(run)} calls" if len(run) > 1 else run[0].primitive.name
    lines = [_module(chain, len(chain) - 1), f"{count}, {_result(run[-1])}"]
    return Content(lines, f"{chain[-1].path}: {', '.join(c.primitive.name for c in run)}", "module", calls=list(run))


def _result(call: Call) -> str:
    """The shapes, and the norm of the gradient that arrived, if a backward has run."""
    shapes = ", ".join(map(_shape, call.outputs[:3])) + (f", … {len(call.outputs)}" if len(call.outputs) > 3 else "")
    if call.dy is None:
        return shapes
    total = sum(_norm(d) ** 2 for d in (call.dy if isinstance(call.dy, list) else [call.dy]) if d is not None)
    return f"{shapes}  ‖dy‖ {number(total**0.5, 2)}"


def _call_content(call: Call, names: dict[int, str]) -> Content:
    lines = [call.primitive.name, _result(call)]
    title = f"{call.primitive.formula}\n{short(call.line.file)}:{call.line.number} in {call.line.function}"
    pills = [pill for i in range(len(call.inputs)) if (pill := _pill(call, i, names)) is not None]
    for name, value in _constants(call).items():
        if call_of_array(value) is None:
            pills.append(Pill(f"{name} {_shape(value)}", "constant", f"constant {name}, {value.dtype}"))
    return Content(lines, title, pills=pills, calls=[call])


def _pill(call: Call, i: int, names: dict[int, str]) -> Pill | None:
    """For an input that no watched call computed; None for a number."""
    x = call.inputs[i]
    if x is None or maker(call, i) is not None:
        return None
    wanted = bool(call.needs and call.needs[i])
    g = call.gradients[i] if wanted and call.gradients is not None else None
    norm = "" if g is None else f" ∇ {number(_norm(g), 2)}"
    if id(x) in names:
        path = names[id(x)]
        name, kind, title = path.removeprefix(f"{call.path}."), "parameter", f"parameter {path}"
    elif wanted:
        name = "leaf" if isinstance(call.sources[i], TensorBase) else "not watched"
        kind, title = "parameter", name
    elif x.ndim == 0:
        return None
    else:
        name, kind, title = argument(call, i), "constant", f"constant {argument(call, i)}"
    return Pill(f"{name} {_shape(x)}{norm}", kind, f"{title}, {x.dtype}{norm.replace(' ∇', ', norm of its gradient')}")


def _connect(graph: Graph, calls: Sequence[Call], box_of: dict[Call, Box]) -> None:
    """The arrows: for each input and each constant that a watched call computed."""
    seen: set[tuple[Box, Box, int]] = set()
    for call in calls:
        for i, (made, x) in enumerate(zip(_makers(call), [*call.inputs, *_constants(call).values()])):
            if made not in box_of or box_of[made] is box_of[call]:
                continue
            source, target = box_of[made], box_of[call]
            if target.content.kind == "module" and (source, target, id(x)) in seen:
                continue
            seen.add((source, target, id(x)))
            g = call.gradients[i] if call.gradients is not None and i < len(call.gradients) else None
            text = f"{made.primitive.name} → {call.primitive.name}: {_shape(x)} {x.dtype}"
            text += "" if g is None else f", norm of the gradient that flows back {number(_norm(g), 3)}"
            graph.arrows.append(Arrow(source, target, Value(_shape(x), text)))
    _mark_residuals(graph)


def _mark_residuals(graph: Graph) -> None:
    """An arrow into an addition is a residual if the other input was computed from the same value."""
    bit = {box: 1 << i for i, box in enumerate(graph.boxes)}
    above: dict[Box, int] = {}  # a bit for each box that it was computed from
    entering: dict[Box, list[Arrow]] = {}
    for arrow in graph.arrows:
        entering.setdefault(arrow.target, []).append(arrow)
    for box in graph.boxes:  # the oldest first
        above[box] = bit[box]
        for arrow in entering.get(box, ()):
            above[box] |= above.get(arrow.source, 0)
        if box.content.lines[0] == "add":
            for arrow in entering.get(box, ()):
                others = [a.source for a in entering[box] if a.source is not arrow.source]
                arrow.trunk = any(above[other] & bit[arrow.source] for other in others)


def _norm(x: Any) -> float:
    return float(np.linalg.norm(to_device(as_array(x), "cpu").astype(np.float64)))


def _shape(x: Array) -> str:
    return "×".join(map(str, x.shape)) or "number"


# --------------------------------------------------------------------------------------- from the tape


def _of_the_tape(x: TensorBase) -> Graph:
    """What the nodes know: names, formulas, shapes, leaves."""
    if x._node is None:
        raise ValueError("no recorded call computed this Tensor: draw a result, or a trace")
    root: Any = x._node._call()
    if not root.inputs:
        raise ValueError("its backward has run, and the tape has dropped its graph: draw before it, or draw a trace")
    stack, seen = [root], {root}
    while stack:
        new = {edge._call() for edge in stack.pop().inputs if isinstance(edge, Node)} - seen
        seen |= new
        stack += new
    graph, box_of = Graph(Group(None)), {}
    for node in sorted(seen, key=lambda node: node.order):
        leaves = [edge for edge in node.inputs if isinstance(edge, TensorBase)]
        pills = [Pill(f"leaf {_shape(t.array)}", "parameter", f"leaf, {t.array.dtype}") for t in leaves]
        lines = [node.primitive.name, "×".join(map(str, node.shape)) or "number"]
        box_of[node] = _box(graph, graph.root, Content(lines, node.primitive.formula, pills=pills, calls=[node]))
        for edge in node.inputs:
            if isinstance(edge, Node) and edge._call() in box_of:
                shape = "×".join(map(str, edge.shape)) or "number"
                text = f"{edge._call().primitive.name} → {node.primitive.name}: {shape}"
                graph.arrows.append(Arrow(box_of[edge._call()], box_of[node], Value(shape, text)))
    _mark_residuals(graph)
    return graph
