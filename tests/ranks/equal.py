"""Trains on 1, 2 and 4 ranks with one global batch, and compares the curves: a table, and exit status 1 if one differs.

    python tests/ranks/equal.py                     # the default recipe, 200 steps: some minutes
    python tests/ranks/equal.py --small             # a small model: what the tests run
    python tests/ranks/equal.py --dtypes float64 --kinds dropout --mpi openmpi --ranks 4

Every run is a process of `python -m gpt.train`, alone or under mpiexec. One rank of mpiexec has to give the same files
as no mpiexec. In float64 the losses of many ranks agree within 1e-10. In float32 they differ because they add up in another
order: by no more than float32 itself differs from float64, which is measured first, on one process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from mpi import BOTH, MPI, MPICH

SMALL = [
    "--layers",
    "1",
    "--width",
    "32",
    "--heads",
    "2",
    "--context",
    "32",
    "--eval-every",
    "100",
    "--eval-windows",
    "20",
]
KINDS = {"default": (), "dropout": ("--dropout", "0.1"), "accumulation": ("--grad-accumulation", "2")}
DTYPES = ["float64", "float32"]
FLOAT64 = 1e-10  # the limit for a difference of two losses


class Difference(NamedTuple):
    """Of two runs: the largest difference of a loss and of a weight, and whether all files of arrays are equal."""

    loss: float
    weight: float
    same: bool


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def arrays(run: Path) -> dict[str, np.ndarray]:
    return {
        f"{file} {name}": array
        for file in ("weights", "optimizer")
        for name, array in load_file(run / "checkpoint" / f"{file}.safetensors").items()
    }


def difference(run: Path, other: Path) -> Difference:
    """Compare the rows and the checkpoints of two runs of equal length."""
    pairs = list(zip(rows(run), rows(other), strict=True))
    losses = [abs(a[key] - b[key]) for a, b in pairs for key in ("train_loss", "val_loss") if a[key] is not None]
    ours, theirs = arrays(run), arrays(other)
    assert ours.keys() == theirs.keys()
    weights = [np.abs(ours[name] - theirs[name]).max() for name in ours if name.startswith("weights")]
    return Difference(max(losses), float(max(weights)), all(np.array_equal(ours[name], theirs[name]) for name in ours))


def train(flags: Sequence[str], out: Path, ranks: int = 0, mpi: MPI = MPICH) -> Path:
    """Train in the folder; ranks 0: without mpiexec."""
    command = ["-m", "gpt.train", "--quiet", "--no-plot", "--data", "python-docs", *flags, "--out", str(out)]
    if ranks:
        mpi.run(ranks, *command)
    else:
        subprocess.run([sys.executable, *command], check=True, env=mpi.environment(), timeout=1200)
    return out


class Row(NamedTuple):
    """A line of the table."""

    dtype: str
    kind: str
    what: str
    found: Difference
    limit: float

    @property
    def right(self) -> bool:
        return self.found.same if self.limit == 0 else self.found.loss <= self.limit

    def __str__(self) -> str:
        same = "equal bit for bit" if self.found.same else f"{self.found.loss:9.1e} {self.found.weight:9.1e}"
        return f"{self.dtype:8} {self.kind:13} {self.what:28} {same}{'' if self.right else '   ← too much'}"


def compared(
    folder: Path, flags: Sequence[str], dtypes: Sequence[str], kinds: Sequence[str], sizes: Sequence[int],
    mpis: Sequence[MPI], with_threads: bool = True,
) -> Iterator[Row]:  # fmt: skip
    """Train all runs, and compare each with that of one process and one thread."""
    for dtype in dtypes:
        for kind in kinds:
            place = folder / f"{dtype}-{kind}"
            common = [*flags, "--dtype", dtype, *KINDS[kind]]
            alone = train([*common, "--threads", "1"], place / "alone")
            limit = FLOAT64
            if dtype == "float32":  # both curves have its roundings, so they differ from each other by twice as much
                exact = train([*flags, "--dtype", "float64", *KINDS[kind], "--threads", "1"], place / "exact")
                rounding = difference(alone, exact)
                limit = 2 * rounding.loss
                yield Row(dtype, kind, "1 process, float64", rounding, limit)
            for size in sizes if with_threads else ():
                threads = train([*common, "--threads", str(size)], place / f"threads-{size}")
                yield Row(dtype, kind, f"1 process, {size} threads", difference(alone, threads), limit)
            for mpi in mpis:
                one = train([*common, "--threads", "1"], place / f"{mpi.name}-1", 1, mpi)
                yield Row(dtype, kind, f"{mpi.name}, 1 rank", difference(alone, one), 0)
                for size in sizes:
                    many = [*common, "--threads", "1"]
                    run = train(many, place / f"{mpi.name}-{size}", size, mpi)
                    yield Row(dtype, kind, f"{mpi.name}, {size} ranks", difference(alone, run), limit)
                    other = train([*many, "--shard-optimizer"], place / f"{mpi.name}-{size}-sharded", size, mpi)
                    yield Row(dtype, kind, f"{mpi.name}, {size} ranks, shared out", difference(alone, other), limit)
                    # Of two ranks there is one sum; with more, an all-reduce and a reduce-scatter may add in other orders.
                    yield Row(dtype, kind, "  shared out or not", difference(run, other), 0 if size == 2 else limit)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--ranks", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--mpi", nargs="+", default=[mpi.name for mpi in BOTH if mpi.is_there()])
    options = parser.parse_args()
    flags = ["--steps", str(options.steps), *(SMALL if options.small else [])]
    wrong = 0
    print(f"{'dtype':8} {'kind':13} {'beside 1 process, 1 thread':28} {'loss':>9} {'weight':>9}")
    with tempfile.TemporaryDirectory() as folder:
        mpis = [mpi for mpi in BOTH if mpi.name in options.mpi]
        for row in compared(Path(folder), flags, options.dtypes, options.kinds, options.ranks, mpis):
            print(row, flush=True)
            wrong += not row.right
    print(f"{wrong} wrong")
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main())
