"""The fused kernels that work on rows, where samples do not reach: python tests/cuda/rows.py [--emulated] [NAME …]

Rows longer than a block of threads, more rows than blocks, nan and infinities, ids of 4 bytes and negative ones, arrays
that are views of others, gradients that are not wanted or have a place already. In every precision, against NumPy, by
primitives.py, whose lines and limits these are. The exit status is 1 if something differs.
"""

from __future__ import annotations

import sys
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np
import primitives

from tinytensor import ops
from tinytensor.cuda.fused import replacement
from tinytensor.gradcheck.sample import normal, positive
from tinytensor.gradcheck.table import Sample, play
from tinytensor.primitive import PRIMITIVES, Primitive

INF, NAN = np.inf, np.nan
ODD = np.array([  # each row is finite, or not, in a way of its own
    [1, 2, 3, 4], [1, INF, 0, 2], [1, -INF, 0, 2], [NAN, 1, 2, 3], [1, 2, NAN, 3], [-INF] * 4, [INF] * 4, [INF, -INF, NAN, 0],
])  # fmt: skip


def rows(*arrays: Any, **static: Any) -> Sample:
    return Sample(arrays, lambda *_: None, static)


def ids(*values: int, dtype: Any = np.int64) -> np.ndarray:
    return np.array(values, dtype)


def norms() -> list[Sample]:
    shapes = [(2, 300), (3, 1100), (1031, 3), (70, 1, 1000), (9, 33)]
    affine = [rows(normal(*s), positive(s[-1]), normal(s[-1]), n=s[-1], eps=1e-5) for s in shapes]
    return [
        *affine,
        rows(normal(1100, 2), None, None, n=2, eps=0.1),
        rows(normal(1100, 40), None, normal(40), n=40, eps=0.1),
        rows(normal(5, 40) + 10, positive(40), None, n=40, eps=1e-5),
        rows(ODD, positive(4), normal(4), n=4, eps=1e-5),
        rows(ODD[:0], positive(4), normal(4), n=4, eps=1e-5),
        rows(np.ones((3, 4)), positive(4), normal(4), n=4, eps=1e-5),
    ]


def softmaxes() -> list[Sample]:
    shapes = [((2, 300), 1), ((300, 2), 0), ((3, 1100, 2), 1), ((2, 3, 4, 5), -3), ((1, 1), 0), ((700,), 0)]
    return [*(rows(normal(*shape), axis=axis) for shape, axis in shapes), rows(ODD, axis=1), rows(ODD, axis=0)]


def losses() -> list[Sample]:
    cases = [
        (normal(2, 300), ids(299, 0)), (normal(1100, 2), ids(*(n % 3 % 2 for n in range(1100)))), (normal(3, 1), ids(0, 0, -100)),
        (normal(3, 4), ids(-100, -100, -100)), (normal(0, 4), ids()), (normal(3, 4), ids(3, -1, -4)),
        (normal(3, 4), ids(3, -100, 1, dtype=np.int32)), (ODD, ids(0, 1, 1, 2, 3, 0, 1, -100)),
        (40 * normal(5, 9), ids(0, 8, 3, 3, 1)),
    ]  # fmt: skip
    return [rows(x, target=t, ignore_index=-100, reduction=r) for r in ("mean", "sum", "none") for x, t in cases] + [
        rows(normal(3, 4), target=ids(2, 0, 1), ignore_index=i, reduction="mean") for i in (0, np.int32(0), np.int64(0))
    ]


def tables() -> list[Sample]:
    many = np.arange(700) * 7 % 11 % 5
    cases = [
        (normal(5, 70), many), (normal(5, 3), many.reshape(7, 100)), (normal(6, 300), many[:40]), (normal(5, 40), many * 0),
        (normal(5, 3), ids(-1, -5, 4)), (normal(5, 3), ids(0, 4, 4, dtype=np.int32)), (normal(5, 3), ids(1, 3, dtype=np.int16)),
        (normal(1025, 2), ids(1024, 0, 1024)), (normal(1100, 300), many), (normal(1100, 3), ids(1, 1099, 1, dtype=np.int32)),
        (ODD, ids(0, 1, 1, 7)),
    ]  # fmt: skip
    return [rows(w, ids=i) for w, i in cases]


CASES = {
    "layer_norm": norms(), "softmax": softmaxes(), "log_softmax": softmaxes(), "cross_entropy": losses(), "embedding": tables(),
}  # fmt: skip


def wrong_layouts(pair: Primitive, sample: Sample) -> str:
    """The same numbers, bit for bit, from arrays whose elements do not lie one after the other, the gradients' too."""
    sample = sample.cast(np.float32)
    arrays, static = primitives.to_device(sample.arrays), primitives.to_device(sample.static)
    y = pair.forward(*arrays, **static)[0]
    u = gpu.cupy.asarray(np.asarray(normal(*y.shape), np.float32))
    spread_static = {key: spread(value) for key, value in static.items()}
    expected = flat(play(pair, arrays, static, [u]))
    found = flat(play(pair, [spread(a) for a in arrays], spread_static, [spread(u)]))
    same = all(x is e or ((x == e) | (x != x) & (e != e)).all() for x, e in zip(found, expected))
    return "" if same else "views of arrays give other numbers"


def spread(x: Any) -> Any:
    """x as every second element of an array, if it is one."""
    if type(x) is not gpu.cupy.ndarray:
        return x
    twice = gpu.cupy.full((*x.shape, 2), 99, x.dtype)
    twice[..., 0] = x
    return twice[..., 0]


def flat(played: Any) -> list[Any]:
    outputs, gradients = played
    return [*outputs, *gradients]


def wrong_options() -> str:
    """What layer norm and embedding do with `needs`, `out`, `add_to` and `save`."""
    cupy = gpu.cupy
    x, w, b, dy = (cupy.asarray(normal(*s), np.float32) for s in [(6, 40), (40,), (40,), (6, 40)])
    norm = replacement(PRIMITIVES["layer_norm"], [x, w, b], {"n": 40, "eps": 1e-5})
    place = cupy.zeros((2, 40), np.float32)
    y, saved = norm.forward(x, w, b, n=40, eps=1e-5, save=True)
    unsaved, nothing = norm.forward(x, w, b, n=40, eps=1e-5, save=False)
    expected = norm.backward(dy, *saved)
    found = norm.backward(dy, *saved, needs=(True,) * 3, out=(None, place[0], place[1]))
    without = norm.backward(dy, *saved, needs=(True, False, False))
    added = norm.backward(dy, *saved, add_to=spread(x))[0]
    table = replacement(PRIMITIVES["embedding"], [dy], {"ids": None})
    weight, in_place = cupy.asarray(normal(2000, 40), np.float32), cupy.full((2000, 40), 5, np.float32)
    ids_ = cupy.asarray(ids(1, 3, 1, 0, 2, 2))
    checks = {
        "y depends on save": (unsaved == y).all() and nothing[1] is None,
        "dw, db are not in their places": found[1].data.ptr == place.data.ptr
        and found[2].data.ptr == place[1].data.ptr,
        "gradients depend on needs or out": all((f == e).all() for f, e in zip(found, expected)),
        "the earlier gradient is not added": abs(added - (x + expected[0])).max() < 1e-6,
        "dw, db are there unasked": without[1] is None and without[2] is None and (without[0] == expected[0]).all(),
    }
    for count in (5, 2000):  # by row, by id
        saved = table.forward(weight[:count], ids=ids_)[1]
        wanted = table.backward(dy, *saved)[0]
        got = table.backward(dy, *saved, out=(in_place[:count],))[0]
        checks[f"dW of {count} rows is not in its place"] = got.data.ptr == in_place.data.ptr and (got == wanted).all()
    return "; ".join(what for what, holds in checks.items() if not holds)


def wrong_places() -> str:
    """Integers on the host beside floats on the device: one alone could be taken for a pointer."""
    x, missed = gpu.cupy.ones((1, 3), np.float32), []
    for name, static in (
        ("embedding", {"ids": ids(0)}),
        ("cross_entropy", {"target": ids(0), "ignore_index": 1, "reduction": "sum"}),
    ):
        try:
            replacement(PRIMITIVES[name], [x], static).forward(x, **static)
        except RuntimeError as error:
            missed += [] if "one device" in str(error) else [str(error)]
        else:
            missed.append(f"{name} takes integers on the host")
    return "; ".join(missed)


def wrong_pieces() -> str:
    """Gradients that lie side by side are the whole one; the same one twice is not, nor are others."""
    cupy, split = gpu.cupy, replacement(PRIMITIVES["split"], [], {})
    x = cupy.asarray(normal(6, 4), np.float32)
    saved = split.forward(x, sizes=[2, 2, 2], axis=0)[1]
    a, b, c = x[:2], x[2:4], x[4:]
    cases = {
        "side by side": [a, b, c],
        "one alone": [a, a, a],
        "the first twice": [a, a, b],
        "the other way": [c, b, a],
    }
    found = {what: split.backward(dys, *saved)[0] for what, dys in cases.items()}
    wrong = [what for what, dys in cases.items() if not (found[what] == cupy.concatenate(dys)).all()]
    wrong += ["a copy"] if found["side by side"].data.ptr != x.data.ptr else []
    return f"split's gradient: {', '.join(wrong)}" if wrong else ""


def main(names: list[str]) -> int:
    """Compare the cases of these names, or all; 0 if they agree and nothing was left undone."""
    ops.load_all()
    wrong, calls = [wrong_options(), wrong_places(), wrong_pieces()], 0
    for name in names or CASES:
        pair = replacement(PRIMITIVES[name], CASES[name][0].arrays, CASES[name][0].static)
        assert pair is not PRIMITIVES[name], f"{name} has no fused pair"
        for dtype in primitives.LIMITS:
            row, problems = primitives.compare_row(pair, [s.cast(dtype) for s in CASES[name]])
            print(f"{name:<14}{dtype:<8}  {row['calls']} calls, error {row['error']:.1e}", flush=True)
            wrong += [f"{name} {dtype}: {problem}" for problem in problems]
            calls += row["calls"]
        wrong += [f"{name}: {found}" for found in {wrong_layouts(pair, s) for s in CASES[name]} if found]
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    wrong = [line for line in wrong if line]
    print("\n".join(["", *wrong, f"{calls} calls of fused kernels compared; {len(wrong)} problems"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    gpu.finish(main(sys.argv[1:]))
