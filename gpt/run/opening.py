"""How a run begins: from scratch in a new folder, or as its checkpoint has it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from gpt import cli, corpus, mistake, tokenizers
from gpt.build import Model
from gpt.config import HUB, GPTConfig, TrainConfig, flag
from gpt.corpora.cached import Reader
from gpt.corpora.progress import Bar
from gpt.corpora.stored import Stored
from gpt.corpus import Corpus
from gpt.data import Ids
from gpt.errors import UserError
from gpt.fast.half import make_scaler
from gpt.fast.threads import cores_each
from gpt.optimizer import make_optimizer
from gpt.run import baselines, checkpoint, files, film, metrics
from gpt.run.baselines import Baselines
from gpt.run.checkpoint import Checkpoint
from gpt.run.checks import check_memory
from gpt.run.lock import LOCK
from gpt.run.state import Evaluation, Run
from gpt.tokenizers import Tokenizer, folders
from gpt.trained import Trained, find
from tinytensor import manual_seed, set_float32_matmul_precision
from tinytensor.distributed.ranks import ALONE, Ranks
from tinytensor.optim import AdamW

# What a run leaves that was killed before its first checkpoint. A new run may take such a folder.
BEGINNING = {LOCK, "config.json", "config.json.new", checkpoint.NEW, film.NEW}


def prepare(
    recipe: str,
    given: dict[str, object],
    quiet: bool,
    init: Path | str | None = None,
    ranks: Ranks = ALONE,
    sharded: bool = False,
) -> Run:
    """Return a run from scratch: its text, first weights and optimizer. Writes nothing.

    `init` is a run folder, or "hf:NAME", whose model, weights and vocabulary it takes, those of the best checkpoint if it
    keeps one; all else is new.
    """
    config = cli.new_config(recipe, given)
    found, tokenizer = None if init is None else find(init, program="" if quiet else "gpt.train"), None
    if found is not None:
        own = None if found.tokenizer is None else found.tokenizer.name
        other = found.checkpoint is None and given.get("tokenizer", own) != own
        tokenizer = found.vocabulary(str(given.pop("tokenizer")) if other else None)
        config = inherited(config, found, given)
        if config.dtype != TrainConfig.dtype and "dtype" not in given and not quiet:
            cli.say(f"note: {found.name} is in {config.dtype}, so the run is as well; --dtype float32 trains in that")
    cli.check_device(config.device, config.tf32)
    if "data" in given:
        reader = Reader(config.tokenizer, tokenizer, show=Bar(quiet, "gpt.train"))
        text = corpus.read(config.data, reader=reader)
    else:
        text, note = corpus.read_default()
        if note and not quiet:
            cli.say(f"note: {note}")
    if isinstance(text, Stored) and not text.name.startswith(
        HUB
    ):  # a dataset is read with the tokens that are asked for
        check_prepared(text, given.get("tokenizer"))
    config = dataclasses.replace(config, data=text.name, threads=threads_of(config, ranks))
    if found is None or tokenizer is None:
        return begin(config, text, ranks, sharded)
    return assemble(config, text, tokenizer, found.read, ranks, sharded)


def check_prepared(text: Stored, named: object) -> None:
    """Raise UserError if --tokenizer names another tokenizer than that of the corpus; a folder may have the same one."""
    if named in (None, text.tokenizer.name):
        return
    name = str(named)
    if not folders.is_folder(name) or folders.named(name).to_json() != text.tokenizer.to_json():
        raise UserError(f"--tokenizer {name}: {text.name} was prepared with {text.tokenizer.name}; leave the flag out")


def inherited(config: TrainConfig, found: Trained, given: dict[str, object]) -> TrainConfig:
    """Return the configuration with that model. Raises UserError for a flag that its weights do not allow."""
    model, free = found.config, {"dropout", "dtype", "context"}
    if model.positions == "learned" and config.context > model.context and "context" in given:
        raise UserError(
            f"--context {config.context}: the weights that it begins with have {model.context} positions; give fewer"
        )
    if found.dropouts and "dropout" not in given:
        several = ", ".join(map(str, found.dropouts))
        raise UserError(
            f"{found.name} was trained with several shares of dropout ({several}), and a run has one; give --dropout"
        )
    names = {each.name for each in dataclasses.fields(GPTConfig)} | {"dtype", "tokenizer"}
    kept = {name: getattr(model, name) for name in names if not (name in free and name in given)}
    for name, value in kept.items():
        if name in given and given[name] != value:
            raise UserError(
                f"{flag(name)} {given[name]}: the weights that it begins with have {value}; leave the flag out"
            )
    return dataclasses.replace(config, **kept)


def open_again(folder: Path, given: dict[str, object], quiet: bool, ranks: Ranks = ALONE, sharded: bool = False) -> Run:
    """Return the run in the folder as its checkpoint has it. Writes nothing."""
    saved = checkpoint.read(folder)
    if saved.bug != mistake.name:
        before, now = (f"the bug {each}" if each else "no bug" for each in (saved.bug, mistake.name))
        raise UserError(
            f"{folder} was trained with {before} of the museum, and {now} is on here; "
            f"go on with {cli.trainer(saved.bug)} --resume {cli.word(folder)}"
        )
    data = given.pop("data", None)
    edits = {
        name: value for name, value in saved.edits().items() if name not in given and (name != "data" or data is None)
    }
    config = cli.resumed_config(saved.config, saved.step, {**edits, **given, "data": saved.config.data})
    cli.check_device(config.device, config.tf32)
    text = checkpoint.read_corpus(saved, folder, Bar(quiet, "gpt.train"), None if data is None else str(data))
    if ranks.size != saved.ranks and "threads" not in given:
        config = dataclasses.replace(config, threads=0)  # as many as each rank has cores now
    config = dataclasses.replace(config, data=text.name, threads=threads_of(config, ranks))
    lost = metrics.lost(folder, saved.step - (saved.pending is not None))  # a damaged file is refused, also if quiet
    if not quiet:
        for note in notes(folder, saved, config, edits, lost, ranks.size):
            cli.say(f"note: {note}")
    return resume(config, text, saved, folder, ranks, sharded)


def notes(
    folder: Path, saved: Checkpoint, config: TrainConfig, edits: dict[str, object], lost: int, ranks: int
) -> Iterator[str]:
    """Yield what a user should know of a run that goes on from `saved` with the configuration, without `lost` rows."""
    if lost:
        yield f"metrics.jsonl has no row for {lost} of the {saved.step} steps; the weights do not depend on it"
    for name, value in edits.items():
        yield (
            f"{folder / 'config.json'} says {name} {value}, its checkpoint {getattr(saved.config, name)}; "
            f"the run goes on with {value}"
        )
    if config.steps != saved.config.steps:
        yield f"the learning rate's schedule now ends at step {config.steps}"
    changed = {"number of ranks": (ranks, saved.ranks)} if ranks != saved.ranks else {}
    changed |= {} if changed else {"number of threads": (config.threads, saved.config.threads)}
    for what, (now, before) in {**changed, "device": (config.device, saved.config.device)}.items():
        if now != before:
            yield f"another {what} sums in another order: the last bits will differ"
    if config.dropout and saved.format < 2:
        yield "this run is from a version whose masks of dropout depended on --threads; the next steps have others"


def begin(config: TrainConfig, text: Corpus | Stored, ranks: Ranks = ALONE, sharded: bool = False) -> Run:
    """Return a run with fresh weights."""
    if isinstance(text, Stored):
        tokenizer = text.tokenizer
    else:
        tokenizer = tokenizers.make(config.tokenizer, text.text, corpus.cut(text.text))
    config = dataclasses.replace(config, vocab_size=tokenizer.vocab_size)
    return assemble(config, text, tokenizer, checkpoint.fresh_model, ranks, sharded)


def resume(
    config: TrainConfig,
    text: Corpus | Stored,
    saved: Checkpoint,
    folder: Path,
    ranks: Ranks = ALONE,
    sharded: bool = False,
) -> Run:
    """Return the run of the checkpoint, which is in that folder."""

    def restored(config: TrainConfig) -> Model:
        return checkpoint.restore_model(dataclasses.replace(saved, config=config), config.device)

    run = assemble(config, text, saved.tokenizer, restored, ranks, sharded)
    checkpoint.restore_optimizer(run.model, run.optimizer, saved.optimizer)
    run.restored = saved.optimizer if ranks.size > 1 else {}
    if run.scaler:
        run.scaler.load_state_dict(saved.loss_scale)
    run.step, run.seconds = saved.step, saved.seconds
    if saved.best is not None and checkpoint.keeps_best(folder):
        run.best = Evaluation(**saved.best)
    try:
        run.pending = None if saved.pending is None else dict(metrics.parse(saved.pending))
    except ValueError as error:
        raise UserError(f"the checkpoint in {folder} is damaged: its row: {error}") from None
    return run


def assemble(
    config: TrainConfig,
    text: Corpus | Stored,
    tokenizer: Tokenizer,
    make_model: Callable[[TrainConfig], Model],
    ranks: Ranks = ALONE,
    sharded: bool = False,
) -> Run:
    """Return a run before its first step, with the model that make_model(config) returns; it may have rows without a token."""
    config = dataclasses.replace(config, tokenizer=tokenizer.name)
    checkpoint.check_size(tokenizer)
    check_memory(config)
    train_ids, validation_ids = corpus.split(text, tokenizer, config.context)
    base = baselines.measure(train_ids, validation_ids, tokenizer.vocab_size)
    named = text.name, text.sha256  # the run keeps the ids, and lets go of the text
    return put_together(config, *named, tokenizer, train_ids, validation_ids, base, make_model, ranks, sharded)


def put_together(
    config: TrainConfig,
    corpus: str,
    corpus_sha256: str,
    tokenizer: Tokenizer,
    train_ids: Ids,
    validation_ids: Ids,
    base: Baselines,
    make_model: Callable[[TrainConfig], Model],
    ranks: Ranks,
    sharded: bool,
) -> Run:
    """Return a run before its first step, of what was read; it has the model that make_model(config) returns."""
    manual_seed(config.seed)
    model = make_model(config)
    set_float32_matmul_precision("high" if config.tf32 else "highest")
    if sharded:
        from gpt.ranks.sharded import make_sharded

        optimizer: AdamW = make_sharded(model, config, ranks)
    else:
        optimizer = make_optimizer(model, config)
    scaler, ids = make_scaler(config), (train_ids, validation_ids)
    return Run(config, corpus, corpus_sha256, tokenizer, *ids, base, model, optimizer, scaler, ranks=ranks)


def threads_of(config: TrainConfig, ranks: Ranks = ALONE) -> int:
    """Return the number of threads of each rank that was asked for; else one for each core, or one with a GPU.

    Raises UserError if a batch has too few windows for all.
    """
    usable = min(cores_each(ranks), config.batch_size // ranks.size) if config.device == "cpu" else 1
    threads = config.threads or max(1, usable)
    if ranks.size * threads > config.batch_size:
        each = f"{ranks.size} ranks" + (f" with {threads} threads each" if threads > 1 else "")
        raise UserError(
            f"{each} cannot share --batch-size {config.batch_size}: a batch needs a window for each thread of each rank; "
            f"take --batch-size {ranks.size * threads}, or fewer ranks"
        )
    return threads


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
        raise UserError(
            f"cannot make the run folder {error.filename}: {files.why(error)}; give another --out"
        ) from None


def write_config(config: TrainConfig, folder: Path) -> None:
    """Write config.json in one move: at every instant the file is the old one or the new one."""
    files.write(folder / "config.json", json.dumps(dataclasses.asdict(config), indent=2) + "\n")
