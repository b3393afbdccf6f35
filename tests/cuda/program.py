"""The programs of gpt/ on the real CuPy: python tests/cuda/program.py [--emulated]

gpt.train --device cuda with and without --cuda-graph; stopped by a signal, out of memory in the middle, and gone on with; then
gpt.evaluate and gpt.generate of what it left, there and on the CPU. The exit status is 1 where weights differ that should
not by a bit, a number is further from the CPU's than LIMIT, or a message is not the one that it should be.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import gpu  # first: before cupy is imported

from gpt import evaluate, generate, train
from gpt.run import checkpoint, metrics, opening
from gpt.run.opening import begin
from gpt.run.progress import Progress
from gpt.run.state import Run
from tinytensor import cuda

TEXT = "It was the best of times, it was the worst of times. " * 40
RUN = [
    "--data=text", "--layers=2", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--warmup=2", "--steps=9",
    "--eval-every=4", "--dropout=0.1", "--grad-accumulation=2", "--no-plot", "--device=cuda",
]  # fmt: skip
LIMIT = 1e-5  # of the loss on the CPU


def run(command: Callable[[Sequence[str]], int], *line: str) -> tuple[int, str, str]:
    """The exit status, and what the command said: on stdout, on stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = command(line)
    return status, out.getvalue(), error.getvalue()


@contextlib.contextmanager
def at_step(step: int, act: Callable[[], object]) -> Iterator[None]:
    """Call act when the progress of that step is shown: after its update, before it is saved."""
    update = Progress.update

    def update_and_act(self: Progress, row: metrics.Row) -> None:
        update(self, row)
        if row["step"] == step:
            act()

    with mock.patch.object(Progress, "update", update_and_act):
        yield


def no_more_memory() -> None:
    """From now on the pool is given no memory but what it has."""
    cuda.empty_cache()
    gpu.cupy.get_default_memory_pool().set_limit(size=cuda.memory_reserved() + 512)


def same(*folders: str) -> bool:
    """Whether runs have the same weights, moments, losses and norms, bit for bit."""
    files = [[Path(f, "checkpoint", name).read_bytes() for name in checkpoint.FILES] for f in folders]
    rows = [[(row["train_loss"], row["val_loss"], row["grad_norm"]) for row in metrics.read(Path(f))] for f in folders]
    return all(each == files[0] for each in files) and all(each == rows[0] for each in rows)


def trainings() -> Iterator[tuple[str, bool]]:
    """What was tried, and whether it went well."""
    status, out, _ = run(train.main, *RUN, "--out=plain")
    yield "gpt.train --device cuda", status == 0 and "GPU memory" in out and "over the whole split" in out
    rows = metrics.read(Path("plain"))
    yield "memory in metrics.jsonl", all(0 < row["gpu_memory"] <= row["gpu_memory_peak"] for row in rows)
    status, _, _ = run(train.main, *RUN, "--cuda-graph", "--out=graph")
    yield "--cuda-graph: the same, bit for bit", status == 0 and same("plain", "graph")
    for flags in ([], ["--cuda-graph"]):
        name = " ".join(["stopped", *flags])
        with at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            stopped, _, error = run(train.main, *RUN, *flags, f"--out={name}")
        status, _, _ = run(train.main, "--resume", name, "--no-plot")
        yield (
            f"{name}, and gone on with",
            (stopped, status) == (143, 0) and "step 5 saved" in error and same("plain", name),
        )


def spoilt() -> Iterator[tuple[str, bool]]:
    """A weight that is not a number after step 5: the next step changes nothing, and names it."""
    runs = []

    def remembered(*arguments: Any) -> Run:
        runs.append(begin(*arguments))
        return runs[-1]

    def spoil() -> None:
        dict(runs[-1].model.named_parameters())["blocks.1.feed_forward.up.bias"].data[3] = float("nan")

    for flags in ([], ["--cuda-graph"]):
        name = " ".join(["spoilt", *flags])
        with mock.patch.object(opening, "begin", remembered), at_step(5, spoil):
            status, _, error = run(train.main, *RUN, *flags, f"--out={name}")
        said = ("step 6: the loss is nan", "whose value is not finite is blocks.1.feed_forward.up.bias", "intact")
        well = status == 2 and error.count("\n") == 1 and all(part in error for part in said)
        yield f"{name}: the parameter is named", well and checkpoint.read(Path(name)).step == 4


def exhausted() -> Iterator[tuple[str, bool]]:
    """The same where memory ends after step 6."""
    with at_step(6, no_more_memory):
        status, _, error = run(train.main, *RUN, "--out=exhausted")
    gpu.cupy.get_default_memory_pool().set_limit(size=0)
    print(f"out of memory: {error.strip()}")
    said = (
        "out of memory; lower --batch-size, --context, --width or --layers",
        "Tried to allocate",
        "in use by tensors",
    )
    one_line = status == 2 and error.count("\n") == 1 and all(part in error for part in said)
    yield "out of memory is one line", one_line
    yield "the checkpoint before survives", checkpoint.read(Path("exhausted")).step == 4
    status, _, _ = run(train.main, "--resume", "exhausted", "--no-plot")
    yield "with more memory it goes on", status == 0 and same("plain", "exhausted")


def others() -> Iterator[tuple[str, bool]]:
    """gpt.evaluate and gpt.generate, and the CPU with what the GPU left."""
    losses = [json.loads(run(evaluate.main, "plain", "--json", *flags)[1])["loss"] for flags in ([], ["--device=cpu"])]
    apart = abs(losses[0] - losses[1]) / losses[1]
    print(f"gpt.evaluate: {losses[0]:.6f}, on the CPU {losses[1]:.6f}")
    yield "gpt.evaluate as on the CPU", apart <= LIMIT
    flags = ["plain", "--temperature=0", "--tokens=40", "--prompt=It was"]
    texts = {run(generate.main, *flags, *more)[1] for more in ([], ["--no-cache"], ["--device=cpu"])}
    yield "gpt.generate with a cache, without, and on the CPU", len(texts) == 1 and len(texts.pop()) == 47
    status, _, _ = run(train.main, "--resume", "graph", "--steps=10", "--device=cpu", "--no-cuda-graph", "--no-plot")
    _, _, error = run(train.main, *RUN, "--cuda-graph", "--profile", "--out=profiled")
    yield "--cuda-graph has no profile", "--profile: a recorded update has no parts" in error
    yield "a run goes on on the CPU", status == 0 and len(metrics.read(Path("graph"))) == 10


def main() -> int:
    """Run all in a folder that is removed afterwards; 0 if all went well."""
    results = []
    with tempfile.TemporaryDirectory() as folder, mock.patch("gpt.job.SAMPLE_TOKENS", 20):
        os.chdir(folder)
        Path("text").write_text(TEXT)
        for part in (trainings, spoilt, exhausted, others):
            for what, well in part():
                print(f"{what}: {'yes' if well else 'NO'}", flush=True)
                results.append(well)
        os.chdir("/")
    troubles = gpu.troubles()
    print(
        "",
        f"{sum(results)} of {len(results)} went well{''.join(f'; {n} {what}' for what, n in troubles.items())}",
        sep="\n",
    )
    return int(not all(results) or bool(troubles))


if __name__ == "__main__":
    gpu.finish(main())
