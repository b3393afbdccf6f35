"""Sample inputs for every primitive: the one test file that a new primitive touches.

A row is `Sample(arrays, static, torch)`: float64 inputs for the forward (None for an absent one), its keyword
arguments, and the same function in PyTorch, called with the same inputs as tensors. From a row follow, without
further code: gradients against central differences and PyTorch, dtypes, frozen inputs, odd memory layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One call of a primitive, and the same in PyTorch."""

    arrays: tuple[Any, ...]
    torch: Callable[..., Any]
    static: dict[str, Any] = field(default_factory=dict)


def _torch() -> Any:
    import torch

    return torch


def _f() -> Any:
    return _torch().nn.functional


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers; no two alike, so no kink of max, sort or where lies within a finite difference."""
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers in [0.5, 2.5): the domain of log, sqrt, and of what is divided by."""
    return np.asarray(0.5 + 2 * np.random.default_rng([seed, *shape]).random(shape))


def off_zero(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers of either sign, at least 0.1 from 0: away from the kinks of abs and relu."""
    x = normal(*shape, seed=seed)
    return np.asarray(x + 0.1 * np.sign(x))


def binary(torch: Callable[..., Any], make: Any = normal) -> list[Sample]:
    """Equal shapes, broadcasting of either side, of both, of a 0-d one, and 0-d alone."""
    shapes = [((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((), ())]
    return [Sample((make(*a, seed=1), make(*b, seed=2)), torch) for a, b in shapes]


def unary(torch: Callable[..., Any], make: Any = normal, **static: Any) -> list[Sample]:
    """A matrix, a vector, a 0-d array, and none at all."""
    return [Sample((make(*s),), torch, static) for s in [(2, 3), (4,), (), (0, 3)]]


IDS = np.array([[0, 2, 2], [4, 0, 2]])
MASK = np.array([[True, False, True], [False, False, True]])
TARGET = np.array([1, 0, 3, 1, -100])
DROP = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]])


def _attention(q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float = 0.5) -> Any:
    return _f().scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)


def _attention_dropped(q: Any, k: Any, v: Any, mask: Any, drop: np.ndarray) -> Any:
    t = _torch()
    return ((q @ k.mT * 0.5).softmax(-1) * t.from_numpy(drop).to(v.dtype)) @ v


def _written(x: Any, index: Any, value: Any) -> Any:
    y = x.clone()
    y[index] = value
    return y


def _rotary(x: Any) -> Any:
    t = _torch()
    angles = t.arange(x.shape[-2])[:, None] * 10_000.0 ** (-t.arange(0, x.shape[-1], 2, dtype=t.float64) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return t.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def _ce(reduction: str) -> Sample:
    return Sample(
        (normal(5, 4),),
        lambda x: _f().cross_entropy(x, _torch().from_numpy(TARGET), reduction=reduction),
        {"target": TARGET, "ignore_index": -100, "reduction": reduction},
    )


SAMPLES: dict[str, list[Sample]] = {
    "add": binary(lambda a, b: a + b),
    "sub": binary(lambda a, b: a - b),
    "mul": binary(lambda a, b: a * b),
    "div": binary(lambda a, b: a / b, positive),
    "pow": binary(lambda a, b: a**b, positive),
    "maximum": binary(lambda a, b: _torch().maximum(a, b)),
    "minimum": binary(lambda a, b: _torch().minimum(a, b)),
    "where": [
        Sample((normal(*a), normal(*b, seed=3)), lambda a, b: _torch().where(_torch().from_numpy(MASK), a, b), {"condition": MASK})
        for a, b in [((2, 3), (2, 3)), ((), (2, 3)), ((3,), (2, 1))]
    ],
    "add_scalar": unary(lambda x: x + 1.5, c=1.5),
    "mul_scalar": unary(lambda x: x * -2.5, c=-2.5),
    "div_scalar": unary(lambda x: x / 3, c=3),
    "pow_scalar": [
        s for c in (2, 3, 0.5, -1, 2.7, 1, 0, -0.5) for s in unary(lambda x, c=c: x**c, positive, c=c)
    ],
    "neg": unary(lambda x: -x),
    "abs": unary(lambda x: x.abs(), off_zero),
    "exp": unary(lambda x: x.exp()),
    "log": unary(lambda x: x.log(), positive),
    "sqrt": unary(lambda x: x.sqrt(), positive),
    "sin": unary(lambda x: x.sin()),
    "cos": unary(lambda x: x.cos()),
    "tanh": unary(lambda x: x.tanh()),
    "sigmoid": unary(lambda x: x.sigmoid()),
    "silu": unary(lambda x: _f().silu(x)),
    "relu": unary(lambda x: x.relu(), off_zero),
    "clamp": [
        *unary(lambda x: x.clamp(-0.5, 0.7), low=-0.5, high=0.7),
        *unary(lambda x: x.clamp(min=0.1), low=0.1, high=None),
        *unary(lambda x: x.clamp(max=0.1), low=None, high=0.1),
    ],
    "cast": unary(lambda x: x.double(), to=np.dtype("float64")),
    "copy": unary(lambda x: x.clone()),
    "sum": [
        Sample((normal(2, 3, 4),), lambda x, a=axis, k=keep: x.sum(a, k), {"axis": axis, "keepdims": keep})
        for axis in [(0,), (1, 2), (0, 1, 2)]
        for keep in (False, True)
    ],
    "amax": [
        Sample((normal(2, 3, 4),), lambda x, a=axis, k=keep: x.amax(a, k), {"axis": axis, "keepdims": keep})
        for axis in [(2,), (0, 1), (0, 1, 2)]
        for keep in (False, True)
    ],
    "cumsum": [Sample((normal(2, 3, 4),), lambda x, a=a: x.cumsum(a), {"axis": a}) for a in (0, 1, 2)],
    "reshape": [Sample((normal(2, 6),), lambda x, s=s: x.reshape(s), {"shape": s}) for s in [(3, 4), (12,), (2, 3, 2)]],
    "permute": [Sample((normal(2, 3, 4),), lambda x, a=a: x.permute(a), {"axes": a}) for a in [(2, 0, 1), (0, 2, 1)]],
    "expand": [
        Sample((normal(3, 1),), lambda x: x.expand(2, 3, 4), {"shape": (2, 3, 4)}),
        Sample((normal(),), lambda x: x.expand(5), {"shape": (5,)}),
    ],
    "cat": [
        Sample((normal(2, 3), normal(2, 1), normal(2, 0)), lambda *xs: _torch().cat(xs, 1), {"axis": 1}),
        Sample((normal(3),), lambda *xs: _torch().cat(xs), {"axis": 0}),
    ],
    "split": [Sample((normal(2, 6),), lambda x: x.split([1, 3, 2], 1), {"sizes": [1, 3, 2], "axis": 1})],
    "roll": [
        Sample((normal(2, 5),), lambda x: x.roll((1, -2), (0, 1)), {"shifts": (1, -2), "axis": (0, 1)}),
        Sample((normal(5),), lambda x: x.roll(7, 0), {"shifts": (7,), "axis": (0,)}),
    ],
    "flip": [Sample((normal(2, 3, 4),), lambda x, a=a: x.flip(a), {"axis": a}) for a in [(0,), (1, 2)]],
    "tril": [Sample((normal(2, 3, 3),), lambda x, d=d: x.tril(d), {"diagonal": d}) for d in (0, 1, -1)],
    "triu": [Sample((normal(2, 3, 3),), lambda x, d=d: x.triu(d), {"diagonal": d}) for d in (0, 1, -1)],
    "getitem": [
        Sample((normal(5, 3),), lambda x, i=i: x[i], {"index": i})
        for i in [
            (1, ...),
            (slice(1, 4), slice(None, None, 2), ...),
            (..., None),
            np.array([0, 2, 2, 4]),
            (slice(None), np.array([1, 1])),
            (np.array([0, 0, 1]), np.array([2, 2, 1])),
            np.array([[0, 1], [1, 0]]),
        ]
    ],
    "setitem": [
        Sample((normal(5, 3), normal(*shape)), lambda x, v, i=i: _written(x, i, v), {"index": i})
        for i, shape in [
            ((1, ...), (3,)),
            ((slice(1, 4), ...), (1, 3)),
            ((2, 1, ...), ()),
            (np.array([0, 2, 4]), (3, 3)),
            ((np.array([0, 3]), np.array([2, 1])), (2,)),
            ((slice(None), np.array([2])), (5, 1)),
        ]
    ],
    "gather": [
        Sample((normal(2, 3),), lambda x: x.gather(1, _torch().tensor([[0, 0], [2, 1]])), {"index": np.array([[0, 0], [2, 1]]), "axis": 1}),
        Sample((normal(3, 2),), lambda x: x.gather(0, _torch().tensor([[2, 2]])), {"index": np.array([[2, 2]]), "axis": 0}),
    ],
    "matmul": [
        Sample((normal(*a, seed=1), normal(*b, seed=2)), lambda a, b: a @ b)
        for a, b in [
            ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 2, 3), (2, 3, 4)), ((5, 2, 3), (3, 4)),
            ((2, 1, 2, 3), (5, 3, 4)), ((3,), (2, 3, 4)), ((2, 4, 3), (3,)), ((2, 0), (0, 3)),
        ]
    ],
    "einsum": [
        Sample(xs, lambda *xs, i=i, o=o: _torch().einsum(f"{','.join(i)}->{o}", *xs), {"inputs": i, "output": o})
        for i, o, xs in [
            (["bij", "bjk"], "bik", (normal(2, 3, 4), normal(2, 4, 2))),
            (["ij", "jk"], "ki", (normal(3, 4), normal(4, 2))),
            (["i", "j"], "ij", (normal(3), normal(2))),
            (["ij"], "j", (normal(3, 2),)),
            (["ij", "jk", "kl"], "il", (normal(2, 3), normal(3, 4), normal(4, 2))),
            (["ij", "k"], "i", (normal(2, 3), normal(4))),
        ]
    ],
    "linear": [
        Sample((normal(2, 3, 4), normal(5, 4), normal(5)), lambda x, w, b: _f().linear(x, w, b)),
        Sample((normal(3, 4), normal(5, 4), None), lambda x, w, b: _f().linear(x, w)),
        Sample((normal(4), normal(5, 4), normal(5)), lambda x, w, b: _f().linear(x, w, b)),
    ],
    "embedding": [Sample((normal(5, 3),), lambda w: _f().embedding(_torch().from_numpy(IDS), w), {"ids": IDS})],
    "layer_norm": [
        Sample((normal(2, 3, 5), positive(5), normal(5)), lambda x, w, b: _f().layer_norm(x, (5,), w, b, 1e-3), {"n": 5, "eps": 1e-3}),
        Sample((normal(4, 5), positive(5), None), lambda x, w, b: _f().layer_norm(x, (5,), w, None, 1e-5), {"n": 5, "eps": 1e-5}),
        Sample((normal(4, 5), None, None), lambda x, w, b: _f().layer_norm(x, (5,)), {"n": 5, "eps": 1e-5}),
        Sample((normal(4, 2, 3), positive(2, 3), normal(2, 3)), lambda x, w, b: _f().layer_norm(x, (2, 3), w, b), {"n": 6, "eps": 1e-5}),
    ],
    "gelu": unary(lambda x: _f().gelu(x)),
    "gelu_tanh": unary(lambda x: _f().gelu(x, approximate="tanh")),
    "softmax": [Sample((normal(2, 3, 4),), lambda x, a=a: x.softmax(a), {"axis": a}) for a in (0, 2)],
    "log_softmax": [Sample((normal(2, 3, 4),), lambda x, a=a: x.log_softmax(a), {"axis": a}) for a in (1, 2)],
    "cross_entropy": [_ce("mean"), _ce("sum"), _ce("none")],
    "rotary": [Sample((normal(*shape),), _rotary) for shape in [(2, 5, 6), (1, 2, 3, 4)]],
    "dropout": [Sample((normal(2, 3),), lambda x: x * _torch().from_numpy(DROP), {"mask": DROP})],
    "attention": [
        Sample((normal(2, 3, 4), normal(2, 3, 4, seed=1), normal(2, 3, 5)),
               lambda q, k, v: _attention(q, k, v, causal=True), {"scale": 0.5, "causal": True}),
        Sample((normal(1, 2, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 2)),
               lambda q, k, v: _attention(q, k, v), {"scale": 0.5, "causal": False}),
        Sample((normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4, seed=2), normal(3, 5)),
               _attention, {"scale": 0.5, "causal": False}),
        Sample((normal(2, 3), normal(3, 3), normal(3, 3, seed=2), None),
               lambda q, k, v, m: _attention_dropped(q, k, v, m, DROP),
               {"scale": 0.5, "causal": False, "dropout": DROP}),
    ],
}  # fmt: skip
for _s in SAMPLES["attention"]:
    if len(_s.arrays) == 3:
        object.__setattr__(_s, "arrays", (*_s.arrays, None))
        object.__setattr__(_s, "torch", (lambda f: lambda q, k, v, m: f(q, k, v))(_s.torch))


def _at(axis: int, index: np.ndarray) -> tuple[Any, ...]:
    from tinytensor.ops.indexing import along

    return along(index, axis)


PICKS = np.array([[0, 0, 1], [2, 0, 0]])

SAMPLES |= {
    "log1p": unary(lambda x: x.log1p(), positive),
    "expm1": unary(lambda x: x.expm1()),
    "erf": unary(lambda x: x.erf()),
    "softplus": unary(lambda x: _f().softplus(x)),
    "steps": [s for name, u in [("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc), ("sign", np.sign), ("round", np.rint)]
              for s in unary(lambda x, name=name: getattr(x, name)(), off_zero, ufunc=u)],
    "binary_cross_entropy": [
        Sample((np.asarray(positive(*s) / 3), np.asarray(positive(*s, seed=4) / 3)), lambda x, y: _f().binary_cross_entropy(x, y, reduction="none"))
        for s in [(2, 3), (4,), ()]
    ],
    "scatter_add": [
        Sample((normal(4, 3), normal(2, 3)), lambda x, v: x.scatter_add(0, _torch().from_numpy(PICKS), v), {"at": _at(0, PICKS)}),
        Sample((normal(2, 3), normal(2, 3)), lambda x, v: x.scatter_add(1, _torch().from_numpy(PICKS), v), {"at": _at(1, PICKS)}),
    ],
}  # fmt: skip
