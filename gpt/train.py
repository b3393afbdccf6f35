"""The main job: train a character model, and leave a run folder.

python -m gpt.train                        # tiny Shakespeare, about a minute on two cores
python -m gpt.train --data PATH --out RUN
python -m gpt.train --resume RUN           # goes on to bit-identical weights
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import numpy as np

from gpt import checkpoint, cli, data
from gpt.config import RECIPES, TrainConfig
from gpt.errors import UserError
from gpt.evaluate import mean_loss
from gpt.interrupt import Interrupt
from gpt.lock import LOCK, locked
from gpt.memory import add_gpu_memory
from gpt.metrics import Metrics, Row
from gpt.optimizer import learning_rate
from gpt.parallel import Shards, usable_cores
from gpt.profiling import profiled
from gpt.progress import Progress
from gpt.run import Run, begin, finish
from gpt.step import Outcome, make_update
from tinytensor.buffers import keep_freed_memory

# What a run that was killed before its first checkpoint leaves: the next one may begin in its place.
BEGINNING = {LOCK, "config.json", "config.json.new", checkpoint.NEW}


def train(run: Run, quiet: bool) -> int | None:
    """Make the steps that are left. Return the signal that asked to stop, if one did."""
    config = run.config
    began = time.perf_counter() - run.seconds
    with (
        np.errstate(all="ignore"),  # what is not finite is reported by name
        Interrupt() as interrupt,
        Shards(run.model, config, run.optimizer, run.scaler) as shards,
        Metrics(run.folder, run.step) as metrics,
        Progress(config, run.step, run.baselines, quiet) as progress,
    ):
        update = make_update(shards, run.optimizer)
        while run.step < config.steps and interrupt.signal is None:
            started = time.perf_counter()
            batches = [
                data.batch(run.train_ids, config, run.step, micro_step)
                for micro_step in range(config.grad_accumulation)
            ]
            rate = learning_rate(run.step, config)
            now = update(batches, run.step, rate)
            run.step += 1
            run.require_sound(now)
            speed = sum(ids.size for ids, _ in batches) / (time.perf_counter() - started)

            val_loss = None
            if run.step % config.eval_every == 0 or run.step == config.steps:
                val_loss, _ = mean_loss(run.model, run.validation_ids, config.eval_windows)
                run.require_finite(run.step, validation_loss=val_loss)
            run.seconds = time.perf_counter() - began
            row = row_of(run, now, rate, speed, val_loss)
            metrics.write(row)
            progress.update(row)
            if val_loss is not None:
                run.save()
    if interrupt.signal is not None:
        run.save()
    return interrupt.signal


def row_of(run: Run, now: Outcome, rate: float, speed: float, val_loss: float | None) -> Row:
    """What metrics.jsonl keeps of the update that was made just now."""
    row = Row(
        step=run.step, train_loss=now.loss, val_loss=val_loss, learning_rate=rate,
        grad_norm=now.norm if math.isfinite(now.norm) else None, seconds=run.seconds, tokens_per_second=speed,
    )  # fmt: skip
    if run.scaler.is_enabled():
        row["loss_scale"] = now.scale
    add_gpu_memory(row, run.config)
    return row


def new_folder(out: Path | None) -> Path:
    """A run folder, `out` or runs/<date-time>. UserError if `out` has more than BEGINNING in it."""
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            if {path.name for path in out.iterdir()} - BEGINNING:
                raise UserError(f"--out {out} is not empty: take another folder, or --resume {out} to go on")
            return out
        name = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        for n in range(1, 1000):  # several runs may begin in one second
            folder = Path("runs") / (name if n == 1 else f"{name}-{n}")
            if not folder.exists():
                folder.mkdir(parents=True)
                return folder
        raise UserError("runs/ has a thousand runs of this second; give --out")
    except OSError as error:
        raise UserError(f"cannot make the run folder {error.filename}: {error.strerror}") from None


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.train", "Train a character model. Ctrl-C saves and stops.")
    run = parser.add_argument_group("run")
    run.add_argument("--out", type=Path, metavar="FOLDER", help="run folder (default: runs/<time>)")
    run.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run folder")
    run.add_argument("--recipe", choices=RECIPES, help="where the other defaults come from (default: default)")
    run.add_argument("--no-plot", action="store_true", help="do not draw loss.png")
    run.add_argument("--quiet", action="store_true", help="say nothing but errors")
    run.add_argument("--profile", action="store_true",
                     help="say where a step's time and memory went; also in profile.txt and profile.json")  # fmt: skip
    cli.add_config_arguments(parser)
    return parser


def open_new(out: Path | None, recipe: str, given: dict[str, object], quiet: bool) -> Run:
    """A run from scratch; its folder is made last, when nothing else can be wrong."""
    run = prepare(recipe, given, quiet)
    run.folder = new_folder(out)
    return run


def prepare(recipe: str, given: dict[str, object], quiet: bool) -> Run:
    """A run from scratch in memory: text, first weights, optimizer; no folder."""
    config = cli.new_config(recipe, given)
    cli.check_device(config.device, config.tf32)
    if "data" in given:
        corpus = data.read(config.data)
    else:
        corpus, note = data.read_default()
        if note and not quiet:
            cli.say(f"note: {note}")
    config = dataclasses.replace(config, data=corpus.name, threads=threads_of(config))
    return begin(Path(), config, corpus, None)


def open_again(folder: Path, given: dict[str, object], quiet: bool) -> Run:
    """The run in `folder` as its checkpoint has it."""
    saved = checkpoint.read(folder)
    if "data" in given:
        given["data"] = data.name_of(str(given["data"]))
    config = cli.resumed_config(saved.config, saved.step, given)
    config = dataclasses.replace(config, threads=threads_of(config))
    cli.check_device(config.device, config.tf32)
    corpus = checkpoint.read_corpus(saved, folder)
    if not quiet and config.steps != saved.config.steps:
        cli.say(f"note: the learning rate's schedule now ends at step {config.steps}")
    if not quiet and config.threads != saved.config.threads:
        cli.say("note: another number of threads sums in another order: the last bits will differ")
    if not quiet and config.device != saved.config.device:
        cli.say("note: another device sums in another order: the last bits will differ")
    return begin(folder, config, corpus, saved)


def threads_of(config: TrainConfig) -> int:
    """The threads that were asked for, or a sensible number: a GPU has its own."""
    usable = min(usable_cores(), config.batch_size) if config.device == "cpu" else 1
    return config.threads or usable


def describe(run: Run) -> str:
    length, different = len(run.corpus.text), run.tokenizer.vocab_size
    size = sum(parameter.numel() for parameter in run.model.parameters())
    return (
        f"text      {run.corpus.name}: {length:,} characters, {different} different\n"
        f"model     {run.config.model}: {size:,} parameters; threads: {run.config.threads}\n"
        f"baselines {run.baselines} (nats per character)"
    )


@cli.command("gpt.train")
def main(argv: list[str]) -> int:
    given = vars(make_parser().parse_args(argv))
    keep_freed_memory()
    out, resume, recipe = given.pop("out"), given.pop("resume"), given.pop("recipe")
    plot, quiet, profile = not given.pop("no_plot"), given.pop("quiet"), given.pop("profile")
    if resume and (out or recipe):
        what = "--out" if out else "--recipe"
        raise UserError(f"{what} and --resume: a resumed run keeps its own; leave {what} out")
    run = open_again(resume, given, quiet) if resume else open_new(out, recipe or "default", given, quiet)
    if profile and run.config.cuda_graph:
        raise UserError("--profile: a recorded update has no parts to be timed; take --no-cuda-graph with it")
    with locked(run.folder):
        return work(run, plot, quiet, profile)


def work(run: Run, plot: bool, quiet: bool, profile: bool = False) -> int:
    """Train, measure and say so; return the exit status."""
    if not quiet:
        cli.say(describe(run))
    run.write_config()
    run.save()
    with profiled(run, quiet) if profile else nullcontext():
        signal = train(run, quiet)
    again = shlex.quote(str(run.folder))
    if signal is not None:
        message = f"step {run.step} saved; go on with python -m gpt.train --resume {again}"
        return cli.fail("gpt.train", message, 128 + signal)
    summary = finish(run, plot)
    if not quiet:
        cli.say(f"{summary}\nrun folder      {run.folder}")
        cli.say(f"now try         python -m gpt.generate {again}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
