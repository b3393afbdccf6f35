"""Sample calls of every primitive, from which its checks and tests are made.

A row is a list of `Sample(arrays, torch, static)`: float64 inputs for the forward (None for an absent one), the same
function in PyTorch, called with the same inputs as tensors, and the keyword arguments of the forward. From a row follow,
without further code: gradients against central differences and PyTorch, float32 and float16, frozen inputs, odd memory
layouts, the composed form. A row has a sample without elements and one with one (tests/derivatives/test_primitives.py asserts it).

Samples at a kink (ties, the ends of a clamp, powers at 0) are `smooth=False`: there PyTorch alone says what is right.
A package with primitives of its own calls `add`; `python -m tinytensor.gradcheck --samples its.module` then checks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor.gradcheck.sample import (
    Sample,
    at_kinks,
    binary,
    each_shape,
    in_torch,
    normal,
    off_zero,
    positive,
    unary,
    wide,
)  # fmt: skip
from tinytensor.ops.indexing import along


def _f() -> Any:
    return in_torch().nn.functional


IDS = np.array([[0, 2, 2], [4, 0, 2]])
MASK = np.array([[True, False, True], [False, False, True]])
PICKS = np.array([[0, 0, 1], [2, 0, 0]])
DROP = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]])


def _attention(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float) -> Any:
    return _f().scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)


def _attends(*shapes: tuple[int, ...], mask: Any = None, **static: Any) -> Sample:
    """A sample of attention: q, k, v of normal numbers, of these shapes, and a mask that is added."""
    static = {"scale": 0.5, "causal": False, **static}
    arrays = (*(normal(*shape, seed=i) for i, shape in enumerate(shapes)), mask)
    return Sample(arrays, lambda q, k, v, m: _attention(q, k, v, m, static["causal"], static["scale"]), static)


def _attends_in_part(*shapes: tuple[int, ...], dropout: Any, scale: float = 0.5) -> Sample:
    """A sample of attention with dropout of the weights, for which PyTorch has no argument."""

    def torch(q: Any, k: Any, v: Any, _: Any) -> Any:
        return ((q @ k.mT * scale).softmax(-1) * in_torch().from_numpy(dropout).to(v.dtype)) @ v

    arrays = (*(normal(*shape, seed=i) for i, shape in enumerate(shapes)), None)
    return Sample(arrays, torch, {"scale": scale, "causal": False, "dropout": dropout})


def _in_blocks(*shapes: tuple[int, ...], block: int = 2, span: int = 4, spread: float = 1, **static: Any) -> Sample:
    """A sample of blockwise attention, in blocks small enough for several; spread: of the queries."""
    static = {"scale": 0.5, "causal": False, "block": block, "span": span, **static}
    q, k, v = (normal(*shape, seed=i) for i, shape in enumerate(shapes))
    return Sample(
        (spread * q, k, v), lambda q, k, v: _attention(q, k, v, None, static["causal"], static["scale"]), static
    )


def _written(x: Any, index: Any, value: Any) -> Any:
    y = x.clone()
    y[index] = value
    return y


def _cross_entropy(reduction: str, target: list[int], classes: int = 4, spread: float = 1) -> Sample:
    t = np.array(target, np.int64)
    return Sample(
        (spread * normal(len(t), classes),),
        lambda x: _f().cross_entropy(x, in_torch().from_numpy(t), reduction=reduction),
        {"target": t, "ignore_index": -100, "reduction": reduction},
        smooth=spread == 1,
    )


def _embedding(rows: int, width: int, ids: Any) -> Sample:
    ids = np.array(ids, np.int64)
    return Sample((normal(rows, width),), lambda w: _f().embedding(in_torch().from_numpy(ids), w), {"ids": ids})


def _layer_norm(shape: tuple[int, ...], n: tuple[int, ...], affine: bool, bias: bool, eps: float = 1e-5) -> Sample:
    w, b = positive(*n) if affine else None, normal(*n) if bias else None
    size = int(np.prod(n))
    return Sample((normal(*shape), w, b), lambda x, w, b: _f().layer_norm(x, n, w, b, eps), {"n": size, "eps": eps})


def extremes(torch: Callable[..., Any]) -> list[Sample]:
    """amax and amin: over one and more dimensions, and at ties."""
    calls = [((2, 3, 4), (2,)), ((2, 3, 4), (0, 1)), ((2, 3, 4), (0, 1, 2)), ((1,), (0,)), ((0, 3), (1,))]
    ties = [([[1, 2, 2], [0, 0, 0], [1, 1, 2]], (1,)), ([[1, 2, 2], [2, 1, 2]], (0, 1))]
    return [
        Sample(
            (normal(*x) if isinstance(x, tuple) else np.array(x, np.float64),),
            lambda x, a=axis, k=keep: torch(x, a, k),
            {"axis": axis, "keepdims": keep},
            smooth=isinstance(x, tuple),
        )
        for x, axis in [*calls, *ties]
        for keep in (False, True)
    ]


def at_kinks_over(torch: Callable[..., Any], statics: list[dict[str, Any]]) -> list[Sample]:
    """Reductions of rows with zeros and ties."""
    x = np.array([[1.0, -2.0, 2.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return [
        Sample((x,), lambda x, s=s: torch(x, **s), {**s, "axis": (1,), "keepdims": False}, smooth=False)
        for s in statics
    ]


def spreads(torch: Callable[..., Any]) -> list[Sample]:
    """var and std: over one and more dimensions, and of numbers that are equal."""

    def sample(x: Any, axis: tuple[int, ...], c: int, keep: bool, smooth: bool = True) -> Sample:
        static = {"axis": axis, "correction": c, "keepdims": keep}
        return Sample(
            (x,), lambda x: torch(x, axis, c, keep) if x.numel() else x.sum(axis, keep), static, smooth=smooth
        )  # of nothing PyTorch warns

    calls = [
        ((2, 3, 4), (2,)),
        ((2, 3, 4), (0, 1)),
        ((2, 3, 4), (0, 1, 2)),
        ((0, 3), (1,)),
        ((3,), (0,)),
        ((1, 2), (1,)),
    ]
    every = [sample(normal(*shape), axis, c, keep) for shape, axis in calls for c in (1, 0) for keep in (False, True)]
    return [*every, sample(normal(1), (0,), 0, False), sample(np.ones((2, 3)), (1,), 0, False, smooth=False)]


SAMPLES: dict[str, list[Sample]] = {
    "add": binary(lambda a, b: a + b),
    "sub": binary(lambda a, b: a - b),
    "mul": binary(lambda a, b: a * b),
    "div": binary(lambda a, b: a / b, positive),
    "pow": [
        *binary(lambda a, b: a**b, positive),
        at_kinks(lambda a, b: a**b, [0, 0, 0, 0, 2, -2, -2, 1], [0, 1, 2, 0.5, 0, 2, 3, -1]),
    ],
    "maximum": [*binary(lambda a, b: in_torch().maximum(a, b)), at_kinks(lambda a, b: in_torch().maximum(a, b), [1, 2, 0], [1, 0, 2])],
    "minimum": [*binary(lambda a, b: in_torch().minimum(a, b)), at_kinks(lambda a, b: in_torch().minimum(a, b), [1, 2, 0], [1, 0, 2])],
    "where": [
        Sample((normal(*a), normal(*b, seed=3)), lambda a, b, c=c: in_torch().where(in_torch().from_numpy(c), a, b), {"condition": c})
        for a, b, c in [
            ((2, 3), (2, 3), MASK), ((), (2, 3), MASK), ((3,), (2, 1), MASK), ((1,), (1,), MASK), ((1,), (1,), np.array([True])),
            ((), (), np.array(False)), ((0, 3), (3,), MASK[:0]), ((2, 3), (2, 3), MASK[0]),
        ]
    ],
    "add_scalar": unary(lambda x: x + 1.5, c=1.5),
    "mul_scalar": unary(lambda x: x * -2.5, c=-2.5),
    "div_scalar": unary(lambda x: x / 3, c=3),
    "pow_scalar": [
        *(s for c in (2, 3, 0.5, -1, 2.7, 1, 0, -0.5, 4, 1.5) for s in unary(lambda x, c=c: x**c, positive, c=c)),
        *(Sample((off_zero(2, 3),), lambda x, c=c: x**c, {"c": c}) for c in (2, 3, -1, -2, 4)),
        *(at_kinks(lambda x, c=c: x**c, [0, 1, -1], c=c) for c in (0, 1, 2, 3, 0.5, 1.5)),
    ],
    "neg": unary(lambda x: -x),
    "abs": [*unary(lambda x: x.abs(), off_zero), at_kinks(lambda x: x.abs(), [0.0, -0.0, 1, -1])],
    "exp": unary(lambda x: x.exp()),
    "log": unary(lambda x: x.log(), positive),
    "sqrt": unary(lambda x: x.sqrt(), positive),
    "rsqrt": unary(lambda x: x.rsqrt(), positive),
    "sin": unary(lambda x: x.sin()),
    "cos": unary(lambda x: x.cos()),
    "tanh": unary(lambda x: x.tanh()),
    "sigmoid": unary(lambda x: x.sigmoid()) + unary(lambda x: x.sigmoid(), wide),
    "silu": unary(lambda x: _f().silu(x)) + unary(lambda x: _f().silu(x), wide),
    "relu": [*unary(lambda x: x.relu(), off_zero), at_kinks(lambda x: x.relu(), [0.0, -0.0, 1, -1])],
    "clamp": [
        *unary(lambda x: x.clamp(-0.5, 0.7), low=-0.5, high=0.7),
        *unary(lambda x: x.clamp(min=0.1), low=0.1, high=None),
        *unary(lambda x: x.clamp(max=0.1), low=None, high=0.1),
        at_kinks(lambda x: x.clamp(-1, 2), [-2, -1, 0, 2, 3], low=-1, high=2),
        at_kinks(lambda x: x.clamp(2, -1), [-2, -1, 0, 2, 3], low=2, high=-1),
    ],
    "cast": [
        *(Sample(s.arrays, s.torch, s.static, dtypes=("float64",)) for s in unary(lambda x: x.double(), to=np.dtype("float64"))),
        Sample((normal(2, 3),), lambda x: x.float(), {"to": np.dtype("float32")}, smooth=False, dtypes=("float64", "float32")),
    ],
    "copy": unary(lambda x: x.clone()),
    "sum": [
        Sample((normal(*shape),), lambda x, a=axis, k=keep: x.sum(a, k) if a else x.clone(), {"axis": axis, "keepdims": keep})
        for shape, axis in [((2, 3, 4), (0,)), ((2, 3, 4), (1, 2)), ((2, 3, 4), (0, 1, 2)), ((2, 3, 4), (2,)), ((1, 1), (1,)),
                            ((2, 0), (1,)), ((2, 0), (0,)), ((), ())]
        for keep in (False, True)
    ],
    "amax": extremes(lambda x, a, k: x.amax(a, k)),
    "amin": extremes(lambda x, a, k: x.amin(a, k)),
    "norm": [
        Sample((off_zero(2, 3, 4),), lambda x, p=p, a=a, k=k: x.norm(p, a, k), {"p": p, "axis": a, "keepdims": k})
        for p in (2, 1, 3, 0.5, 1.5, np.inf) for a in ((1,), (0, 2), (0, 1, 2)) for k in (False, True)
    ] + [
        Sample((off_zero(*shape),), lambda x, p=p: x.norm(p, 1), {"p": p, "axis": (1,), "keepdims": False})
        for p in (2, 3) for shape in ((3, 1), (1, 1), (0, 3))
    ] + at_kinks_over(lambda x, p: x.norm(p, 1), [{"p": p} for p in (2, 1, 3, 0.5, 1.5, np.inf)]),
    "var": spreads(lambda x, a, c, k: x.var(a, correction=c, keepdim=k)),
    "std": spreads(lambda x, a, c, k: x.std(a, correction=c, keepdim=k)),
    "logsumexp": [
        Sample((normal(*shape),), lambda x, a=a, k=k: x.logsumexp(a, k), {"axis": a, "keepdims": k})
        for shape, a in [((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (0, 1, 2)), ((1,), (0,)), ((0, 3), (1,))] for k in (False, True)
    ],
    "prod": [
        *(Sample((off_zero(2, 3, 4),), lambda x, d=d: x.prod(d), {"axis": d}) for d in (0, 1, 2)),
        *(Sample((off_zero(*shape),), lambda x: x.prod(0), {"axis": 0}) for shape in ((1,), (2, 0))),
        Sample((np.array([[0.0, 2.0, -3.0], [0.0, 0.0, 1.5], [1.0, -2.0, 0.5]]),), lambda x: x.prod(1), {"axis": 1}),
    ],
    "cumsum": [
        Sample((normal(*shape),), lambda x, a=a: x.cumsum(a), {"axis": a})
        for shape, a in [((2, 3, 4), 0), ((2, 3, 4), 1), ((2, 3, 4), 2), ((1,), 0), ((2, 0), 1), ((0, 2), 1)]
    ],
    "reshape": [
        Sample((normal(*shape),), lambda x, s=s: x.reshape(s), {"shape": s})
        for shape, s in [((2, 6), (3, 4)), ((2, 6), (12,)), ((2, 6), (2, 3, 2)), ((1, 1), ()), ((), (1,)), ((0, 3), (3, 0, 2))]
    ],
    "permute": [
        Sample((normal(*shape),), lambda x, a=a: x.permute(a), {"axes": a})
        for shape, a in [((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (0, 2, 1)), ((2, 3, 4), (1, 2, 0)), ((1, 1), (1, 0)), ((2, 0), (1, 0)), ((), ())]
    ],
    "expand": [
        Sample((normal(*shape),), lambda x, s=s: x.expand(s), {"shape": s})
        for shape, s in [((3, 1), (2, 3, 4)), ((), (5,)), ((1, 3), (2, 3)), ((2, 3), (2, 3)), ((1,), (1,)), ((1, 3), (0, 3)), ((0, 1), (0, 2))]
    ],
    "cat": [
        Sample((normal(2, 3), normal(2, 1), normal(2, 0)), lambda *xs: in_torch().cat(xs, 1), {"axis": 1}),
        Sample((normal(2, 3), normal(1, 3, seed=1), normal(2, 3, seed=2)), lambda *xs: in_torch().cat(xs, 0), {"axis": 0}),
        Sample((normal(3),), lambda *xs: in_torch().cat(xs), {"axis": 0}),
        Sample((normal(1),), lambda *xs: in_torch().cat(xs), {"axis": 0}),
        Sample((normal(0, 2), normal(0, 2)), lambda *xs: in_torch().cat(xs), {"axis": 0}),
    ],
    "split": [
        Sample((normal(*shape),), lambda x, s=s, a=a: x.split(s, a), {"sizes": s, "axis": a})
        for shape, s, a in [((2, 6), [1, 3, 2], 1), ((5, 2), [2, 3], 0), ((1,), [1], 0), ((2, 1), [0, 1], 1), ((0, 2), [1, 1], 1)]
    ],
    "roll": [
        Sample((normal(*shape),), lambda x, s=s, a=a: x.roll(s, a), {"shifts": s, "axis": a})
        for shape, s, a in [((2, 5), (1, -2), (0, 1)), ((5,), (7,), (0,)), ((5,), (-1,), (0,)), ((1,), (1,), (0,)), ((0, 2), (1,), (1,))]
    ],
    "flip": [
        Sample((normal(*shape),), lambda x, a=a: x.flip(a), {"axis": a})
        for shape, a in [((2, 3, 4), (0,)), ((2, 3, 4), (1, 2)), ((1,), (0,)), ((0, 2), (0, 1))]
    ],
    "tril": [s for d in (0, 1, -1) for s in each_shape(lambda x, d=d: x.tril(d), (2, 3, 3), (2, 4), (1, 1), (0, 2), diagonal=d)],
    "triu": [s for d in (0, 1, -1) for s in each_shape(lambda x, d=d: x.triu(d), (2, 3, 3), (2, 4), (1, 1), (0, 2), diagonal=d)],
    "getitem": [
        *(
            Sample((normal(5, 3),), lambda x, i=i: x[i], {"index": i})
            for i in [
                (1, ...),
                (-1, ...),
                (slice(1, 4), slice(None, None, 2), ...),
                (slice(-2, None), ...),
                (slice(3, 3), ...),
                (..., None),
                np.array([0, 2, 2, 4]),
                np.array([-1, -1, 0]),
                np.array(1),
                np.array([], np.int64),
                (slice(None), np.array([1, 1])),
                (np.array([0, 0, 1]), np.array([2, 2, 1])),
                np.array([[0, 1], [1, 0]]),
                np.array([True, False, True, False, True]),
                (slice(1, 3), np.array([True, False, True])),
            ]
        ),
        Sample((normal(1),), lambda x: x[np.array([0, 0, 0])], {"index": np.array([0, 0, 0])}),
        Sample((normal(0, 3),), lambda x: x[:, 1:], {"index": (slice(None), slice(1, None), ...)}),
    ],
    "setitem": [
        *(
            Sample((normal(5, 3), normal(*shape)), lambda x, v, i=i: _written(x, i, v), {"index": i})
            for i, shape in [
                ((1, ...), (3,)),
                ((-1, ...), (1, 3)),
                ((slice(1, 4), ...), (1, 3)),
                ((slice(3, 3), ...), (3,)),
                ((2, 1, ...), ()),
                ((slice(None), ...), ()),
                (np.array([0, 2, 4]), (3, 3)),
                (np.array([0, 2, 4]), (3, 1)),
                ((np.array([0, 3]), np.array([2, 1])), (2,)),
                ((slice(None), np.array([2])), (5, 1)),
                (np.array([True, False, False, False, True]), (3,)),
            ]
        ),
        Sample((normal(1), normal()), lambda x, v: _written(x, 0, v), {"index": (0, ...)}),
        Sample((normal(0, 2), normal(2)), lambda x, v: _written(x, slice(None), v), {"index": (slice(None), ...)}),
    ],
    "gather": [
        Sample((normal(*shape),), lambda x, a=a, i=i: x.gather(a, in_torch().tensor(i)), {"index": np.array(i, np.int64), "axis": a})
        for shape, a, i in [
            ((2, 3), 1, [[0, 0], [2, 1]]), ((3, 2), 0, [[2, 2]]), ((2, 2, 3), 1, [[[1, 0, 0]], [[0, 1, 1]]]), ((1,), 0, [0, 0]),
        ]
    ] + [
        Sample((normal(0, 2),), lambda x: x.gather(1, in_torch().zeros((0, 3), dtype=in_torch().int64)),
               {"index": np.zeros((0, 3), np.int64), "axis": 1}),
    ],
    "matmul": [
        Sample((normal(*a, seed=1), normal(*b, seed=2)), lambda a, b: a @ b)
        for a, b in [
            ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 2, 3), (2, 3, 4)), ((5, 2, 3), (3, 4)),
            ((2, 1, 2, 3), (5, 3, 4)), ((3,), (2, 3, 4)), ((2, 4, 3), (3,)), ((2, 0), (0, 3)), ((1, 2, 3), (4, 3, 2)),
            ((2, 3), (4, 3, 2)), ((1, 1), (1, 1)), ((1,), (1,)), ((0, 2), (2, 3)), ((2, 0, 3), (3, 2)), ((0, 2, 3), (0, 3, 1)), ((3, 2, 3), (3, 3, 4)),
        ]
    ],
    "einsum": [
        Sample(xs, lambda *xs, i=i, o=o: in_torch().einsum(f"{','.join(i)}->{o}", *xs), {"inputs": i, "output": o})
        for i, o, xs in [
            (["bij", "bjk"], "bik", (normal(2, 3, 4), normal(2, 4, 2))),
            (["ij", "jk"], "ki", (normal(3, 4), normal(4, 2))),
            (["i", "j"], "ij", (normal(3), normal(2))),
            (["ij"], "j", (normal(3, 2),)),
            (["ij"], "", (normal(3, 2),)),
            (["ij"], "ji", (normal(3, 2),)),
            (["ij", "jk", "kl"], "il", (normal(2, 3), normal(3, 4), normal(4, 2))),
            (["ij", "k"], "i", (normal(2, 3), normal(4))),
            (["i", "i"], "i", (normal(1), normal(1, seed=1))),
            (["ij", "jk"], "ik", (normal(0, 3), normal(3, 2))),
            (["ij", "jk"], "ik", (normal(2, 1), normal(3, 4))),  # a size of 1 broadcasts, on either side
            (["ij", "jk"], "ik", (normal(2, 3), normal(1, 4))),
            (["ij", "jk"], "ikj", (normal(2, 2), normal(1, 4))),
        ]
    ],
    "linear": [
        Sample(
            (normal(*x), normal(*w, seed=1), normal(*w[:-1]) if bias else None), lambda x, w, b: _f().linear(x, w, b)
        )
        for x, w, bias in [
            ((2, 3, 4), (5, 4), True), ((3, 4), (5, 4), False), ((4,), (5, 4), True), ((4,), (5, 4), False), ((2, 1, 3, 2), (2, 2), True),
            ((1,), (1, 1), True), ((0, 4), (5, 4), True), ((2, 4), (1, 4), True), ((2, 3, 4), (4,), True), ((2, 4), (4,), False),
        ]
    ],
    "embedding": [
        _embedding(5, 3, IDS), _embedding(5, 3, 2), _embedding(4, 2, [1, 1, 0]), _embedding(1, 1, [0]), _embedding(4, 2, []),
        _embedding(1100, 1, [1099, 0, 3, 3, 0, 3]), _embedding(1100, 1, []), _embedding(4, 0, [0, 2]),
    ],
    "layer_norm": [
        _layer_norm((2, 3, 5), (5,), True, True, 1e-3), _layer_norm((4, 5), (5,), True, False), _layer_norm((4, 5), (5,), False, False),
        _layer_norm((4, 2, 3), (2, 3), True, True), _layer_norm((5,), (5,), True, True), _layer_norm((0, 5), (5,), True, True),
        _layer_norm((3, 1), (1,), True, True, 0.5), _layer_norm((1,), (1,), True, True), _layer_norm((2, 4), (4,), True, True, 2.0),
        _layer_norm((3, 4), (4,), False, True),
    ],
    "gelu": unary(lambda x: _f().gelu(x)) + unary(lambda x: _f().gelu(x), wide),
    "gelu_tanh": unary(lambda x: _f().gelu(x, approximate="tanh")) + unary(lambda x: _f().gelu(x, approximate="tanh"), wide),
    "softmax": [s for a in (0, -1) for s in each_shape(lambda x, a=a: x.softmax(a), (2, 3, 4), (1,), (3, 1), axis=a)]
    + each_shape(lambda x: x.softmax(1), (0, 3), axis=1)
    + [Sample((1000 * normal(3, 4),), lambda x: x.softmax(1), {"axis": 1}, smooth=False)],
    "log_softmax": [s for a in (0, -1) for s in each_shape(lambda x, a=a: x.log_softmax(a), (2, 3, 4), (1,), (3, 1), axis=a)]
    + each_shape(lambda x: x.log_softmax(1), (0, 3), axis=1)
    + [Sample((1000 * normal(3, 4),), lambda x: x.log_softmax(1), {"axis": 1}, smooth=False)],
    "cross_entropy": [
        _cross_entropy(reduction, target)
        for reduction in ("mean", "sum", "none")
        for target in ([1, 0, 3, 1, -100], [2], [-100, 3, -100])
    ] + [_cross_entropy("sum", []), _cross_entropy("none", []), _cross_entropy("none", [0, -100], 1), _cross_entropy("none", [0], 1),
         _cross_entropy("mean", [0, 3, 2], spread=1000)],
    "dropout": [Sample((normal(*d.shape),), lambda x, d=d: x * in_torch().from_numpy(d).to(x.dtype), {"mask": d})
                for d in (DROP, DROP[0, :1], DROP[0, 1:2], DROP[:0])],
    "attention": [
        _attends((2, 3, 4), (2, 3, 4), (2, 3, 5), causal=True),
        _attends((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 2)),
        _attends((2, 3, 4), (2, 5, 4), (2, 5, 4), mask=normal(3, 5)),
        _attends((2, 3, 4), (2, 5, 4), (2, 5, 4), mask=normal(2, 1, 5), scale=0.7),
        _attends((3, 4), (5, 4), (5, 2), mask=np.where(normal(3, 5) > -0.5, 0, -np.inf)),
        _attends((3, 4), (5, 4), (5, 2), mask=np.array([[0.0], [-np.inf], [0.5]]) + 0 * normal(3, 5)),
        _attends((2, 3, 4), (2, 5, 4), (2, 5, 2), mask=np.array([[0.0], [-np.inf], [0.5]]) + 0 * normal(3, 5)),
        _attends((2, 3, 2, 2), (1, 3, 4, 2), (2, 1, 4, 2)),
        _attends((2, 4), (4, 4), (4, 3), causal=True),
        _attends((4, 2), (2, 2), (2, 3), causal=True),
        _attends_in_part((2, 3), (3, 3), (3, 3), dropout=DROP),
        _attends((1, 1), (1, 1), (1, 1)),
        _attends((0, 3, 2), (0, 3, 2), (0, 3, 2), causal=True),
        _attends((2, 2), (1, 2), (1, 0)),
        _attends((70, 5), (70, 5), (70, 5), causal=True),  # from here on: several tiles of a kernel, and what is left over
        _attends((2, 40, 64), (2, 70, 64), (2, 70, 20), causal=True, scale=0.1),
        _attends((70, 3), (40, 3), (40, 3), causal=True),
        _attends((1, 128), (35, 128), (35, 128), scale=0.1),
        _attends((2, 1, 2, 33, 1), (2, 1, 2, 35, 1), (2, 1, 2, 35, 1)),
        _attends((33, 2), (70, 2), (70, 2), mask=np.where(np.arange(70) < 40, -np.inf, normal(33, 70))),
        _attends_in_part((33, 2), (70, 2), (70, 2), dropout=2.0 * (normal(33, 70) > 0)),
    ],
    "blockwise_attention": [
        *(_in_blocks((7, 3), (7, 3), (7, 2), causal=causal, block=block, span=span)
          for causal in (False, True) for block, span in [(1, 1), (2, 2), (2, 4), (3, 6), (32, 256)]),
        _in_blocks((2, 2, 5, 2), (2, 2, 9, 2), (2, 2, 9, 1), causal=True),
        _in_blocks((2, 9, 2), (2, 5, 2), (2, 5, 3), causal=True, scale=0.7),
        _in_blocks((2, 9), (9, 9), (9, 2)),
        _in_blocks((7, 4), (9, 4), (9, 2), spread=5),
        _in_blocks((9, 2), (9, 2), (9, 3), causal=True, spread=5),
        _in_blocks((1, 1), (1, 1), (1, 1), causal=True),
        _in_blocks((0, 3, 2), (0, 3, 2), (0, 3, 2), causal=True),
    ],
    "log1p": unary(lambda x: x.log1p(), positive),
    "expm1": unary(lambda x: x.expm1()),
    "erf": unary(lambda x: x.erf()) + unary(lambda x: x.erf(), wide),
    "compare": [
        Sample((normal(*a), normal(*b, seed=1)), lambda a, b: (a < b).to(a.dtype) + 0 * a + 0 * b, {"compare": np.less})
        for a, b in [((2, 3), (2, 3)), ((2, 3), (3,)), ((1,), (1,)), ((0, 3), (3,)), ((), ())]
    ],
    "softplus": unary(lambda x: _f().softplus(x)) + unary(lambda x: _f().softplus(x, threshold=1000), wide),
    "steps": [s for name, u in [("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc), ("sign", np.sign), ("round", np.rint)]
              for s in unary(lambda x, name=name: getattr(x, name)(), off_zero, ufunc=u)],
    "binary_cross_entropy": [
        Sample((np.asarray(positive(*s) / 3), np.asarray(positive(*s, seed=4) / 3)),
               lambda x, y: _f().binary_cross_entropy(x, y, reduction="none"))
        for s in [(2, 3), (4,), (), (1,), (0, 3)]
    ] + [at_kinks(lambda x, y: _f().binary_cross_entropy(x, y, reduction="none"), [0, 1, 0, 1, 0.5], [0, 1, 1, 0, 1])],
    "xlogy": [
        Sample((positive(*a), positive(*b, seed=4)), lambda a, b: in_torch().xlogy(a, b)) for a, b in
        [((2, 3), (2, 3)), ((2, 3), (3,)), ((), (4,)), ((1,), (1,)), ((0, 3), (3,))]
    ] + [at_kinks(lambda a, b: in_torch().xlogy(a, b), [0, 0, -1], [1, -1, 2])],
    "addcdiv": [
        Sample((normal(*x), normal(*a, seed=1), off_zero(*b)), lambda x, a, b, c=c: in_torch().addcdiv(x, a, b, value=c), {"c": c})
        for x, a, b in [((2, 3), (2, 3), (2, 3)), ((2, 3), (3,), (2, 1)), ((), (2,), (2,)), ((1,), (1,), (1,)), ((0, 3), (3,), (3,))]
        for c in (1, 0.5)
    ],
    "lerp": [
        Sample((normal(*x), normal(*y, seed=1), np.asarray(w)), lambda x, y, w: in_torch().lerp(x, y, w))
        for x, y, w in [((2, 3), (2, 3), 0.25), ((2, 3), (2, 3), 0.75), ((2, 3), (3,), normal(2, 3, seed=2)), ((1,), (1,), 0.5 * normal(1)),
                        ((0, 3), (3,), 0.25), ((), (), 2.0)]
    ],
    "scatter_add": [
        Sample((normal(*x), normal(*i.shape, seed=1)), lambda x, v, a=a, i=i: x.scatter_add(a, in_torch().from_numpy(i), v), {"at": along(i, a)})
        for x, a, i in [((4, 3), 0, PICKS), ((2, 3), 1, PICKS), ((1,), 0, PICKS[0, :1]), ((0, 2), 0, PICKS[:0, :2])]
    ],
}  # fmt: skip


def add(name: str, samples: list[Sample]) -> None:
    """Add the samples of a primitive of the table; ValueError if it has samples already."""
    if name in SAMPLES:
        raise ValueError(f"the primitive {name!r} has samples already")
    SAMPLES[name] = samples
