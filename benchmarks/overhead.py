"""Time beside computing: of an operation on one element, and of `import`.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --sizes 1 1000

time_operation  an operation, forward and backward: the mean over a chain of y ← tanh(y · a + b)
time_tape       the same minus the time of its array functions called by hand: the cost of recording and playing
time_import     the statement `import tinytensor` in a new interpreter, NumPy's own import included
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.cli import ENGINE, THREADS, Benchmark, Column, ratio_to
from benchmarks.harness import Case, Results, Row, timed
from benchmarks.plots import bars
from gpt.errors import UserError

LINKS = 300  # of three operations each
IMPORT = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def parse_elements(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UserError(f"--sizes {text}: a size is a number of elements, such as 1")
    return int(text)


def chain(torch: Any, elements: int) -> Callable[[], float]:
    """Seconds of an operation, forward and backward, in tinytensor or PyTorch."""
    y, a, b = (torch.full((elements,), value, requires_grad=True) for value in (0.5, 0.9, 0.1))

    def run() -> float:
        started, x = time.perf_counter(), y
        for _ in range(LINKS):
            x = (x * a + b).tanh()
        x.backward(torch.ones(elements))
        return (time.perf_counter() - started) / (3 * LINKS)

    return run


def pairs_by_hand(elements: int) -> Callable[[], float]:
    """Seconds of the same pairs of array functions, called one after the other by hand."""
    import numpy as np

    from tinytensor.primitive import PRIMITIVES

    mul, add, tanh = (PRIMITIVES[name] for name in ("mul", "add", "tanh"))
    y, a, b = (np.full((elements,), value, np.float32) for value in (0.5, 0.9, 0.1))

    def run() -> float:
        started, x, calls = time.perf_counter(), y, []
        for _ in range(LINKS):
            x, saved = mul.forward(x, a)
            calls.append((mul, saved))
            x, saved = add.forward(x, b)
            calls.append((add, saved))
            x, saved = tanh.forward(x)
            calls.append((tanh, saved))
        dy = np.ones(elements, np.float32)
        for primitive, saved in reversed(calls):
            dy = primitive.backward(dy, *saved)[0]
        return (time.perf_counter() - started) / (3 * LINKS)

    return run


def measure(case: Case) -> Results:
    found: Results = {"time_import": {"ms": imports(case.engine)}}
    elements = parse_elements(case.size)
    if case.engine == "torch":
        import torch

        torch.set_num_threads(case.threads)
        found["time_operation"] = {"ms": repeated(chain(torch, elements))}
    elif case.engine == "tinytensor":
        import tinytensor

        whole, by_hand = chain(tinytensor, elements), pairs_by_hand(elements)
        found["time_operation"] = {"ms": repeated(whole)}
        found["time_tape"] = {"ms": repeated(lambda: whole() - by_hand())}
    return found


def repeated(run: Callable[[], float]) -> list[float]:
    """Milliseconds that the function measures itself, repeated for a second."""
    samples: list[float] = []
    timed(lambda: samples.append(run() * 1e3), seconds=1.0)
    return samples[3:]


def imports(module: str, times: int = 4) -> list[float]:
    """Milliseconds of the import in new interpreters, without the first, which may read from disk."""
    commands = [[sys.executable, "-c", IMPORT.format(module)]] * times
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    return [float(output) * 1e3 for output in outputs][1:]


def duration(title: str, key: str) -> Column:
    """Milliseconds for the import, microseconds for the others."""
    return Column(title, lambda row: f"{row[key]:.0f} ms" if what(row) == "time_import" else f"{1e3 * row[key]:.2f} µs")


def what(row: Row) -> str:
    return str(row["name"]).partition("(")[0].partition(".")[2]


BENCHMARK = Benchmark(
    name="overhead",
    text=__doc__,
    engines=("tinytensor", "torch", "numpy"),
    threads=(1,),
    sizes=("1",),
    check_size=parse_elements,
    repeats=3,
    columns=(
        Column("elements", lambda row: row["size"]),
        THREADS,
        ENGINE,
        Column("what", what, left=True),
        duration("median", "median_ms"),
        duration("min", "min_ms"),
        duration("spread", "spread_ms"),
        ratio_to("torch"),
    ),
    draw=lambda rows, path: bars("milliseconds to import")([row for row in rows if what(row) == "time_import"], path),
    size_text="number of elements",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
