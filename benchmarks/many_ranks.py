"""The step time of data-parallel training: measured on 1, 2 and 4 ranks, predicted for up to 4,096.

    python -m benchmarks.many_ranks measure           start mpiexec with 1, 2 and 4 ranks in turns (some minutes)
    python -m benchmarks.many_ranks noise --data PATH  train the default model, and measure its gradient noise scale
    python -m benchmarks.many_ranks check             the predicted beside the measured times of a step
    python -m benchmarks.many_ranks plan              write the tables and plots of docs/scaling.md

measure and noise write benchmarks/results/many_ranks.json, the others read it. Rounds of further measurements on the same
machine are added, and the quiet third of all counts: on a busy machine, measure again at another time. measure needs MPI (the
extra mpi). The model is in benchmarks/step_model.py, the costs of exchanges in benchmarks/collectives.py, networks and GPUs
with their sources in benchmarks/networks.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import scaling_plan
from benchmarks.cli import Progress, positive
from benchmarks.environment import ROOT, cores, load
from benchmarks.harness import BLAS_THREADS, Case, Row, rounded, run, spread
from benchmarks.ranks_child import WINDOWS
from benchmarks.scaling_plan import MEASURED
from gpt.errors import UserError

RANKS = (1, 2, 4)
SIZES = (4, 1024, 16384, 262144, 1653760, 4194304)  # bytes; the fifth are the gradients of the default model
DOCUMENT, PLOTS = ROOT / "docs" / "scaling.md", {"strong": "scaling-strong.png", "weak": "scaling-weak.png"}
NOISE_STEPS = (0, 500, 1000, 2000)  # the default training has 2,000
GROUPS, GROUP = 4, 64  # batches, and windows of each, from which the noise scale is estimated


def mpiexec() -> str:
    """The mpiexec beside this Python, else the one of PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else "mpiexec"


def child(ranks: int, repeats: int) -> Row:
    """What so many ranks measure. UserError if mpiexec fails, or starts another number."""
    argument = json.dumps({"repeats": repeats, "sizes": SIZES})
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-m", "benchmarks.ranks_child", argument]
    variables = {**dict.fromkeys(BLAS_THREADS, "1"), "PYTHONPATH": str(ROOT)}
    try:
        text = run(command, cores(), f"mpiexec -n {ranks}", variables)
    except FileNotFoundError:
        raise UserError("there is no mpiexec: pip install mpi4py mpich") from None
    answer: Row = json.loads(text.splitlines()[-1])
    if answer["ranks"] != ranks:
        raise UserError(f"mpiexec -n {ranks} started {answer['ranks']} ranks: take the mpiexec of mpi4py's MPI")
    return answer


def summarized(answers: dict[int, Row]) -> Row:
    """The medians of a round, by what was timed and the number of ranks."""
    found: dict[str, Any] = {"shards": {}, "update": {}, "exchanges": {}, "steps": {}}
    for n, answer in answers.items():
        for name, times in answer["times"].items():
            kind, _, size = name.partition(" ")
            each = rounded(statistics.median([seconds for repetition in times for seconds in repetition]))
            slowest = rounded(statistics.median([max(repetition) for repetition in times]))
            if kind == "shard":
                found["shards"].setdefault(str(n), []).append([int(size), each])
            elif kind == "update":
                found["update"][str(n)] = each
            elif kind == "steps":
                found["steps"].setdefault(size, {})[str(n)] = slowest
            elif kind == "addition":
                found["addition"] = [int(size), each]
            else:
                found["exchanges"].setdefault(str(n), {}).setdefault(kind, []).append([int(size), slowest])
    whole = [seconds for repetition in answers[1]["times"][f"shard {max(WINDOWS)}"] for seconds in repetition]
    # The quartiles of a normal distribution are 1.349 standard deviations apart.
    return {**found, "spread": rounded(spread(whole) / 1.349 / statistics.median(whole))}


def measure(rounds: int, repeats: int) -> Row:
    """Start 1, 2 and 4 ranks in turns, so many rounds."""
    from gpt.config import TrainConfig

    config, found = TrainConfig(), []
    with Progress(rounds * len(RANKS)) as progress:
        for _ in range(rounds):
            busy, answers = load(), {}
            for n in RANKS:
                answers[n] = child(n, repeats)
                progress.tick(Case("many_ranks", f"{n} ranks", "tinytensor", n))
            found.append({**summarized(answers), "load": busy, "commit": answers[1]["environment"]["commit"]})
    last = answers[1]
    return {
        "parameters": last["parameters"], "context": config.context, "batch": config.batch_size,
        "layers": config.layers, "width": config.width, "cores": cores(), "rounds": found,
        "environment": last["environment"],
    }  # fmt: skip


# ------------------------------------------------------------------------------------- the gradient noise scale


def noise_scale(single: float, mean: float, count: int) -> tuple[float, float]:
    """Σ and |G|² from the mean of |g|² over `count` gradients and the square of their mean's norm.

    E|g|² = |G|² + Σ, E|mean|² = |G|² + Σ / count. The noise scale is Σ / |G|² (McCandlish et al. 2018, appendix A.1).
    """
    noise = (single - mean) / (1 - 1 / count)
    return noise, mean - noise / count


def noise_now(shards: Any, ids: Any, seed: int) -> float:
    """The noise scale of the weights as they are, in windows."""
    from dataclasses import replace

    import numpy as np

    from gpt import data
    from tinytensor.nn import flat

    pairs = []
    for group in range(GROUPS):
        batch = data.batch(ids, replace(shards.config, batch_size=GROUP, seed=seed), group)
        squares, total = [], np.zeros(sum(p.numel() for p in shards.parameters))
        for i in range(GROUP):
            shards.gradient([(batch[0][i : i + 1], batch[1][i : i + 1])], None)
            gradient = np.concatenate([part.reshape(-1) for part in flat.gradients(shards.parameters)])
            squares.append(float(gradient @ gradient))
            total += gradient
        pairs.append(noise_scale(statistics.fmean(squares), float(total @ total) / GROUP**2, GROUP))
    noise, signal = (statistics.fmean(each) for each in zip(*pairs, strict=True))
    return noise / signal


def noise(path: Path, steps: Sequence[int] = NOISE_STEPS) -> list[Row]:
    """Train the default model on the text, and measure the noise scale at some steps."""
    import numpy as np

    from gpt import data
    from gpt.build import build
    from gpt.config import TrainConfig
    from gpt.fast.shards import Shards
    from gpt.optimizer import learning_rate, make_optimizer
    from gpt.train import shard_gradient, update
    from tinytensor import manual_seed

    characters, ids = np.unique(list(path.read_text("utf-8")), return_inverse=True)
    ids = ids[: len(ids) * 9 // 10]  # the training split
    config = TrainConfig(threads=1, vocab_size=len(characters), steps=max(*steps, 1))
    manual_seed(config.seed)
    model = build(config)
    optimizer = make_optimizer(model, config)
    rows: list[Row] = []
    with Shards(model, config, shard_gradient, optimizer) as shards, Progress(config.steps) as progress:
        for step in range(config.steps + 1):
            if step in steps:
                rows.append({"step": step, "windows": rounded(noise_now(shards, ids, config.seed + 1))})
            if step < config.steps:
                update(shards, optimizer, [data.batch(ids, config, step)], step, learning_rate(step, config))
                progress.bar.update()
    return rows


# -------------------------------------------------------------------------------------------------- the command


def write(path: Path, found: Row) -> None:
    """Put the values into the file, and keep its others. New rounds join those of the same machine and model."""
    from gpt.run import files

    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if "rounds" in found and same(kept, found):
        found = {**found, "rounds": kept["rounds"] + found["rounds"]}
    files.write(path, text_of({**kept, **found}))


def text_of(measured: Row) -> str:
    """The values as JSON, one a line, and one line for each item of a list."""

    def lines(items: list[Any]) -> str:
        return ",\n".join(json.dumps(item) for item in items)

    values = {
        key: f"[\n{lines(value)}\n]" if isinstance(value, list) else json.dumps(value)
        for key, value in measured.items()
    }
    return "{\n" + ",\n".join(f'"{key}": {text}' for key, text in values.items()) + "\n}\n"


def same(kept: Row, found: Row) -> bool:
    """Whether both are of the same processor, number of cores and model."""

    def what(row: Row) -> tuple[object, ...]:
        return row["environment"]["cpu"], *(row[key] for key in ("cores", "parameters", "context", "batch"))

    return "rounds" in kept and what(kept) == what(found)


def plan(measured: Row, document: Path, folder: Path) -> None:
    """Write the tables into the document, and the plots into the folder."""
    from gpt.run import files
    from gpt.run.plots import own_settings

    files.write(document, scaling_plan.with_tables(document.read_text("utf-8"), measured))
    with own_settings():
        for kind, name in PLOTS.items():
            scaling_plan.draw(measured, folder / name, kind)


def _main(argv: list[str]) -> int:
    from gpt.cli import Parser, path

    parser = Parser("benchmarks.many_ranks", __doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add: Any = parser.add_argument
    add("what", choices=("measure", "noise", "check", "plan"), help="what to do")
    add("--rounds", type=positive("--rounds"), metavar="N", default=10,
        help="measure: how often 1, 2 and 4 ranks take turns (default: 10)")  # fmt: skip
    add("--repeats", type=positive("--repeats"), metavar="N", default=5,
        help="measure: repetitions of each call in a process (default: 5)")  # fmt: skip
    add("--data", type=path, metavar="PATH", help="noise: the text of tiny Shakespeare")
    add("--json", type=path, metavar="FILE", default=MEASURED, help=f"the measurements (default: {MEASURED.name})")
    given = parser.parse_args(argv)
    if given.what == "measure":
        write(given.json, measure(given.rounds, given.repeats))
    elif given.what == "noise":
        if given.data is None:
            raise UserError("noise trains on a text: --data PATH")
        write(given.json, {"noise": noise(given.data)})
    measured = scaling_plan.read(given.json)
    if given.what == "plan":
        plan(measured, DOCUMENT, DOCUMENT.parent)
    elif given.what != "noise":
        print(f"{scaling_plan.check_table(measured)}\n\n{scaling_plan.error_sentence(measured)}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0, or 2 with one line that says what is wrong."""
    from gpt.cli import command

    return command("benchmarks.many_ranks")(_main)(argv)


if __name__ == "__main__":
    sys.exit(main())
