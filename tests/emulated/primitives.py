"""Every primitive on the real CuPy, forward and backward, against NumPy: python tests/emulated/primitives.py [NAME …]

One line for each row of the table with what its samples (tests/samples.py) cost in float32, and a summary. The exit status
is 1 where a value, a dtype or a shape differs, something raises, a result lies on the host, data comes back from the device
unasked, or the emulator could not do what CuPy wanted of it.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import emulator  # first: before cupy is imported

sys.path.insert(0, str(Path(__file__).parent.parent))

import cupy
import numpy as np
from samples import SAMPLES

from tinytensor import ops
from tinytensor.gradcheck.table import Sample, cotangents, forward, play
from tinytensor.primitive import PRIMITIVES, Primitive

LIMIT = 1e-5  # of the largest element: a few roundings of float32
COUNTED = ("launches", "device to host", "synchronizations")
ENGINE = str(Path(ops.__file__).parent.parent)
READS_MASKS = {"getitem", "setitem"}  # under a boolean mask the size of the result is known on the host alone


def main(names: list[str]) -> int:
    """Compare the primitives of these names, or all; 0 if they agree and nothing was left undone."""
    ops.load_all()
    total: Counter[str] = Counter()
    wrong: list[str] = []
    print(f"{'primitive':<22}{'calls':>6}{'launches':>10}{'products':>10}{'copies back':>13}{'error':>10}")
    for name in names or sorted(PRIMITIVES):
        row, problems = compare_row(PRIMITIVES[name], [s for s in SAMPLES[name] if "float32" in s.dtypes])
        total.update({key: n for key, n in row.items() if key != "error"})
        wrong += [f"{name}: {problem}" for problem in problems]
        cells = f"{row['calls']:>6}{row['launches']:>10}{row['products']:>10}{row['device to host']:>13}{row['error']:>10.1e}"
        print(f"{name:<22}{cells}  {'FAILED' if problems else ''}".rstrip(), flush=True)
    wrong += [f"emulator: {what}: {n}" for what, n in emulator.troubles().items()]
    print("\n".join(["", *wrong, summary(len(names or PRIMITIVES), total, len(wrong))]))
    return 1 if wrong else 0


def summary(rows: int, total: Counter[str], wrong: int) -> str:
    """The totals, in one line."""
    count = emulator.count
    compiled = ", ".join(f"sm_{a}" for a in emulator.ARCHITECTURES)
    now = max(count[f"compiled for sm_{a}"] for a in emulator.ARCHITECTURES)
    not_run = sum(n for what, n in emulator.troubles().items() if what.startswith("not executed"))
    return (
        f"{rows} primitives compared, {total['calls']} calls, {total['launches']} launches and {total['products']} products "
        f"of matrices; {count['kernels']} kernels compiled for {compiled} ({now} of them now), {not_run} launches not executed; "
        f"{total['device to host']} copies back; {wrong} problems"
    )


def compare_row(primitive: Primitive, samples: list[Sample]) -> tuple[dict[str, Any], list[str]]:
    """What the samples of one primitive cost on the device, their worst error, and what is wrong with them."""
    row: dict[str, Any] = dict.fromkeys(("calls", "products", "error", *COUNTED), 0)
    raised: Counter[str] = Counter()
    for sample in samples:
        row["calls"] += 1
        try:
            row["error"] = max(row["error"], compare(primitive, sample.cast(np.float32), row))
        except Exception as error:
            raised[described(error)] += 1
    problems = [f"{n} of {row['calls']} calls: {message}" for message, n in raised.items()]
    if row["error"] > LIMIT:
        problems.append(f"an error of {row['error']:.1e}, limit {LIMIT:.0e}")
    if row["device to host"] and primitive.name not in READS_MASKS:
        problems.append(f"{row['device to host']} copies from the device to the host")
    return row, problems


def described(error: Exception) -> str:
    """What was raised, in one line, and where the engine was then."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if f.filename.startswith(ENGINE)), frames[-1])
    return f"{Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {str(error).splitlines()[0]}"


def compare(primitive: Primitive, sample: Sample, row: dict[str, Any]) -> float:
    """The largest difference of outputs and gradients from NumPy's, relative to the largest element of each."""
    u = cotangents(forward(primitive, sample.arrays, sample.static))
    arrays, static, cotangent = (to_device(x) for x in (sample.arrays, sample.static, u))
    expected = play(primitive, sample.arrays, sample.static, u)
    play(primitive, arrays, static, cotangent)  # what is made once, such as a causal mask, is not counted below
    before, products = Counter(emulator.count), emulator.products()
    results = play(primitive, arrays, static, cotangent)
    for key in COUNTED:
        row[key] += emulator.count[key] - before[key]
    row["products"] += emulator.products() - products
    pairs = [pair for ours, theirs in zip(results, expected) for pair in zip(ours, theirs, strict=True)]
    return max((difference(x, y) for x, y in pairs), default=0.0)


def to_device(x: Any) -> Any:
    """x with every array in it on the device, as Tensors on a GPU would hand them in."""
    if isinstance(x, np.ndarray):
        return cupy.asarray(x)
    if isinstance(x, dict):
        return {key: to_device(value) for key, value in x.items()}
    return type(x)(map(to_device, x)) if isinstance(x, (list, tuple)) else x


def difference(x: Any, expected: Any) -> float:
    """The largest difference, relative to the largest element expected; TypeError if x is another kind of thing."""
    if x is None or expected is None:
        if x is not expected:
            raise TypeError("one side alone has a gradient")
        return 0.0
    if type(x) is not cupy.ndarray or (x.dtype, x.shape) != (expected.dtype, expected.shape):
        kind = f"{type(x).__module__}.{type(x).__name__} {x.dtype}{list(x.shape)}"
        raise TypeError(f"a result is {kind}, NumPy's is {expected.dtype}{list(expected.shape)}")
    found, expected = x.get().astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        raise ValueError("infinities or nans are elsewhere")
    largest = np.abs(expected[finite]).max(initial=1e-3)
    return float((np.abs(found[finite] - expected[finite]) / largest).max(initial=0.0))


if __name__ == "__main__":
    emulator.finish(main(sys.argv[1:]))
