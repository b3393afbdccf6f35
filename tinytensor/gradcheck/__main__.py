"""Check every primitive of the table, and print the largest errors of each.

    python -m tinytensor.gradcheck                 # all of them, a few seconds
    python -m tinytensor.gradcheck gelu attention  # some
    python -m tinytensor.gradcheck --samples gpt.rotary_samples   # those that a module or a file adds

The exit status is 1 if an error is above its limit. The sample calls are in samples.py; the module or file that
--samples names adds others by `tinytensor.gradcheck.samples.add`.
"""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys
from pathlib import Path

from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import LIMITS, Row, examine
from tinytensor.ops import load_all
from tinytensor.primitive import PRIMITIVES
from tinytensor.terminal import program

COLUMNS = {"differences": "differences", "pytorch": "PyTorch", "composed": "composed", "ulps": "float32"}
LEGEND = f"""
differences  worst error of a derivative against central differences in float64, relative (limit {LIMITS["differences"]:.0e})
PyTorch      worst difference of a value or gradient from PyTorch's, float64, relative (limit {LIMITS["pytorch"]:.0e})
composed     the same from the form that is written out in smaller operations (limit {LIMITS["composed"]:.0e})
float32      worst error in float32, in units of what rounding the inputs does anyway (limit {LIMITS["ulps"]:.0f})
saved        bytes that forward keeps for backward, for the largest sample, and as a multiple of its inputs' bytes"""


@program("tinytensor.gradcheck")
def main(argv: list[str]) -> int:
    """Print the table. Returns 0 if all errors are within their limits, else 1; exits with 2 without samples."""
    parser = argparse.ArgumentParser(
        "python -m tinytensor.gradcheck", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="PRIMITIVE", help="which to check (default: all)")
    parser.add_argument("--samples", metavar="MODULE", help="a module, or a file, that adds samples: check those")
    arguments = parser.parse_args(argv)
    load_all()
    added = read(parser, arguments.samples) if arguments.samples else list(SAMPLES)
    names = arguments.names or added
    for name in names:
        if name not in SAMPLES or name not in PRIMITIVES:
            where = "the table" if name not in PRIMITIVES else "the samples"
            parser.error(f"no primitive {name!r} in {where}; there are {', '.join(SAMPLES)}")

    with_pytorch = has_pytorch()
    print(f"{'primitive':<21}{' '.join(f'{title:>11}' for title in COLUMNS.values())}{'saved':>11}{'formula':>18}")
    rows = []
    for name in names:
        rows.append(examine(PRIMITIVES[name], SAMPLES[name], with_pytorch))
        print(line(rows[-1]), flush=True)
    print(LEGEND if with_pytorch else f"{LEGEND}\nPyTorch is not installed: its column is empty (pip install torch)")
    print(f"\n{len(rows)} primitives, {sum(len(SAMPLES[name]) for name in names)} sample calls; {summary(rows)}")
    return 1 if any(row.wrong() for row in rows) else 0


def has_pytorch() -> bool:
    """Whether PyTorch is installed, and works."""
    try:
        importlib.import_module("torch")
    except ImportError:
        return False
    return True


def read(parser: argparse.ArgumentParser, source: str) -> list[str]:
    """Import a module, or run a file that ends in .py. Returns the names of the primitives that got samples."""
    before = set(SAMPLES)
    if source.endswith(".py"):
        if not Path(source).is_file():
            parser.error(f"there is no {source}")
        runpy.run_path(source)
    else:
        try:
            importlib.import_module(source)
        except ModuleNotFoundError as error:
            parser.error(str(error))
    if not (added := [name for name in SAMPLES if name not in before]):
        parser.error(f"{source} adds no samples: call tinytensor.gradcheck.samples.add")
    return added


def line(row: Row) -> str:
    """One row of the table; an exclamation mark follows an error above its limit."""
    wrong = row.wrong()
    cells = [f"{shown(row, check):>11}{'!' if check in wrong else ' '}" for check in COLUMNS]
    share = f"{row.saved / row.inputs:.1f}×" if row.inputs else ""
    return f"{row.name:<21}{''.join(cells)}{row.saved:>8} B{share:>7}   {row.formula}"


def shown(row: Row, check: str) -> str:
    """An error in few characters; a dash if the check does not apply."""
    error = getattr(row, check)
    return "–" if error is None else "0" if error == 0 else f"{error:.2f}" if check == "ulps" else f"{error:.1e}"


def summary(rows: list[Row]) -> str:
    """The largest error of each column, with its row; then the rows with an error above its limit."""
    parts = []
    for check, title in COLUMNS.items():
        found = [row for row in rows if getattr(row, check) is not None]
        if found:
            worst = max(found, key=lambda row: float(getattr(row, check)))
            parts.append(f"{title} {shown(worst, check)} ({worst.name})")
    wrong = [f"{row.name} ({', '.join(row.wrong())})" for row in rows if row.wrong()]
    return "worst: " + ", ".join(parts) + (f"\nabove the limit: {'; '.join(wrong)}" if wrong else "")


if __name__ == "__main__":
    sys.exit(main())
