"""autograd.Function beside PyTorch's: what its results require, what its backward gets and may return, and the errors."""

from __future__ import annotations

import re
from typing import Any

import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")

# A program defines F and ends in what is compared. `note` keeps what the functions see.
PROGRAMS = {
    "None is saved": """
def forward(ctx, x, y): ctx.save_for_backward(x, None, y); return x * y
def backward(ctx, dy): note(len(ctx.saved_tensors), ctx.saved_tensors[1]); x, _, y = ctx.saved_tensors; return dy * y, dy * x
z = F.apply(x, w).sum()""",
    "more gradients than inputs, if they are None": """
def forward(ctx, x, n): ctx.n = n; return x * n
def backward(ctx, dy): return dy * ctx.n, None, None, None
z = F.apply(x, 3).sum()""",
    "too many": "def forward(ctx, x): return x * 2\ndef backward(ctx, dy): return dy, dy\nz = F.apply(x).sum()",
    "too few": "def forward(ctx, x, y): return x * y\ndef backward(ctx, dy): return dy\nz = F.apply(x, w).sum()",
    "a gradient for a number": """
def forward(ctx, x, n): return x * n
def backward(ctx, dy): return dy, dy
z = F.apply(x, 3).sum()""",
    "a number as a gradient": "def forward(ctx, x): return x * 2\ndef backward(ctx, dy): return 3\nz = F.apply(x).sum()",
    "another shape": "def forward(ctx, x): return x * 2\ndef backward(ctx, dy): return dy.sum()\nz = F.apply(x).sum()",
    "a shape that broadcasts": """
def forward(ctx, x): return x * 2
def backward(ctx, dy): return t.ones(4, 2)
z = F.apply(x).sum()""",
    "another dtype": """
def forward(ctx, x): return x * 2
def backward(ctx, dy): return t.ones(2, dtype=t.float64)
z = F.apply(x).sum()""",
    "results that have no gradient": """
def forward(ctx, x):
    twice, thrice = x * 2, x * 3
    ctx.mark_non_differentiable(thrice)
    return twice, x.argmax(), thrice, 5, None, x > 0
def backward(ctx, *dys): note([None if d is None else (d.tolist(), str(d.dtype)[-5:]) for d in dys]); return dys[0] * 2
ys = F.apply(x)
note([y.requires_grad for y in ys if isinstance(y, t.Tensor)], ys[3:5])
z = ys[0].sum()""",
    "gradients that are not made": """
def forward(ctx, x): ctx.set_materialize_grads(False); return x * 2, x * 3
def backward(ctx, a, b): note(a is None, b is None); return b
z = F.apply(x)[1].sum()""",
    "gradients that are made": """
def forward(ctx, x): return x * 2, x * 3
def backward(ctx, a, b): note(a.tolist(), b.tolist()); return a + b
z = F.apply(x)[1].sum()""",
    "one result in a tuple": """
def forward(ctx, x): return (x * 2,)
def backward(ctx, dy): return dy * 2
ys = F.apply(x); note(type(ys), len(ys)); z = ys[0].sum()""",
    "no Tensor": "def forward(ctx, x): return [5]\ndef backward(ctx, dy): return dy\nnote(F.apply(x)); z = x.sum()",
    "an input that is changed": """
def forward(ctx, x): x.mul_(3); ctx.mark_dirty(x); return x
def backward(ctx, dy): return dy * 3
y = x * 1; v = y[:1]; r = F.apply(y); note(r is y, y.tolist(), v.tolist(), v.requires_grad)
z = y.sum() + v.sum()""",
    "a view that is changed": """
def forward(ctx, x): x.mul_(3); ctx.mark_dirty(x); return x
def backward(ctx, dy): return dy * 3
y = x * 1; F.apply(y[:1]); z = y.sum()""",
    "a constant that is changed": """
def forward(ctx, c, x): c.add_(x); ctx.mark_dirty(c); return c
def backward(ctx, dy): return None, dy
c = t.zeros(2); F.apply(c, x); note(c.requires_grad, c.is_leaf); z = (c * 2).sum()""",
    "a leaf that is changed": """
def forward(ctx, x): x.mul_(3); ctx.mark_dirty(x); return x
def backward(ctx, dy): return dy * 3
z = F.apply(x).sum()""",
    "changed, but not returned": """
def forward(ctx, x): ctx.mark_dirty(x); return x * 2
def backward(ctx, dy): return dy
z = F.apply(x * 1).sum()""",
    "an old value that is needed": """
def forward(ctx, x): ctx.save_for_backward(x); return x * 2
def backward(ctx, dy): return dy * ctx.saved_tensors[0]
y = x * 1; z = F.apply(y).sum(); y.add_(1)""",
    "a context of its own": """
def forward(x, n=4): note(t.is_grad_enabled()); return x * n
def setup_context(ctx, inputs, output):
    note(len(inputs), inputs[1], ctx.needs_input_grad)
    ctx.n = inputs[1]; ctx.save_for_backward(inputs[0], output)
@t.autograd.function.once_differentiable
def backward(ctx, dy): note(t.is_grad_enabled(), ctx.saved_tensors[1].tolist()); return dy * ctx.n, None
z = F.apply(x).sum() + F.apply(x, n=5).sum() + F.apply(x, 6).sum()""",
    "what wants a gradient": """
def forward(ctx, x, n, c): note(ctx.needs_input_grad); return x * n + c
def backward(ctx, dy): note(ctx.needs_input_grad); return dy, None, dy
z = F.apply(x, 3, t.ones(2)).sum()""",
    "a number that is saved": """
def forward(ctx, x): ctx.save_for_backward(3); return x
def backward(ctx, dy): return dy
z = F.apply(x).sum()""",
    "an input that is returned": """
def forward(ctx, x): return x
def backward(ctx, dy): return dy * 7
y = F.apply(x); note(y is x, y.is_leaf); z = y.sum()""",
    "no forward": "z = F.apply(x).sum()",
    "no backward": "def forward(ctx, x): return x * 2\nz = F.apply(x).sum()",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_function_is_pytorchs(name: str) -> None:
    found = []
    for t in (torch, tt):
        notes: list[Any] = []
        x, w = (t.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [3.0, 4.0]))
        scope: dict[str, Any] = {"t": t, "x": x, "w": w, "note": lambda *seen, n=notes: n.append(seen)}
        functions: dict[str, Any] = {}
        lines = PROGRAMS[name].strip().splitlines()
        start = next(i for i, line in enumerate(lines) if not re.match(r"def |@|  ", line))
        exec("\n".join(lines[:start]), scope, functions)
        scope["F"] = type("F", (t.autograd.Function,), {k: staticmethod(f) for k, f in functions.items()})
        error = None
        try:
            exec("\n".join(lines[start:]), scope)
            scope["z"].backward()
        except (RuntimeError, TypeError, NotImplementedError) as raised:
            error = type(raised), re.sub(r"\W+", " ", str(raised))[:25]
        gradients = [None if p.grad is None else (p.grad.tolist(), str(p.grad.dtype)[-7:]) for p in (x, w)]
        found.append((notes, error, gradients))
    assert found[1] == found[0]
