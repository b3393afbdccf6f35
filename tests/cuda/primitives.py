"""Every primitive on the real CuPy, forward and backward, against NumPy: python tests/cuda/primitives.py [--emulated] [NAME …]

One line for each row of the table with what its samples (gradcheck/samples.py) cost in float32 and float16, and for the fused
kernels that take its place, in every precision; and a summary. The exit status is 1 where a value, a dtype or a shape
differs, something raises, a result lies on the host, and under the emulator where data comes back from the device unasked, or
where it could not do what CuPy wanted.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import gpt.rotary_samples  # noqa: F401  (a model may add primitives of its own)
from tinytensor import ops
from tinytensor.cuda.fused import replacement
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import Sample, cotangents, forward, play
from tinytensor.primitive import PRIMITIVES, Primitive

LIMITS = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3}  # of the largest element: a few roundings
COUNTED = ("launches", "device to host", "synchronizations")
ENGINE = str(Path(ops.__file__).parent.parent)
READS_MASKS = {"getitem", "setitem"}  # under a boolean mask the size of the result is known on the host alone


def main(names: list[str]) -> int:
    """Compare the primitives of these names, or all; 0 if they agree and nothing was left undone."""
    ops.load_all()
    total: Counter[str] = Counter()
    wrong: list[str] = []
    print(f"{'primitive':<30}{'calls':>6}{'launches':>10}{'products':>10}{'copies back':>13}{'error':>10}")
    rows = [row for name in names or sorted(PRIMITIVES) for row in rows_of(name)]
    for name, primitive, samples in rows:
        row, problems = compare_row(primitive, samples)
        total.update({key: n for key, n in row.items() if key not in ("error", "excess")})
        wrong += [f"{name}: {problem}" for problem in problems]
        counted = [row[key] if gpu.EMULATED else "–" for key in ("launches", "products", "device to host")]
        cells = "{:>6}{:>10}{:>10}{:>13}{:>10.1e}".format(row["calls"], *counted, row["error"])
        print(f"{name:<30}{cells}  {'FAILED' if problems else ''}".rstrip(), flush=True)
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print("\n".join(["", *wrong, summary(len(names or PRIMITIVES), len(rows), total, len(wrong))]))
    return 1 if wrong else 0


def rows_of(name: str) -> list[tuple[str, Primitive, list[Sample]]]:
    """What a primitive is compared in: its own pair in float32 and float16, the fused one in every precision that it can."""
    plain, samples = PRIMITIVES[name], SAMPLES[name]
    rows = [(name, plain, [s.cast(np.float32) for s in samples if "float32" in s.dtypes])]
    half = [s.cast(np.float16) for s in samples if "float16" in s.dtypes]
    if half:
        rows.append((f"{name} float16", plain, half))
    for dtype in LIMITS:
        fused = [
            (s, replacement(plain, s.arrays, s.static)) for s in (s.cast(dtype) for s in samples if dtype in s.dtypes)
        ]
        taken = [(s, pair) for s, pair in fused if pair is not plain]
        if taken:
            rows.append((f"{name} fused {dtype}", taken[0][1], [s for s, _ in taken]))
    return rows


def summary(primitives: int, rows: int, total: Counter[str], wrong: int) -> str:
    """The totals, in one line."""
    compared = f"{primitives} primitives compared in {rows} rows, {total['calls']} calls; {wrong} problems"
    if not gpu.EMULATED:
        return compared
    count = gpu.count
    compiled = ", ".join(f"sm_{a}" for a in gpu.ARCHITECTURES)
    now = max(count[f"compiled for sm_{a}"] for a in gpu.ARCHITECTURES)
    not_run = sum(n for what, n in gpu.troubles().items() if what.startswith("not executed"))
    return (
        f"{compared}; {total['launches']} launches, {total['products']} products of matrices, {total['device to host']} copies "
        f"back, {not_run} launches not executed; {count['kernels']} kernels compiled for {compiled} ({now} of them now)"
    )


def compare_row(primitive: Primitive, samples: list[Sample]) -> tuple[dict[str, Any], list[str]]:
    """What the samples of one primitive cost on the device, their worst error, and what is wrong with them."""
    row: dict[str, Any] = dict.fromkeys(("calls", "products", "error", "excess", *COUNTED), 0)
    raised: Counter[str] = Counter()
    for sample in samples:
        row["calls"] += 1
        try:
            error, excess = compare(primitive, sample, row)
            row["error"], row["excess"] = max(row["error"], error), max(row["excess"], excess)
        except Exception as exception:
            raised[described(exception)] += 1
    problems = [f"{n} of {row['calls']} calls: {message}" for message, n in raised.items()]
    if row["excess"] > 1:
        problems.append(f"an error of {row['error']:.1e}, {row['excess']:.3g} times what is allowed")
    if row["device to host"] and primitive.name not in READS_MASKS:
        problems.append(f"{row['device to host']} copies from the device to the host")
    return row, problems


def described(error: Exception) -> str:
    """What was raised, in one line, and where the engine was then."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if f.filename.startswith(ENGINE)), frames[-1])
    return f"{Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {str(error).splitlines()[0]}"


def compare(primitive: Primitive, sample: Sample, row: dict[str, Any]) -> tuple[float, float]:
    """The largest difference of outputs and gradients from NumPy's in float64, relative to the largest element of each; and
    the largest multiple of what is allowed."""
    plain = PRIMITIVES[primitive.name]
    u = cotangents(forward(plain, sample.arrays, sample.static))
    arrays, static, cotangent = (to_device(x) for x in (sample.arrays, sample.static, u))
    odd = play(
        primitive, *map(oddly_laid, (arrays, static, cotangent))
    )  # and what is made once is made, and not counted
    before, products = Counter(gpu.count), gpu.products()
    results = play(primitive, arrays, static, cotangent)
    for key in COUNTED:
        row[key] += gpu.count[key] - before[key]
    row["products"] += gpu.products() - products
    formed = play(plain if primitive is plain else narrow(plain), sample.arrays, sample.static, u)
    exact = sample.cast(np.float64)
    expected = play(plain, exact.arrays, exact.static, [y.astype(np.float64) if y.dtype.kind == "f" else y for y in u])
    worst = excess = 0.0
    for ours, kinds, values in (*zip(results, formed, expected, strict=True), *zip(odd, formed, expected, strict=True)):
        for error, allowed in (difference(*three) for three in zip(ours, kinds, values, strict=True)):
            worst, excess = max(worst, error), max(excess, error / allowed)
    return worst, excess


def narrow(primitive: Primitive) -> Primitive:
    """The pair without `wide`, in float16 throughout. A fused kernel saves its output in float16, and may lose as much."""
    forward, backward = (getattr(f, "__wrapped__", f) for f in (primitive.forward, primitive.backward))
    return Primitive(primitive.name, forward, backward, primitive.formula)


def to_device(x: Any) -> Any:
    """x with every array in it on the device, as Tensors on a GPU would hand them in."""
    if isinstance(x, np.ndarray):
        return gpu.cupy.asarray(x)
    if isinstance(x, dict):
        return {key: to_device(value) for key, value in x.items()}
    return type(x)(map(to_device, x)) if isinstance(x, (list, tuple)) else x


def oddly_laid(x: Any) -> Any:
    """x with every array in it column by column, and every other element of a larger one: a kernel has to mind strides."""
    if isinstance(x, gpu.cupy.ndarray):
        room = gpu.cupy.zeros([2 * n + 1 for n in reversed(x.shape)], x.dtype)
        view = room[(slice(1, None, 2),) * x.ndim].T
        view[...] = x
        return view
    if isinstance(x, dict):
        return {key: oddly_laid(value) for key, value in x.items()}
    return type(x)(map(oddly_laid, x)) if isinstance(x, (list, tuple)) else x


def difference(x: Any, kind: Any, expected: Any) -> tuple[float, float]:
    """The largest difference, relative to the largest element expected, and what is allowed.

    kind is NumPy's result in that precision. Where it is off by more than LIMITS, the call is what loses digits, and as
    much is allowed. TypeError unless x has kind's dtype and shape.
    """
    if x is None or kind is None:
        if x is not kind:
            raise TypeError("one side alone has a gradient")
        return 0.0, 1.0
    if type(x) is not gpu.cupy.ndarray or (x.dtype, x.shape) != (kind.dtype, kind.shape):
        found = f"{type(x).__module__}.{type(x).__name__} {x.dtype}{list(x.shape)}"
        raise TypeError(f"a result is {found}, NumPy's is {kind.dtype}{list(kind.shape)}")
    ours, theirs, exact = (y.astype(np.float64) for y in (x.get(), kind, expected))
    limit, lost = LIMITS.get(kind.dtype.name, LIMITS["float64"]), distance(theirs, exact)
    if not np.isfinite(lost):  # the precision has an infinity, or a nan, where there is a number: as NumPy, then
        return distance(ours, theirs), limit
    return distance(ours, exact), max(limit, lost)


def distance(y: Any, expected: Any) -> float:
    """The largest difference, relative to the largest element expected; infinite where infinities or nans are elsewhere."""
    finite = np.isfinite(expected)
    if not np.array_equal(y[~finite], expected[~finite], equal_nan=True) or not np.isfinite(y[finite]).all():
        return np.inf
    largest = np.abs(expected[finite]).max(initial=1e-3)
    return float((np.abs(y[finite] - expected[finite]) / largest).max(initial=0.0))


if __name__ == "__main__":
    gpu.finish(main(sys.argv[1:]))
