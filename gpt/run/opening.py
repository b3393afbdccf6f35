"""How a run begins: from scratch in a new folder, or as its checkpoint has it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from gpt import cli, corpus
from gpt.build import Model
from gpt.config import TrainConfig
from gpt.corpus import Corpus
from gpt.errors import UserError
from gpt.fast.half import make_scaler
from gpt.fast.threads import usable_cores
from gpt.optimizer import make_optimizer
from gpt.run import baselines, checkpoint, metrics
from gpt.run.best import BEST, Best
from gpt.run.checkpoint import Checkpoint
from gpt.run.checks import check_memory
from gpt.run.lock import LOCK
from gpt.run.state import Run
from gpt.tokenizer import CharTokenizer
from tinytensor import manual_seed, set_float32_matmul_precision

# What a run leaves that was killed before its first checkpoint. A new run may take such a folder.
BEGINNING = {LOCK, "config.json", "config.json.new", checkpoint.NEW}


def prepare(recipe: str, given: dict[str, object], quiet: bool) -> Run:
    """Return a run from scratch: its text, first weights and optimizer. Writes nothing."""
    config = cli.new_config(recipe, given)
    cli.check_device(config.device, config.tf32)
    if "data" in given:
        text = corpus.read(config.data)
    else:
        text, note = corpus.read_default()
        if note and not quiet:
            cli.say(f"note: {note}")
    return begin(dataclasses.replace(config, data=text.name, threads=threads_of(config)), text)


def open_again(folder: Path, given: dict[str, object], quiet: bool) -> Run:
    """Return the run in the folder as its checkpoint has it. Writes nothing."""
    saved = checkpoint.read(folder)
    if "data" in given:
        given["data"] = corpus.name_of(str(given["data"]))
    config = cli.resumed_config(saved.config, saved.step, given)
    config = dataclasses.replace(config, threads=threads_of(config))
    cli.check_device(config.device, config.tf32)
    text = checkpoint.read_corpus(saved, folder)
    if not quiet and config.steps != saved.config.steps:
        cli.say(f"note: the learning rate's schedule now ends at step {config.steps}")
    if not quiet and config.threads != saved.config.threads:
        cli.say("note: another number of threads sums in another order: the last bits will differ")
    if not quiet and config.device != saved.config.device:
        cli.say("note: another device sums in another order: the last bits will differ")
    return resume(config, text, saved, folder)


def begin(config: TrainConfig, text: Corpus) -> Run:
    """Return a run with fresh weights."""
    return assemble(config, text, CharTokenizer.from_text(text.text), checkpoint.fresh_model)


def resume(config: TrainConfig, text: Corpus, saved: Checkpoint, folder: Path) -> Run:
    """Return the run of the checkpoint, which is in that folder."""

    def restored(config: TrainConfig) -> Model:
        return checkpoint.restore_model(saved, folder, config.device)

    run = assemble(config, text, saved.tokenizer, restored)
    checkpoint.restore_optimizer(run.model, run.optimizer, saved.optimizer)
    if run.scaler:
        run.scaler.load_state_dict(saved.loss_scale)
    run.step, run.seconds = saved.step, saved.seconds
    if saved.pending is not None:
        run.pending = dict(metrics.checked(saved.pending))
    if saved.best is not None and checkpoint.exists(folder / BEST):
        run.best = Best(*saved.best)
    return run


def assemble(
    config: TrainConfig, text: Corpus, tokenizer: CharTokenizer, make_model: Callable[[TrainConfig], Model]
) -> Run:
    """Return a run before its first step, with the model that make_model(config) returns."""
    config = dataclasses.replace(config, vocab_size=tokenizer.vocab_size)
    check_memory(config)
    train_ids, validation_ids = corpus.split(tokenizer.encode(text.text), config.context)
    base = baselines.measure(train_ids, validation_ids, tokenizer.vocab_size)
    manual_seed(config.seed)
    model = make_model(config)
    set_float32_matmul_precision("high" if config.tf32 else "highest")
    optimizer, scaler = make_optimizer(model, config), make_scaler(config)
    return Run(config, text, tokenizer, train_ids, validation_ids, base, model, optimizer, scaler)


def threads_of(config: TrainConfig) -> int:
    """Return the number of threads that was asked for; else one for each core, or one with a GPU."""
    usable = min(usable_cores(), config.batch_size) if config.device == "cpu" else 1
    return config.threads or usable


def new_folder(out: Path | None) -> Path:
    """Make a run folder: `out`, or runs/<date-time>. Raises UserError if `out` has more than BEGINNING in it."""
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            if {path.name for path in out.iterdir()} - BEGINNING:
                raise UserError(f"--out {out} is not empty: take another folder, or --resume {cli.word(out)} to go on")
            return out
        name = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        Path("runs").mkdir(exist_ok=True)
        for n in range(1, 1000):  # several runs may begin in one second: making the folder decides whose it is
            folder = Path("runs") / (name if n == 1 else f"{name}-{n}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
        raise UserError("runs/ has a thousand runs of this second; give --out")
    except OSError as error:
        raise UserError(f"cannot make the run folder {error.filename}: {error.strerror}") from None


def write_config(config: TrainConfig, folder: Path) -> None:
    """Write config.json in one move: at every instant the file is the old one or the new one."""
    draft = folder / "config.json.new"
    draft.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", "utf-8")
    draft.replace(folder / "config.json")
