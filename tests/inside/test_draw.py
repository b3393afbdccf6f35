"""draw: every call is there once, no two boxes overlap, arrows end at their boxes and cross none, and text is only text."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside_models import batch, gpt

import tinytensor as tt
from tinytensor import nn
from tinytensor.inside.draw import MANY, Drawing
from tinytensor.inside.placing import Arrow, Box, Group, place

SVG = "{http://www.w3.org/2000/svg}"


def traced(layers: int = 2, backward: bool = True, **options: Any) -> tt.trace:
    model = gpt(layers=layers, **options)
    x, y = batch()
    with tt.trace(model) as t:
        loss = model(x, y)[1]
        if backward:
            loss.backward()
    return t


def groups_of(group: Group) -> list[Group]:
    return [group, *(g for child in group.children if isinstance(child, Group) for g in groups_of(child))]


def overlap(a: Any, b: Any) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def curve(a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    """Points of the bend between two stations."""
    s = np.linspace(0, 1, 9)
    x = a[0] * (1 - s) ** 2 * (1 + 2 * s) + b[0] * s**2 * (3 - 2 * s)
    return [*zip(x, a[1] + (b[1] - a[1]) * s)]


def well_placed(root: Group, boxes: list[Box], arrows: list[Arrow]) -> None:
    """No overlap, everything inside of its group, arrows from border to border, and through no box."""
    for group in groups_of(root):
        for a, b in itertools.combinations(group.children, 2):
            assert not overlap(a, b)
        for child in group.children:
            assert group.x <= child.x
            assert group.y <= child.y
            assert child.x + child.width <= group.x + group.width + 1e-6
            assert child.y + child.height <= group.y + group.height + 1e-6
    for arrow in arrows:
        (x0, y0, _), (x1, _, y1) = arrow.stations[0], arrow.stations[-1]
        assert y0 == pytest.approx(arrow.source.y + arrow.source.height)
        assert arrow.source.x < x0 < arrow.source.x + arrow.source.width
        assert y1 == pytest.approx(arrow.target.y)
        assert arrow.target.x < x1 < arrow.target.x + arrow.target.width
        points = [(x, y) for x, top, bottom in arrow.stations for y in np.linspace(top, bottom, 5)]
        for (x, _, bottom), (nx, ntop, _) in itertools.pairwise(arrow.stations):
            assert bottom <= ntop + 1e-6  # downwards
            points += curve((x, bottom), (nx, ntop))
        apart = [g for g in groups_of(root) if g not in (*arrow.source.group.chain(), *arrow.target.group.chain())]
        for other in [*boxes, *apart]:
            if other is not arrow.source and other is not arrow.target:
                inside = [
                    p for p in points if other.x + 0.1 < p[0] < other.x + other.width - 0.1
                    and other.y + 0.1 < p[1] < other.y + other.height - 0.1
                ]  # fmt: skip
                assert not inside


@pytest.mark.parametrize(
    "options", [{}, {"norm": "rms", "activation": "swiglu", "kv_heads": 2}, {"tied": True, "layers": 1}]
)
def test_a_model(options: dict[str, Any]) -> None:
    t = traced(**options)
    drawing = tt.draw(t)
    assert isinstance(drawing, Drawing)
    graph = drawing.graph
    assert [call for box in graph.boxes for call in box.content.calls] == t.calls
    well_placed(graph.root, graph.boxes, graph.arrows)
    made = {id(y): call for call in t.calls for y in call.outputs}
    wanted = sorted((made[id(x)].date, call.date) for call in t.calls for x in call.inputs if id(x) in made)
    found = sorted((a.source.content.calls[0].date, a.target.content.calls[0].date) for a in graph.arrows)
    assert [pair for pair in found if pair in set(wanted)] == wanted


def test_modules_are_around_their_calls() -> None:
    graph = tt.draw(traced()).graph
    for box in graph.boxes:
        titles = [g.content.text.partition(" · ")[0] for g in reversed(box.group.chain()) if g.content]
        path = ".".join([*titles[1:], *([box.content.frame.partition(" · ")[0]] if box.content.frame else [])])
        assert path == box.content.calls[0].path


def test_a_module_is_one_box_around_its_calls() -> None:
    """Around several calls a group, around a single one a frame, as wide as what it has inside."""
    graph = tt.draw(traced()).graph
    titles = [group.content.text for group in groups_of(graph.root) if group.content]
    several = ["blocks.0 · Block", "attention · CausalSelfAttention", "feed_forward · FeedForward"]
    assert titles == ["GPT", *several, "blocks.1 · Block", *several[1:]]
    frames = [box.content.frame for box in graph.boxes if box.content.frame]
    assert frames.count("qkv · Linear") == 2
    assert not set(frames) & set(titles)
    tree = ET.fromstring(tt.draw(traced()).svg)
    rects = [
        {k: float(r.attrib[k]) for k in ("x", "y", "width", "height")}
        for r in tree.iter(f"{SVG}rect")
        if "x" in r.attrib
    ]
    for box in (box for box in graph.boxes if box.content.frame):
        assert 6.61 * len(box.content.frame) + 8 <= box.width
        inside = [r for r in rects if box.y < r["y"] < box.y + box.height and box.x < r["x"] < box.x + box.width]
        assert len(inside) == 1 + len(box.content.pills)
        assert max(r["x"] + r["width"] for r in inside) < box.x + box.width
        assert max(r["y"] + r["height"] for r in inside) < box.y + box.height


def test_residuals_stand_out() -> None:
    """Two for each layer, and they are one straight line down the whole model."""
    graph = tt.draw(traced(layers=3)).graph
    trunks = [a for a in graph.arrows if a.trunk]
    assert len(trunks) == 6
    assert {a.target.content.lines[0] for a in trunks} == {"add"}
    xs = [x for a in trunks for x, _, _ in a.stations]
    assert max(xs) - min(xs) < 2
    assert tt.draw(traced(layers=3)).svg.count("tt-residual") >= 6


def test_parameters_shapes_and_gradients_are_shown() -> None:
    t = traced()
    svg = tt.draw(t).svg
    norm = float(np.linalg.norm(t["blocks.0.feed_forward.up.weight"].grad.numpy()))
    assert f">weight 64×16 ∇ {norm:.2g}<" in svg
    assert "parameter blocks.0.feed_forward.up.weight, float32, norm of its gradient" in svg
    assert svg.count('class="tt-parameter"') == len(list(t.model.parameters()))
    assert "y = x Wᵀ + b\ngpt/model.py:" in svg
    assert ">2×8×64  ‖dy‖ " in svg
    assert re.search(
        r"<title>layer_norm → linear: 2×8×16 float32, norm of the gradient that flows back [0-9.e−-]+</title>", svg
    )
    assert "‖dy‖" not in tt.draw(traced(backward=False)).svg


@pytest.mark.parametrize("collapse", [1, 2, True])
def test_closed_modules_are_one_box(collapse: bool | int) -> None:
    t = traced(layers=3)
    graph = tt.draw(t, collapse=collapse).graph
    assert [call for box in graph.boxes for call in box.content.calls] == t.calls
    well_placed(graph.root, graph.boxes, graph.arrows)
    names = [box.content.lines[0] for box in graph.boxes]
    if collapse == 1:
        assert [n for n in names if "Block" in n] == ["blocks.0 · Block", "blocks.1 · Block", "blocks.2 · Block"]
    else:
        assert names.count("attention · CausalSelfAttention") == 3
        assert sum(a.trunk for a in graph.arrows) == 6


def test_a_large_model_is_closed_as_far_as_needed() -> None:
    t = traced(layers=8)
    assert len(t.calls) > MANY
    assert len(tt.draw(t).graph.boxes) <= MANY
    assert len(tt.draw(t, collapse=False).graph.boxes) == len(t.calls)
    with pytest.raises(ValueError, match="collapse is True, False or a number from 1 on, not -1"):
        tt.draw(t, collapse=-1)


def test_the_picture_is_xml_and_its_text_is_text(tmp_path: Path) -> None:
    name = '</text><script>alert("1")</script>\u202e\x07&'
    model = nn.Sequential()
    model.add_module("a", type(name, (nn.Linear,), {})(2, 2))
    model.add_module("b", nn.Tanh())
    with tt.trace(model) as t:
        model(tt.ones(1, 2))
    drawing = tt.draw(t)
    tree = ET.fromstring(drawing.svg)
    assert tree.find(f".//{SVG}script") is None
    assert "<script" not in drawing._repr_html_()
    assert any("</text><script>" in (text.text or "") for text in tree.iter(f"{SVG}text"))
    assert "\u202e" not in drawing.svg
    assert "\x07" not in drawing.svg
    drawing.save(tmp_path / "a.svg")
    assert ET.parse(tmp_path / "a.svg").getroot().tag == f"{SVG}svg"
    assert drawing._repr_svg_() == drawing.svg
    width = float(tree.attrib["viewBox"].split()[2])
    assert max(float(r.attrib.get("x", 0)) + float(r.attrib["width"]) for r in tree.iter(f"{SVG}rect")) <= width + 0.1
    assert "prefers-color-scheme:dark" in drawing.svg


def test_text_fits_into_its_box() -> None:
    drawing = tt.draw(traced())
    tree = ET.fromstring(drawing.svg)
    for g in tree.iter(f"{SVG}g"):
        rect, texts = g.find(f"{SVG}rect"), g.findall(f"{SVG}text")
        assert rect is not None
        for text in texts:
            assert 6.61 * len(text.text or "") <= float(rect.attrib["width"])  # a monospaced font of 11 px
            inside = float(text.attrib["y"]) - float(rect.attrib["y"])
            assert 0 < inside < float(rect.attrib["height"])


def test_a_tensor_of_a_trace_has_what_it_was_computed_from() -> None:
    t = traced(backward=False)
    graph = tt.draw(t["blocks.0.attention.scores"]).graph
    names = [box.content.lines[0] for box in graph.boxes]
    assert names[0] in ("getitem", "embedding")
    assert names[-1] == "where"
    assert "softmax" not in names
    assert "gelu" not in names
    assert "embedding" in names


def test_without_a_trace_the_tape_is_drawn() -> None:
    x = tt.ones(2, 3, requires_grad=True)
    y = (x * 2 + x.exp()).sum()
    graph = tt.draw(y).graph
    assert sorted(box.content.lines[0] for box in graph.boxes) == ["add", "exp", "mul_scalar", "sum"]
    assert sum(len(box.content.pills) for box in graph.boxes) == 2
    well_placed(graph.root, graph.boxes, graph.arrows)
    a, b = x.split(1)
    split = tt.draw(a + b).graph
    assert [box.content.lines[0] for box in split.boxes] == ["split", "add"]
    y.backward()
    with pytest.raises(ValueError, match="its backward has run"):
        tt.draw(y)
    with pytest.raises(ValueError, match="no recorded call computed this Tensor"):
        tt.draw(x)
    with pytest.raises(TypeError, match="draw takes a trace or a Tensor, not int"):
        tt.draw(3)
    with pytest.raises(ValueError, match="this trace has no calls"):
        tt.draw(tt.trace())


def test_the_same_value_twice_and_a_long_chain() -> None:
    with tt.trace() as t:
        x = tt.ones(2) + 1
        x = x * x
        for _ in range(300):
            x = x + 1
    graph = tt.draw(t).graph
    assert len(graph.boxes) == 302
    assert len({a.stations[-1][0] for a in graph.arrows if a.target is graph.boxes[1]}) == 2  # side by side


@st.composite
def graphs(draw: Any) -> tuple[Group, list[Box], list[Arrow]]:
    """A random graph: boxes in the order in which they were computed, in nested groups, each of which is one stretch of them."""
    root = Group(None)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    opened = [root]
    for _ in range(draw(st.integers(1, 14))):
        for _ in range(draw(st.integers(0, 2))):
            if len(opened) > 1 and opened[-1].children:
                opened.pop()
        for _ in range(draw(st.integers(0, 2)) if len(opened) < 4 else 0):
            opened.append(Group(opened[-1], content="module"))
            opened[-2].children.append(opened[-1])
        width = draw(st.floats(10, 300))
        box = Box(opened[-1], width, draw(st.floats(5, 90)), width * draw(st.floats(0.2, 0.8)))
        for source in draw(st.lists(st.sampled_from(boxes), max_size=3)) if boxes else []:
            arrows.append(Arrow(source, box, trunk=draw(st.booleans())))
        opened[-1].children.append(box)
        boxes.append(box)
    return root, boxes, arrows


@given(graphs())
def test_any_graph_is_well_placed(graph: tuple[Group, list[Box], list[Arrow]]) -> None:
    root, boxes, arrows = graph
    place(root, arrows)
    well_placed(root, boxes, arrows)
