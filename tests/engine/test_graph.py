"""What a node tells about itself: name, formula, the nodes below it; beside PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import tinytensor as tt

# made of primitives that both engines have: x * 2 is mul_scalar here, with one input
EXPRESSIONS = [
    "x * w + b",
    "(x - w) / b",
    "(x * w).sum()",
    "-x.exp().log()",
    "x.tanh() * x.sigmoid()",
    "x.split([1, 2])[1] * w[:2]",
    "(x * w).sqrt().cumsum(0)",
    "t.cat([x, w])",
    "t.where(x > 0, x, w)",
]


def tree(node: Any) -> Any:
    """The graph below a node, as names: a leaf is its shape, an input that wants no gradient is None."""
    if node is None:
        return None
    if hasattr(node, "variable"):
        return tuple(node.variable.shape)
    name = node.name().removesuffix("0").removesuffix("Backward").lower().replace("scalar", "").replace("_", "")
    return name, tuple((tree(below), index) for below, index in node.next_functions)


def below(found: Any) -> Any:
    """A tree without the names, which differ where PyTorch has another set of primitives."""
    return (
        found
        if not isinstance(found, tuple) or not found or isinstance(found[0], int)
        else [below(n) for n, _ in found[1]]
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_graph_is_pytorchs(expression: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for t in (tt, torch):
        x, w, b = (t.tensor([0.5, 1.5, 2.5], requires_grad=grad) for grad in (True, True, False))
        found.append(tree(eval(expression, {"t": t, "x": x, "w": w, "b": b}).grad_fn))
    assert below(found[0]) == below(found[1])
    assert found[0][0] == found[1][0]


@pytest.mark.parametrize("name", ["mul", "add", "sub", "div", "exp", "log", "sqrt", "tanh", "sigmoid", "sum", "cat"])
def test_names_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    names = []
    for t in (tt, torch):
        x = t.tensor([0.5, 1.5], requires_grad=True)
        arguments = {"cat": ([x, x],), "mul": (x, x), "add": (x, x), "sub": (x, x), "div": (x, x)}.get(name, (x,))
        names.append(getattr(t, name)(*arguments).grad_fn.name())
    assert names[0] == names[1]


def test_a_node_tells_what_it_computes() -> None:
    x = tt.tensor([[1.0, 2.0]], requires_grad=True)
    loss = tt.nn.functional.layer_norm(x, (2,)).sum()
    assert repr(loss.grad_fn) == "<SumBackward0: y = Σ x over axis, shape ()>"
    ((norm, index),) = loss.grad_fn.next_functions
    assert (norm.name(), index) == ("LayerNormBackward0", 0)
    assert norm.formula == "y = w (x − mean) / √(variance + ε) + b"
    (leaf, _), (weight, _), (bias, _) = norm.next_functions
    assert leaf.variable is x
    assert leaf.name() == "struct torch::autograd::AccumulateGrad"
    assert (weight, bias, leaf.next_functions) == (None, None, ())
    assert "shape (1, 2)" in repr(leaf)


def test_outputs_of_one_call_share_its_node() -> None:
    x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a, b = (x * 2).split([1, 2])
    assert a.grad_fn.name() == b.grad_fn.name() == "SplitBackward0"
    assert [node.name() for node, _ in b.grad_fn.next_functions] == ["MulBackward0"]
    assert repr(b.grad_fn).endswith("shape (2,), output 1 of 2>")
    ((call, index),) = (b + 1).grad_fn.next_functions
    assert (call.name(), index) == ("SplitBackward0", 1)
    assert call.next_functions == a.grad_fn.next_functions


def test_backward_releases_what_is_below() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    node = y.grad_fn
    y.backward()
    assert node.next_functions == ()
    assert repr(node) == "<SumBackward0: y = Σ x over axis, shape ()>"


def test_printed() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    assert str(x * x) == "tensor([1., 4.], grad_fn=<MulBackward0>)"


@pytest.mark.parametrize("name", ["output", "reshape", "getitem", "einsum"])
def test_a_function_of_ones_own_may_have_the_name_of_a_primitive(name: str) -> None:
    """What a node is does not depend on what its function is called."""
    twice = type(name, (tt.autograd.Function,), {
        "forward": staticmethod(lambda ctx, x: x * 2), "backward": staticmethod(lambda ctx, dy: dy * 2)
    })  # fmt: skip
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    y: Any = twice.apply(x)  # type: ignore[attr-defined]
    assert [node.variable for node, _ in y.grad_fn.next_functions] == [x]
    assert repr(y.grad_fn).startswith(f"<{name[:1].upper()}{name[1:]}Backward0: y = {name}(x)")
    y.mul_(3)  # a result in memory of its own, and not a view of the leaf
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]
