"""One call of every primitive, with its size in a training step, or a large size if a step does not call it.

A row is `Call(arrays, torch, static, flops)`: the inputs of the forward; the same function in PyTorch, called with the
module and the inputs as tensors; the keyword arguments of the forward; its multiplications and additions in products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import Size
from tinytensor.ops import load_all
from tinytensor.ops.indexing import along
from tinytensor.primitive import PRIMITIVES

VOCABULARY = 65


@dataclass(frozen=True)
class Call:
    arrays: tuple[Any, ...]
    torch: Callable[..., Any]
    static: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0  # of the forward; the backward has twice as many


def table() -> dict[str, Any]:
    """All primitives; imports the modules that register them."""
    import gpt.rotary  # noqa: F401  (a model may add primitives of its own)

    load_all()
    return PRIMITIVES


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def positive(*shape: int, seed: int = 0) -> Any:
    """Numbers between 0.1 and 0.9: for logarithms, roots, powers and probabilities."""
    return np.random.default_rng(seed).random(shape, np.float32) * np.float32(0.8) + np.float32(0.1)


def calls(size: Size, n: int = 1024) -> dict[str, Call]:
    """A call of every primitive: with the size of the training step, or on n × n numbers."""
    return {**elementwise(n), **scalars(n), **shapes(n), **indexing(n), **reductions(n), **of_the_step(size)}


def of_the_step(size: Size) -> dict[str, Call]:
    """The primitives of a training step, with their sizes; linear is the largest of a block, C → 4C."""
    B, T, C, H = size.batch, size.context, size.width, size.heads
    D, V = C // H, VOCABULARY
    random = np.random.default_rng(0)
    ids, target = random.integers(0, V, (B, T)), random.integers(0, V, B * T)
    mask = (random.random((B, T, C)) < 0.9).astype(np.float32) / np.float32(0.9)
    q, k, v = normal(B, T, 3, H, D).transpose(2, 0, 3, 1, 4)  # (B, H, T, D) each, as views of one array
    causal = {"scale": D**-0.5, "causal": True}
    ignore = {"target": target, "ignore_index": -100, "reduction": "mean"}
    x, wide, gain = normal(B, T, C), normal(B, T, 4 * C), positive(C)
    return {
        "embedding": Call((normal(V, C),), lambda t, w: t.nn.functional.embedding(t.from_numpy(ids), w), {"ids": ids}),
        "add": Call((x, normal(B, T, C, seed=1)), lambda t, a, b: a + b),
        "layer_norm": Call(
            (x, gain, normal(C)), lambda t, x, w, b: t.nn.functional.layer_norm(x, (C,), w, b), {"n": C, "eps": 1e-5}
        ),
        "linear": Call(
            (x, normal(4 * C, C), normal(4 * C)), lambda t, x, w, b: t.nn.functional.linear(x, w, b), {}, 8 * B * T * C * C
        ),
        "split": Call((normal(B, T, 3 * C),), lambda t, x: x.split(C, 2), {"sizes": [C] * 3, "axis": 2}),
        "reshape": Call((x,), lambda t, x: x.reshape(B, T, H, D), {"shape": (B, T, H, D)}),
        "permute": Call((normal(B, T, H, D),), lambda t, x: x.permute(0, 2, 1, 3), {"axes": (0, 2, 1, 3)}),
        "rotary": Call((normal(B, H, T, D),), _rotary),
        "attention": Call(
            (q, k, v, None), lambda t, q, k, v, _: _attention(t, q, k, v), causal, 4 * B * T * T * C
        ),
        "gelu": Call((wide,), lambda t, x: t.nn.functional.gelu(x)),
        "gelu_tanh": Call((wide,), lambda t, x: t.nn.functional.gelu(x, approximate="tanh")),
        "dropout": Call((x,), lambda t, x: x * t.from_numpy(mask), {"mask": mask}),
        "cross_entropy": Call(
            (normal(B * T, V),), lambda t, x: t.nn.functional.cross_entropy(x, t.from_numpy(target)), ignore
        ),
    }  # fmt: skip


def _attention(t: Any, q: Any, k: Any, v: Any) -> Any:
    return t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _rotary(t: Any, x: Any) -> Any:
    from reference_torch.rotary import rotary

    return rotary(x)


def elementwise(n: int) -> dict[str, Call]:
    x, y, p, r = normal(n, n), normal(n, n, seed=1), positive(n, n), positive(n, n, seed=1)
    chosen = x > 0
    unary: dict[str, Callable[..., Any]] = {
        "neg": lambda t, x: -x, "abs": lambda t, x: x.abs(), "exp": lambda t, x: x.exp(), "sin": lambda t, x: x.sin(),
        "cos": lambda t, x: x.cos(), "tanh": lambda t, x: x.tanh(), "sigmoid": lambda t, x: x.sigmoid(),
        "silu": lambda t, x: t.nn.functional.silu(x), "relu": lambda t, x: x.relu(), "expm1": lambda t, x: x.expm1(),
        "erf": lambda t, x: x.erf(), "softplus": lambda t, x: t.nn.functional.softplus(x),
        "copy": lambda t, x: x.clone(),
    }  # fmt: skip
    return {
        "sub": Call((x, y), lambda t, a, b: a - b),
        "mul": Call((x, y), lambda t, a, b: a * b),
        "div": Call((x, p), lambda t, a, b: a / b),
        "pow": Call((p, r), lambda t, a, b: a**b),
        "addcdiv": Call((x, y, p), lambda t, x, a, b: t.addcdiv(x, a, b, value=0.5), {"c": 0.5}),
        "lerp": Call((x, y, p), lambda t, x, y, w: t.lerp(x, y, w)),
        "compare": Call((x, y), lambda t, a, b: a.clone().lt_(b), {"compare": np.less}),
        "xlogy": Call((p, r), lambda t, a, b: t.xlogy(a, b)),
        "maximum": Call((x, y), lambda t, a, b: t.maximum(a, b)),
        "minimum": Call((x, y), lambda t, a, b: t.minimum(a, b)),
        "where": Call((x, y), lambda t, a, b: t.where(t.from_numpy(chosen), a, b), {"condition": chosen}),
        **{name: Call((x,), function) for name, function in unary.items()},
        "log": Call((p,), lambda t, x: x.log()),
        "log1p": Call((p,), lambda t, x: x.log1p()),
        "sqrt": Call((p,), lambda t, x: x.sqrt()),
        "rsqrt": Call((p,), lambda t, x: x.rsqrt()),
        "binary_cross_entropy": Call(
            (p, r), lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y, reduction="none")
        ),
    }


def scalars(n: int) -> dict[str, Call]:
    x = normal(n, n)
    return {
        "add_scalar": Call((x,), lambda t, x: x + 1.5, {"c": 1.5}),
        "mul_scalar": Call((x,), lambda t, x: x * 1.5, {"c": 1.5}),
        "div_scalar": Call((x,), lambda t, x: x / 1.5, {"c": 1.5}),
        "pow_scalar": Call((x,), lambda t, x: x**2, {"c": 2}),
        "clamp": Call((x,), lambda t, x: x.clamp(-0.5, 0.5), {"low": -0.5, "high": 0.5}),
        "cast": Call((x,), lambda t, x: x.double(), {"to": np.dtype(np.float64)}),
        "steps": Call((x,), lambda t, x: x.floor(), {"ufunc": np.floor}),
    }


def shapes(n: int) -> dict[str, Call]:
    x, half = normal(n, n), normal(n // 2, n)
    return {
        "expand": Call((normal(1, n),), lambda t, x: x.expand(n, n), {"shape": (n, n)}),
        "cat": Call((half, normal(n // 2, n, seed=1)), lambda t, a, b: t.cat((a, b)), {"axis": 0}),
        "roll": Call((x,), lambda t, x: x.roll((3, 5), (0, 1)), {"shifts": (3, 5), "axis": (0, 1)}),
        "flip": Call((x,), lambda t, x: x.flip((0, 1)), {"axis": (0, 1)}),
        "tril": Call((x,), lambda t, x: x.tril(), {"diagonal": 0}),
        "triu": Call((x,), lambda t, x: x.triu(), {"diagonal": 0}),
    }


def indexing(n: int) -> dict[str, Call]:
    x, half, random = normal(n, n), normal(n // 2, n, seed=1), np.random.default_rng(0)
    rows, picks = random.integers(0, n, n), random.integers(0, n, (n, n))

    def written(t: Any, x: Any, value: Any) -> Any:
        y = x.clone()
        y[: n // 2] = value
        return y

    return {
        "getitem": Call((x,), lambda t, x: x[t.from_numpy(rows)], {"index": rows}),
        "setitem": Call((x, half), written, {"index": (slice(0, n // 2), ...)}),
        "gather": Call((x,), lambda t, x: x.gather(1, t.from_numpy(picks)), {"index": picks, "axis": 1}),
        "scatter_add": Call(
            (x, normal(n, n, seed=1)),
            lambda t, x, v: x.scatter_add(1, t.from_numpy(picks), v),
            {"at": along(picks, 1)},
        ),
    }


def reductions(n: int) -> dict[str, Call]:
    """Sums, extremes and products."""
    x = normal(n, n)
    over = {"axis": (1,), "keepdims": False}
    q, k, v = normal(3, 1, 4, n, 32)  # (1, H, T, D) each: a window long enough for blocks
    causal = {"scale": 32**-0.5, "causal": True}
    batch, inputs = (normal(16, n // 4, n // 4), normal(16, n // 4, n // 4, seed=1)), ["bij", "bjk"]
    return {
        "sum": Call((x,), lambda t, x: x.sum(1), over),
        "amax": Call((x,), lambda t, x: x.amax(1), over),
        "amin": Call((x,), lambda t, x: x.amin(1), over),
        "prod": Call((x,), lambda t, x: x.prod(1), {"axis": 1}),
        "norm": Call((x,), lambda t, x: x.norm(dim=1), {**over, "p": 2}),
        "var": Call((x,), lambda t, x: x.var(1), {**over, "correction": 1}),
        "std": Call((x,), lambda t, x: x.std(1), {**over, "correction": 1}),
        "logsumexp": Call((x,), lambda t, x: x.logsumexp(1), over),
        "cumsum": Call((x,), lambda t, x: x.cumsum(1), {"axis": 1}),
        "softmax": Call((x,), lambda t, x: x.softmax(1), {"axis": 1}),
        "log_softmax": Call((x,), lambda t, x: x.log_softmax(1), {"axis": 1}),
        "blockwise_attention": Call((q, k, v), _attention, causal, 2 * 4 * n * n * 32),  # half of the square
        "matmul": Call((normal(n // 2, n // 2), normal(n // 2, n // 2, seed=1)), lambda t, a, b: a @ b, {}, n**3 // 4),
        "einsum": Call(
            batch, lambda t, *xs: t.einsum("bij,bjk->bik", *xs), {"inputs": inputs, "output": "bik"}, n**3 // 2
        ),
    }
