"""Check every primitive of the table, and print the worst error of each.

    python -m tinytensor.gradcheck                 # all of them, a few seconds
    python -m tinytensor.gradcheck gelu attention  # some
    python -m tinytensor.gradcheck --samples mine.py softplus

The exit status is 1 if an error is above its limit. The sample calls are those of the tests, so this runs in a checkout
of the source; --samples takes another file with a dict SAMPLES of lists of tinytensor.gradcheck.table.Sample.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path

from tinytensor.gradcheck.table import LIMITS, Row, Sample, examine
from tinytensor.ops import load_all
from tinytensor.primitive import PRIMITIVES

SAMPLES = Path(__file__).resolve().parents[2] / "tests" / "samples.py"
COLUMNS = {"differences": "differences", "pytorch": "PyTorch", "composed": "composed", "ulps": "float32"}
LEGEND = f"""
differences  worst error of a derivative against central differences in float64, relative (limit {LIMITS["differences"]:.0e})
PyTorch      worst difference of a value or gradient from PyTorch's, float64, relative (limit {LIMITS["pytorch"]:.0e})
composed     the same from the form that is written out in smaller operations (limit {LIMITS["composed"]:.0e})
float32      worst error in float32, in units of what rounding the inputs does anyway (limit {LIMITS["ulps"]:.0f})
saved        bytes that forward keeps for backward, for the largest sample, and as a multiple of its inputs' bytes"""


def main(argv: list[str]) -> int:
    """Print the table; 0 if all is within its limits, 1 if not, 2 if the samples can't be had."""
    parser = argparse.ArgumentParser(
        "python -m tinytensor.gradcheck", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="PRIMITIVE", help="which to check (default: all)")
    parser.add_argument("--samples", type=Path, default=SAMPLES, metavar="FILE", help="where the sample calls are")
    arguments = parser.parse_args(argv)
    load_all()
    samples = read(parser, arguments.samples)
    names = arguments.names or list(samples)
    for name in names:
        if name not in samples or name not in PRIMITIVES:
            where = "the table" if name not in PRIMITIVES else arguments.samples
            parser.error(f"no primitive {name!r} in {where}; there are {', '.join(samples)}")

    with_pytorch = has_pytorch()
    print(f"{'primitive':<21}{' '.join(f'{title:>11}' for title in COLUMNS.values())}{'saved':>11}{'formula':>18}")
    rows = []
    for name in names:
        rows.append(examine(PRIMITIVES[name], samples[name], with_pytorch))
        print(line(rows[-1]), flush=True)
    print(LEGEND if with_pytorch else f"{LEGEND}\nPyTorch is not installed: its column is empty (pip install torch)")
    print(f"\n{len(rows)} primitives, {sum(len(samples[name]) for name in names)} sample calls; {summary(rows)}")
    return 1 if any(row.wrong() for row in rows) else 0


def has_pytorch() -> bool:
    """Whether PyTorch is installed, and works."""
    try:
        importlib.import_module("torch")
    except ImportError:
        return False
    return True


def read(parser: argparse.ArgumentParser, path: Path) -> dict[str, list[Sample]]:
    """The SAMPLES of a file; ends with one line where there are none."""
    if not path.is_file():
        parser.error(f"there is no {path}: run this in a checkout of the source, or give --samples FILE")
    spec = importlib.util.spec_from_file_location("samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    samples: dict[str, list[Sample]] | None = getattr(module, "SAMPLES", None)
    if not samples:
        parser.error(f"{path} has no dict SAMPLES of lists of Sample")
    return samples


def line(row: Row) -> str:
    """One row of the table; what is wrong has an exclamation mark behind it."""
    wrong = row.wrong()
    cells = [f"{shown(row, check):>11}{'!' if check in wrong else ' '}" for check in COLUMNS]
    share = f"{row.saved / row.inputs:.1f}×" if row.inputs else ""
    return f"{row.name:<21}{''.join(cells)}{row.saved:>8} B{share:>7}   {row.formula}"


def shown(row: Row, check: str) -> str:
    """An error in few characters; a dash where the check has nothing to say."""
    error = getattr(row, check)
    return "–" if error is None else "0" if error == 0 else f"{error:.2f}" if check == "ulps" else f"{error:.1e}"


def summary(rows: list[Row]) -> str:
    """The worst of each column, with the row that has it; then the rows that are above a limit."""
    parts = []
    for check, title in COLUMNS.items():
        found = [row for row in rows if getattr(row, check) is not None]
        if found:
            worst = max(found, key=lambda row: float(getattr(row, check)))
            parts.append(f"{title} {shown(worst, check)} ({worst.name})")
    wrong = [f"{row.name} ({', '.join(row.wrong())})" for row in rows if row.wrong()]
    return "worst: " + ", ".join(parts) + (f"\nabove the limit: {'; '.join(wrong)}" if wrong else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
