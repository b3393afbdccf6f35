"""Values and gradients where calculus has none, or several: at nan, ±∞, signed zeros and ties, each as PyTorch chose it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from grouped import over

import tinytensor as tt

torch = pytest.importorskip("torch")

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, 3.0, 6.0, -6.0, 1.5, -1.5]
FAR = [
    s * x for x in (1e30, 1e-30, 1e-40, 20.0, 21.0, 90.0, 800.0, 1e10) for s in (1, -1)
]  # 1e-40: a float32 with few bits
Function = Callable[..., Any]  # of a library and one Tensor, or two


def F(t: Any) -> Any:
    return t.nn.functional


METHODS = (
    "abs exp expm1 log log1p log2 log10 sqrt rsqrt square reciprocal sin cos tanh sigmoid relu erf neg sign floor ceil"
)
ONE: dict[str, Function] = {
    **{name: lambda t, x, name=name: getattr(x, name)() for name in (METHODS + " trunc round").split()},
    "silu": lambda t, x: F(t).silu(x),
    "elu": lambda t, x: F(t).elu(x),
    "elu of 0.5": lambda t, x: F(t).elu(x, alpha=0.5),
    "leaky_relu": lambda t, x: F(t).leaky_relu(x),
    "softplus": lambda t, x: F(t).softplus(x),
    "logsigmoid": lambda t, x: F(t).logsigmoid(x),
    "clamp": lambda t, x: x.clamp(0, 1),
    "clamp from below": lambda t, x: x.clamp(min=-1.0),
    "clamp from above": lambda t, x: x.clamp(max=1.0),
    **{f"power {c}": lambda t, x, c=c: x**c for c in (0, 1, 2, 3, 0.5, -1, -0.5, 2.5, -2)},
    "2 to a power": lambda t, x: 2.0**x,
    "0 to a power": lambda t, x: 0.0**x,
    "times inf": lambda t, x: x * math.inf,
    "times 0": lambda t, x: x * 0,
    "over 2": lambda t, x: x / 2,
    "2 over": lambda t, x: 2 / x,
    "1 minus": lambda t, x: 1 - x,
    "masked_fill": lambda t, x: x.masked_fill(x.detach() > 0, 2.0),
    "prod of one": lambda t, x: x.unsqueeze(-1).prod(-1),
    "norm of one": lambda t, x: x.unsqueeze(-1).norm(dim=-1),
    "norm 1 of one": lambda t, x: x.unsqueeze(-1).norm(1, dim=-1),
    **{f"norm {p} of one": lambda t, x, p=p: x.unsqueeze(-1).norm(p, dim=-1) for p in (3, 0.5, 1.5, math.inf)},
    "normalize": lambda t, x: F(t).normalize(x.unsqueeze(-1), dim=-1),
    "gelu": lambda t, x: F(t).gelu(x),
    "gelu by tanh": lambda t, x: F(t).gelu(x, approximate="tanh"),
    "binary_cross_entropy_with_logits": lambda t, x: F(t).binary_cross_entropy_with_logits(
        x, t.full_like(x.detach(), 0.25), reduction="none"
    ),
    "std of one": lambda t, x: x.unsqueeze(-1).std(-1),
    "std of one without correction": lambda t, x: x.unsqueeze(-1).std(-1, unbiased=False),
    "var of one without correction": lambda t, x: x.unsqueeze(-1).var(-1, unbiased=False),
    "softmax of one": lambda t, x: x.unsqueeze(-1).softmax(-1),
    "logsumexp of one": lambda t, x: x.unsqueeze(-1).logsumexp(-1),
}
TWO: dict[str, Function] = {
    "maximum": lambda t, x, y: t.maximum(x, y),
    "minimum": lambda t, x, y: t.minimum(x, y),
    "max of two": lambda t, x, y: t.max(x, y),
    "power": lambda t, x, y: x**y,
    "div": lambda t, x, y: x / y,
    "mul": lambda t, x, y: x * y,
    "add": lambda t, x, y: x + y,
    "sub": lambda t, x, y: x - y,
    "clamp min": lambda t, x, y: x.clamp(min=y),
    "clamp max": lambda t, x, y: x.clamp(max=y),
    "where": lambda t, x, y: t.where(x.detach() > 0, x, y),
    "clamp between": lambda t, x, y: t.clamp(x, y, y + 1),
    "clamp between limits that cross": lambda t, x, y: t.clamp(x, y, -y),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.3),
    "lerp from the end": lambda t, x, y: t.lerp(x, y, 0.7),
    "lerp by one of them": lambda t, x, y: t.lerp(x, y, x),
    "addcmul": lambda t, x, y: t.addcmul(x, x, y),
    "addcmul of 0.5": lambda t, x, y: t.addcmul(y, x, y, value=0.5),
    "addcdiv": lambda t, x, y: t.addcdiv(x, x, y),
    "addcdiv of 2": lambda t, x, y: t.addcdiv(y, x, y, value=2),
    "huber_loss": lambda t, x, y: F(t).huber_loss(x, y, reduction="none"),
    "smooth_l1_loss": lambda t, x, y: F(t).smooth_l1_loss(x, y, reduction="none"),
    "l1_loss": lambda t, x, y: F(t).l1_loss(x, y, reduction="none"),
    "mse_loss": lambda t, x, y: F(t).mse_loss(x, y, reduction="none"),
    "kl_div": lambda t, x, y: F(t).kl_div(x, y, reduction="none"),
    "kl_div of logarithms": lambda t, x, y: F(t).kl_div(x, y, reduction="none", log_target=True),
    **{
        name: lambda t, x, y, name=name: getattr(t.stack([x, y]), name)(0)
        for name in ("amax", "amin", "prod", "softmax", "logsumexp", "cumsum", "mean", "var")
    },
    "max": lambda t, x, y: t.stack([x, y]).max(0).values,
    "min": lambda t, x, y: t.stack([x, y]).min(0).values,
    "log_softmax": lambda t, x, y: t.stack([x, y]).log_softmax(0),
    "norm": lambda t, x, y: t.stack([x, y]).norm(dim=0),
    **{f"norm {p}": lambda t, x, y, p=p: t.stack([x, y]).norm(p, dim=0) for p in (1, 3, 0.5, 1.5, 4, math.inf)},
    "std": lambda t, x, y: t.stack([x, y]).std(0),
    "std without correction": lambda t, x, y: t.stack([x, y]).std(0, correction=0),
    "normalize": lambda t, x, y: F(t).normalize(t.stack([x, y]), dim=0),
    "cosine_similarity": lambda t, x, y: F(t).cosine_similarity(t.stack([x, y]), t.stack([y, x]), dim=0),
    "rms_norm": lambda t, x, y: F(t).rms_norm(t.stack([x, y], 1), (2,)),
    "sort": lambda t, x, y: t.stack([x, y]).sort(0).values,
    "topk": lambda t, x, y: t.stack([x, y]).topk(1, 0).values,
    "binary_cross_entropy_with_logits": lambda t, x, y: F(t).binary_cross_entropy_with_logits(x, y, reduction="none"),
    "cross_entropy": lambda t, x, y: F(t).cross_entropy(
        t.stack([x, y], 1), t.zeros(len(x), dtype=t.int64), reduction="none"
    ),
    "glu": lambda t, x, y: F(t).glu(t.stack([x, y]), 0),
}
# Of these numbers PyTorch's loops differ, of vectors and of what is left over.
TWO_WAYS = {"elu": [math.nan], "elu of 0.5": [math.nan], "gelu": [math.inf]}
PRODUCTS = [
    [1e30, 1e30], [1e30, 1e30, 0.0], [1e30, 1e30, 2.0], [0.0, 0.0, 3.0], [0.0, 2.0, 3.0], [math.inf, 2.0], [math.nan, 2.0],
    [math.inf, 0.0], [-0.0, 3.0], [1e-30, 1e-30, 1e30], [0.0, 1e30, 1e30], [math.nan, 0.0], [2.0],
]  # fmt: skip


def played(t: Any, function: Function, *arrays: np.ndarray) -> list[np.ndarray]:
    """The value, and the gradients of a sum weighted with 1, −2 and ½ in turn."""
    xs = [t.from_numpy(a.copy()).requires_grad_() for a in arrays]
    y = function(t, *xs)
    if y.requires_grad:
        y.backward(t.from_numpy(np.resize(np.array([1, -2, 0.5], arrays[0].dtype), tuple(y.shape))))
    return [y.detach().numpy(), *(x.grad.numpy() for x in xs if x.grad is not None)]


def same(function: Function, *arrays: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = played(tt, function, *arrays)
        warnings.simplefilter("ignore")  # PyTorch warns of the deviation of one number
        theirs = played(torch, function, *arrays)
    assert len(ours) == len(theirs)
    rounding = 64 * float(np.finfo(arrays[0].dtype).eps)
    for a, b, name in zip(ours, theirs, ("value", "gradient of x", "gradient of y"), strict=False):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(
            a, b, rtol=rounding, atol=rounding, err_msg=name
        )  # nan and ∞ are equal to themselves


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("infinite", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["relu", "maximum", "minimum", "where", "clamp", "masked_fill"])
def test_no_infinite_gradient_passes_where_none_does(name: str, infinite: float, dtype: str) -> None:
    """0·∞ is nan: an input that was not chosen gets 0, whatever the gradient is."""

    def gradients(t: Any) -> list[list[float]]:
        x, y = (t.tensor([a, -a, 2 * a], dtype=getattr(t, dtype)).requires_grad_() for a in (1.0, -3.0))
        z = {
            "relu": lambda: x.relu(),
            "maximum": lambda: t.maximum(x, y),
            "minimum": lambda: t.minimum(x, y),
            "where": lambda: t.where(x > 0, x, y),
            "clamp": lambda: x.clamp(-0.5, 1.5) + 0 * y,
            "masked_fill": lambda: x.masked_fill(x < 0, 5.0),
        }[name]()
        z.backward(t.full((3,), infinite, dtype=getattr(t, dtype)))
        return [[] if v.grad is None else v.grad.tolist() for v in (x, y)]

    np.testing.assert_equal(gradients(tt), gradients(torch))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ONE)
def test_of_one_number(name: str, dtype: str) -> None:
    numbers = [x for x in SPECIAL + FAR if not any(x is y for y in TWO_WAYS.get(name, ()))]
    for n in (
        1,
        len(numbers),
        100,
    ):  # PyTorch works on the rest of a vector in another loop: the rule must hold in both
        same(ONE[name], np.resize(np.array(numbers, dtype), n))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TWO)
def test_of_two_numbers(name: str, dtype: str) -> None:
    x, y = (a.reshape(-1).astype(dtype) for a in np.meshgrid(SPECIAL + FAR, SPECIAL + FAR))
    same(TWO[name], x, y)


@pytest.mark.parametrize("numbers", PRODUCTS, ids=str)
@pytest.mark.parametrize("dim", [None, 0])
def test_products_with_zeros_and_beyond_the_range(numbers: list[float], dim: int | None) -> None:
    x = np.array(numbers, np.float32)
    same(lambda t, x: x.prod() if dim is None else x.prod(dim), x)
    same(lambda t, x: x.prod(1), np.stack([x, x[::-1], np.ones_like(x)]))


COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge", "less", "less_equal", "greater", "greater_equal", "not_equal"]
LOGIC = ["logical_and", "logical_or", "logical_xor"]


IN_PLACE = product(
    COMPARISONS + LOGIC, [False, True], ["constant", "result", "leaf"], ["float64", "float32", "float16", "int64"]
)


@over("name, wanted, of, dtype", {"-".join(map(str, case)): case for case in IN_PLACE}, lambda case: case.split("-")[0])
def test_what_is_compared_in_place_has_pytorchs_gradient(name: str, wanted: bool, of: str, dtype: str) -> None:
    """Of a comparison 0, for both operands. Logic is not recorded: the Tensor keeps its history."""

    def played(t: Any) -> Any:
        x = t.tensor([[1.0, 2.0, 3.0], [math.nan, -0.0, 0.0]], requires_grad=of != "constant")
        y = t.tensor([2, 2, 0], dtype=getattr(t, dtype))
        if wanted and dtype != "int64":
            y.requires_grad_()
        z = x if of == "leaf" else x * 1
        try:
            getattr(z, name + "_")(y)
        except RuntimeError:
            return "refused"
        gradients = [z.requires_grad, z.is_leaf]
        if z.requires_grad:
            (z * 3).sum().backward()
            gradients += [None if v.grad is None else (str(v.grad.dtype)[-7:], v.grad.tolist()) for v in (x, y)]
        return [z.tolist(), *gradients]

    np.testing.assert_equal(played(tt), played(torch))


def test_a_comparison_in_place_does_not_change_its_shape() -> None:
    for t in (torch, tt):
        with pytest.raises(RuntimeError):
            t.ones(3).eq_(t.ones(2, 3, requires_grad=True))
