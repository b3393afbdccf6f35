"""Random graphs of 50 operations beside PyTorch: every value, every leaf's gradient, and what has none.

An instruction is a line of code that works with either library: it reads x and y, two of the values so far, and makes
z. All values are 3 × 3 and of the order of 1, so that rounding stays rounding; nothing decides by comparing values that
may be equal but for rounding. "z = x" stands first: a failing program shrinks to the few lines that matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")

LINES = [
    "z = x",
    "z = (x + y) / 2",
    "z = x - y * 0.5",
    "z = x * y.sigmoid()",
    "z = x * x.tanh() * 0.5",
    "z = x / (y * y + 1)",
    "z = (x @ y.softmax(-1)) * 0.5",
    "z = t.einsum('ij,kj->ik', x, y.softmax(0)) * 0.5",
    "z = t.nn.functional.linear(x, y, x[0]).tanh()",
    "z = x.sin() + y.cos()",
    "z = (-x).exp() * 0.1 + y",
    "z = (x * x + 1).sqrt() - (y * y + 1).log()",
    "z = t.nn.functional.gelu(x) + t.nn.functional.silu(y)",
    "z = t.nn.functional.layer_norm(x, (3,), y[0], y[1])",
    "z = t.nn.functional.scaled_dot_product_attention(x, y, x, is_causal=True)",
    "z = x.log_softmax(1) * 0.5",
    # views, broadcasting, reductions, indices
    "z = x.t()",
    "z = x.reshape(9).view(3, 3)",
    "z = x[1:2].expand(3, 3)",
    "z = x[:, :1] * y[2] + x.mean()",
    "z = x.unsqueeze(0).permute(2, 0, 1).squeeze(1)",
    "z = x.sum(0, keepdim=True) * 0.3 - y.mean(1, keepdim=True)",
    "z = x[[2, 0, 2]] * y[:, [1, 1, 0]]",
    "z = x.gather(1, t.tensor([[0, 0, 2], [1, 1, 1], [2, 0, 2]]))",
    "z = x.flip(0).roll(1, 1) + y.tril() - y.triu(1)",
    "z = x.cumsum(0) * 0.3",
    "z = t.where(x > 0.1, x, y)",
    "z = t.maximum(x, y.roll(1, 0) * 0.9 + 0.05)",
    "z = x.clamp(-0.5, 0.7) + y.relu()",
    "z = (x + t.arange(9.0).view(3, 3)).max(1, keepdim=True)[0] * 0.1 + y",
    # several outputs, some of them unused
    "a, b = x.split([1, 2]); z = t.cat([b, a])",
    "a, b, c = x.unbind(1); z = t.stack([c, a, c])",
    "a, b, c = x.split(1, 1); z = b * y",
    "a, b = (x + t.arange(9.0).view(3, 3)).sort(0, descending=True); z = a * 0.1 + y",
    # constants: detached values, and islands that are not recorded
    "z = x.detach()",
    "z = x.detach() * y",
    "with t.no_grad(): z = x * y.tanh()",
    "z = x * t.ones(3, 3, dtype=t.float64) + 0.5",
    # in place, on results
    "z = x + y; z.mul_(0.5); z.add_(x, alpha=0.1)",
    "z = x * 1; z.mul_(y.sigmoid())",
    "z = x - y; z.div_(y * y + 1); z -= 0.1",
    "z = x.clone(); z[0] = y[1]",
    "z = x * 0.5; z[:, 1] += y[0]; z[1:, :2] = 0.3",
    "z = t.zeros(3, 3, dtype=t.float64); z[1] = x[0]; z[:, 2] = y[1]; z = z + x * 0.5",
    "z = x.clone(); z.masked_fill_(t.eye(3) == 1, 0.2); z.clamp_(max=0.9)",
    "z = x * 1; z.copy_(y[0]); z = z * x.sin()",
    "z = t.zeros(3, 3, dtype=t.float64); z.copy_(x[0]); z = z * y",
    "z = t.zeros(3, 3, dtype=t.float64); z.fill_(x.mean()); z = z + y",
]
# In place on any value, whatever else reads it: results, constants, their views; leaves refuse.
WRITES = [
    "x.add_(y.sin())",
    "x.mul_(0.5)",
    "x[1] = y[0] * 1",
    "x[:, 1] += y[2]",
    "x.clamp_(min=-0.4)",
    "x.copy_(y[1] * 0.5)",
    "x.fill_(0.5)",
    "x.copy_(y.detach().sin())",
    "x *= y.tanh()",
    "r = x[1]; r *= 0.5",
    "r = x[:2]; r[1] += y[0]",
    "r = x[0]; r -= 0.1; x[0] = r",
    "r = x[0]; r -= 0.1; x[1] = r",
    "r = x[1:]; r *= 2; x[0] += r[1]; x[1:] = r",
    "x.masked_fill_(t.eye(3) == 1, 0.2)",
    # through views of views, by lists, numbers and masks
    "x[0, [0, 2]] = y[1, :2] * 1",
    "x[1][[0, 2]] = y[0, 1:] * 2",
    "x[:, 1][y[0].detach() > 0] = 0.25",
    "x.view(-1)[[1, 5]] = y[2, :2].sin()",
    "x.t()[1:, [2, 0]] = y[:2, :2].cos()",
    "x.t().unsqueeze(1)[1] *= y[:1] * 1",
    "x[x.detach() > 0.3] = y.sum() * 0.1",
    "x[None].expand(1, 3, 3)[0, 2].add_(y[1])",
    "x[0] = x[0].detach()",
    "x.view(3, 1, 3)[:, 0, 1:].copy_(y[:, 0:1])",
    "a, b = x[1:]; a.mul_(b)",
    "z = x.detach(); z[2] = y.detach()[0]",
    "with t.no_grad(): x[1] *= 0.5",
    # views that are kept, and read or written later
    "z = x[:]",
    "z = x.view(9).view(3, 3)",
    "z = x.t().t()",
    "z = t.zeros(9, dtype=t.float64).view(3, 3)",
    "z = t.zeros(4, 5, dtype=t.float64)[1:, ::2]",
    "z = (x * y).repeat(2, 2)[1:4, 2:5]",
    "z = t.cat([x, y], 1)[:, 1:6:2]",
]

Instruction: TypeAlias = tuple[str, int, int]  # a line, and how far back x and y lie
CODE = {line: compile(line, line, "exec") for line in LINES + WRITES}


def programs(lines: list[str], length: int) -> st.SearchStrategy[list[Instruction]]:
    instruction = st.tuples(st.sampled_from(lines), st.integers(0, 9), st.integers(0, 9))
    return st.lists(instruction, min_size=length, max_size=length)


class Run:
    """A program carried out with one of the libraries."""

    def __init__(self, t: Any, program: Sequence[Instruction] = ()) -> None:
        rng = np.random.default_rng(0)
        self.t = t
        self.leaves = [t.tensor(rng.standard_normal((3, 3)), requires_grad=True) for _ in range(3)]
        self.values = [*self.leaves, self.leaves[0] * 2]
        for instruction in program:
            self.do(*instruction)

    def do(self, line: str, i: int, j: int) -> None:
        x, y = (self.values[-1 - back % len(self.values)] for back in (i, j))
        names = {"t": self.t, "x": x, "y": y}
        exec(CODE[line], names)
        self.values.append(names.get("z", x))

    def backward(self) -> None:
        """From two roots: some values, weighted, and the sum of others."""
        last = self.values[-1] if self.values[-1].requires_grad else self.leaves[1] * 2
        total = sum((v.sum() for v in self.values[4::7]), self.leaves[0].sum())
        weights = self.t.arange(9.0, dtype=self.t.float64).view(3, 3) / 9
        self.t.autograd.backward([last, total], [weights, None])

    def results(self) -> dict[str, Any]:
        """What the two libraries must agree on."""
        return {
            "values": [v.detach().numpy() for v in self.values],
            "gradients": [None if x.grad is None else x.grad.numpy() for x in self.leaves],
            "recorded": [(v.requires_grad, v.is_leaf, tuple(v.shape)) for v in self.values],
        }


def assert_same(ours: Run, theirs: Run) -> None:
    """To rounding: float64 has 1e-16, and 50 operations whose derivatives are up to about 3 lose four digits of it."""
    a, b = ours.results(), theirs.results()
    assert a["recorded"] == b["recorded"]
    for x, y in zip(a["values"], b["values"], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)
    for x, y in zip(a["gradients"], b["gradients"], strict=True):
        assert (x is None) == (y is None)
        if y is not None:
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12 * max(1.0, np.abs(y).max()))


@cases(40)
@given(programs(LINES, 50))
def test_values_and_gradients_are_pytorchs(program: list[Instruction]) -> None:
    runs = Run(tt, program), Run(torch, program)
    for run in runs:
        run.backward()
    assert_same(*runs)


@pytest.mark.parametrize("line", LINES)
def test_each_line_alone(line: str) -> None:
    """On different and on equal operands, twice in a row."""
    program = [(line, 3, 1), (line, 0, 0), (line, 2, 3)]
    runs = Run(tt, program), Run(torch, program)
    for run in runs:
        run.backward()
    assert_same(*runs)


@cases(100)
@given(programs(LINES[::3] + 2 * WRITES, 16))
def test_in_place_on_any_value_is_right_or_refused(program: list[Instruction]) -> None:
    """A line that one of the libraries refuses is left out; of what both accept, no value and no gradient is wrong."""
    accepted: list[Instruction] = []
    trials = [Run(tt), Run(torch)]
    for instruction in program:
        refusals = [refused(trial.do, *instruction) for trial in trials]
        if any(refusals):
            trials = [Run(tt, accepted), Run(torch, accepted)]  # a part of the line may have been carried out
        else:
            accepted.append(instruction)
    refusals = [refused(run.backward) or refused(run.results) for run in trials]
    if not any(refusals):
        assert_same(*trials)


def refused(call: Any, *args: Any) -> bool:
    """Whether it says that in-place operations stand in the way."""
    try:
        call(*args)
    except RuntimeError as error:
        if not re.search("in-?place|share memory|leaf|single memory location", str(error)):
            raise
        return True
    return False
