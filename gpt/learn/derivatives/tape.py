"""The tape: a reader's backward plays graphs of a few calls, and of many; each call counts how often it is played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpt.learn import recorded
from gpt.learn.call import EXACT, SINGLE, Call, Cause, Function
from gpt.learn.derivative import Derivative
from gpt.learn.differences import complex_step
from gpt.learn.exercise import Array, Arrays, Fault
from gpt.learn.graphs import GRAPHS, Operations, Plain, reached
from gpt.learn.pair import Generator

LONG = 1e-9  # of the largest element: thousands of additions, one after the other, lose some digits
# A mistake, and how to play a graph with it: Nodes as they are met, not by age; gradients that are added, or replaced.
USUAL = (
    ("a gradient replaces the one that was there; the gradients of all uses add up", False, False),
    (
        "Nodes are played as they are met, before all that use them were played, so a part of their gradient is lost",
        True,
        True,
    ),
    ("Nodes are played as they are met, and gradients replace each other", True, False),
)


def replay(root: Any, dy: Array, met: bool, adds: bool) -> None:
    """Play a graph with one of these mistakes."""
    root.grad = dy
    nodes = reached(root)
    for node in nodes if met else sorted(nodes, key=lambda each: -int(each.age)):
        if node.backward is not None and node.grad is not None:
            for each, dx in zip(node.inputs, node.backward(node.grad)):
                each.grad = dx if each.grad is None or not adds else each.grad + dx


@dataclass
class Drawn:
    """A graph with its leaves, by name, its root, and what its calls noticed."""

    leaves: dict[str, Any]
    root: Any
    faults: list[Fault]

    def below(self) -> dict[str, Any]:
        """The leaves that the root depends on."""
        nodes = {id(node) for node in reached(self.root)}
        return {name: leaf for name, leaf in self.leaves.items() if id(leaf) in nodes}


@dataclass
class GraphCall(Call):
    """A call of backward(root, dy) on a graph that is built anew; the gradients of leaves and root are its results."""

    build: Callable[[], Drawn] = field(kw_only=True)

    def play(self, function: Function) -> Any:
        drawn = self.build()
        result = function(drawn.root, *self.arguments)
        if drawn.faults:
            raise drawn.faults[0]
        if result is not None:
            raise Fault("backward returns something; it sets .grad of the Nodes, and returns nothing")
        nodes, below = reached(drawn.root), drawn.below()
        missing = sum(node.grad is None for node in nodes)
        if missing:
            raise Fault(f"{missing} of {len(nodes)} Nodes have no gradient: their .grad is None")
        return (*(leaf.grad for leaf in below.values()), drawn.root.grad)


class Tape(Derivative):
    """Write backward(root, dy) over Nodes that are given."""

    def calls(self, rng: Generator) -> Iterator[Call]:
        for row in recorded.rows(self.name):
            yield self.call(row["static"]["graph"], row["inputs"], row["result"]["dy"], row["gradients"])
        for dtype in (np.float64, np.float32):
            for graph in GRAPHS:
                if graph == "chain" and dtype == np.float32:
                    continue  # float32 loses half of its digits on the way
                inputs = {name: np.asarray(rng.uniform(0.4, 0.9, 2)).astype(dtype) for name in ("x", "y")}
                yield self.call(graph, inputs, np.asarray(rng.standard_normal(2)).astype(dtype))

    def drawn(self, graph: str, inputs: Arrays, watched: bool) -> Drawn:
        """The graph, on new leaves with these values."""
        operations = Operations(self.given["Node"], watched)
        leaves = {name: operations.leaf(x) for name, x in inputs.items()}
        return Drawn(leaves, GRAPHS[graph][1](operations, *leaves.values()), operations.faults)

    def call(self, graph: str, inputs: Arrays, dy: Array, right: Arrays | None = None) -> Call:
        """A call of backward on a graph, and the gradients that it must set; without `right` by differences."""
        exact, wide = {name: x.astype(np.float64) for name, x in inputs.items()}, dy.astype(np.float64)

        def forward(**leaves: Array) -> tuple[Array, tuple[Any, ...]]:
            return GRAPHS[graph][1](Plain(), *leaves.values()), ()

        def causes() -> Iterator[Cause]:
            for text, met, adds in USUAL:
                drawn = self.drawn(graph, exact, watched=False)
                replay(drawn.root, wide, met, adds)
                for name, leaf in drawn.below().items():
                    yield f"{name}.grad", text, np.asarray(leaf.grad)

            drawn = self.drawn(graph, exact, watched=False)
            replay(drawn.root, np.ones_like(wide), met=False, adds=True)
            for name, leaf in {**drawn.below(), "root": drawn.root}.items():
                yield f"{name}.grad", "dy is missing: the root's gradient is dy, not 1", np.asarray(leaf.grad)

        source, limit = "PyTorch's recorded numbers", EXACT
        if right is None:
            below = self.drawn(graph, exact, watched=False).below()
            right = {f"{name}.grad": wide @ complex_step(forward, exact, {}, name) for name in below}
            source, limit = "differences of numbers drawn now", LONG
        if dy.dtype == np.float32:
            source, limit = "float64 results, for float32 numbers drawn now", SINGLE
        shape = {name: name.partition(".")[0] for name in (*right, "root.grad")}
        title = GRAPHS[graph][0] + (" in float32" if dy.dtype == np.float32 else "")
        return GraphCall(title, (dy,), {**right, "root.grad": wide}, shape, source, limit, causes, dtype=dy.dtype,
                         build=lambda: self.drawn(graph, inputs, watched=True))  # fmt: skip


TAPE = Tape("tape", "02-tape")
