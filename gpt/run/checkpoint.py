"""Checkpoints: a crash at any instant leaves a complete one, and damage is noticed.

    RUN/config.json                          the configuration
    RUN/checkpoint/weights.safetensors       every parameter by its name
    RUN/checkpoint/optimizer.safetensors     AdamW's state of each parameter: `name.exp_avg`, ...
    RUN/checkpoint/metadata.json             step, configuration, tokenizer, loss scale, checksums, versions
    RUN/best/                                the same files but the optimizer's, of the evaluation with the lowest loss

A save writes all of `checkpoint.new`, then renames `checkpoint` to `checkpoint.old`, then `checkpoint.new` to
`checkpoint`. Between the two renames `checkpoint.old` is the complete one. No file in a complete folder ever changes, so
a reader that has opened all files in one folder has one checkpoint, even if other processes save meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt import corpus, mistake, tokenizers
from gpt.build import Model, build
from gpt.cli import RESUMABLE, check_device, python
from gpt.config import TrainConfig, flag, from_dict
from gpt.corpora.cached import Reader
from gpt.corpora.progress import Shown
from gpt.corpora.stored import Stored
from gpt.corpus import Corpus
from gpt.errors import UserError, shown
from gpt.fast.half import make_scaler
from gpt.run import arrays, files
from gpt.run.arrays import Arrays, Spec, checksum, formatted
from gpt.run.checks import check_memory, parameter_shapes
from gpt.run.files import MIB, Folder
from gpt.run.sealed import is_sealed, seal
from gpt.tokenizers import Tokenizer
from gpt.tokenizers.base import PADDING
from tinytensor import Tensor, from_numpy
from tinytensor.nn.undrawn import undrawn
from tinytensor.optim import AdamW

BEST = "best"
CURRENT, NEW, OLD = "checkpoint", "checkpoint.new", "checkpoint.old"
WEIGHTS, OPTIMIZER, METADATA = "weights.safetensors", "optimizer.safetensors", "metadata.json"
FILES = (WEIGHTS, OPTIMIZER)
FORMAT = 2  # 1 had neither this number nor a checksum of metadata.json; its masks of dropout depended on the threads
LONGEST_CONFIG, LONGEST_METADATA = MIB, 32 * MIB  # bytes; a vocabulary may have all characters of Unicode
CHANGEABLE = {*RESUMABLE, "data"}  # of the configuration: what may change when a run goes on
PAUSES = (0.0,) * 20 + (0.01,) * 50  # seconds before each try to open a checkpoint that other processes replace
BUG = re.compile("[a-z0-9-]{0,40}")  # the name of one; of another version it may be another
MISSES = 24  # tries that may find none: between two looks, for the new and for the old one, a save may have ended


@dataclass
class Checkpoint:
    """Everything that a run needs to go on after `step` updates, which took `seconds`."""

    step: int
    seconds: float
    config: TrainConfig
    tokenizer: Tokenizer
    corpus_sha256: str
    weights: Arrays = field(default_factory=dict)
    optimizer: Arrays = field(default_factory=dict)
    loss_scale: dict[str, float] = field(default_factory=dict)  # the state of GradScaler; {} but for float16
    best: dict[str, Any] | None = None  # loss and step of the lowest validation loss so far
    pending: dict[str, Any] | None = None  # the row of this step, if it is not evaluated yet
    written: TrainConfig | None = None  # what config.json says; it may differ in CHANGEABLE
    format: int = FORMAT
    is_best: bool = False  # from RUN/best
    ranks: int = 1  # how many trained it
    bug: str = ""  # of the museum, that was on while it was trained

    def named(self) -> str:
        """Say which weights these are."""
        if not self.is_best:
            return f"the last weights, of step {self.step}"
        loss = f", with a validation loss of {self.best['loss']:.4f}" if self.best else ""
        return f"the best weights, of step {self.step}{loss} (--last takes the last)"

    def warning(self, run: Path | str) -> str:
        """Say that a bug was on while the run was trained; "" if none was, or if it is on in this process as well."""
        if self.bug in ("", mistake.name):
            return ""
        return (
            f"{run} was trained with the bug {self.bug} of the museum, which is not on here; "
            f"{python()} -m gpt.museum {self.bug} --no-run shows its line"
        )

    def edits(self) -> dict[str, object]:
        """Return what config.json says otherwise."""
        now = self.written or self.config
        return {name: getattr(now, name) for name in asdict(now) if getattr(now, name) != getattr(self.config, name)}


def save(run: Path, checkpoint: Checkpoint, names: Sequence[str] = FILES) -> None:
    """Replace the checkpoint of the run, with these files of arrays. If that fails, the previous one is still there."""
    parts = {WEIGHTS: checkpoint.weights, OPTIMIZER: checkpoint.optimizer}
    contents = {name: formatted(parts[name]) for name in names}
    metadata = metadata_of(checkpoint, {name: checksum(content) for name, content in contents.items()})
    contents[METADATA] = json.dumps(seal(metadata), indent=2).encode()
    try:
        files.remove(run / NEW)
        os.mkdir(run / NEW)
        for name, content in contents.items():
            files.create(run / NEW / name, content)
        files.sync_folder(run / NEW)
        swap(run)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.remove(run / NEW)
        goes_on = is_there(run) or (run.name == BEST and is_there(run.parent))  # from there, if this was RUN/best
        before = "the checkpoint before it is intact" if goes_on else "there is no checkpoint yet"
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"cannot save step {checkpoint.step} in {run}: {where}{error.strerror or error}; {before}"
        ) from None


def metadata_of(checkpoint: Checkpoint, sums: dict[str, str]) -> dict[str, Any]:
    """Return what metadata.json says beside its own checksum; `sums` are those of the files of arrays."""
    return {
        "format": FORMAT,
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "config": asdict(checkpoint.config),
        "tokenizer": checkpoint.tokenizer.to_json(),
        "corpus_sha256": checkpoint.corpus_sha256,
        "loss_scale": checkpoint.loss_scale,
        "best": checkpoint.best,
        "pending": checkpoint.pending,
        "ranks": checkpoint.ranks,
        "bug": checkpoint.bug,
        "sha256": sums,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tinytensor": tinytensor.__version__,
        },
    }


def check_size(tokenizer: Tokenizer) -> None:
    """Raise UserError if the tokenizer is so large that `read` would refuse the checkpoint."""
    size = len(json.dumps(tokenizer.to_json()))
    if 2 * size > LONGEST_METADATA:
        raise UserError(
            f"--tokenizer {tokenizer.name}: its tokens take {size:,} bytes, too many for a checkpoint; take a smaller one"
        )


def swap(run: Path) -> None:
    """Put the complete `checkpoint.new` in place of `checkpoint`."""
    if files.exists(run / CURRENT):  # else a crash cut off an earlier swap, and OLD is the complete one
        files.remove(run / OLD)
        rename(run / CURRENT, run / OLD)
    rename(run / NEW, run / CURRENT)
    files.sync_folder(run)
    with contextlib.suppress(OSError):  # the new one is in place, whatever is left of the old one
        files.remove(run / OLD)


def rename(old: Path, new: Path) -> None:
    """Rename a folder. Windows refuses while somebody reads a file in it, so there it tries for some seconds."""
    for pause in PAUSES if os.name == "nt" else ():
        with contextlib.suppress(PermissionError):
            return os.rename(old, new)
        time.sleep(pause)
    os.rename(old, new)


def is_there(run: Path) -> bool:
    """Return whether the folder holds a checkpoint. Raises UserError if a link or a file is in its place.

    It looks for the new one again, since a save of another process may end between the first two looks.
    """
    return any(files.is_folder(run / name) for name in (CURRENT, OLD, CURRENT))


def keeps_best(run: Path) -> bool:
    """Return whether there is a checkpoint in RUN/best. Raises UserError if a link or a file is in its place."""
    return files.is_folder(run / BEST) and is_there(run / BEST)


def read_model(run: Path, last: bool = False) -> Checkpoint:
    """Read what a trained model needs: the best weights that the run keeps; the last with `last`, or if it keeps no others.

    For both, RUN/config.json says where the text and the device are. The one in RUN/best is as old as its weights.
    """
    if last or not keeps_best(run):
        return read(run, (WEIGHTS,))
    checkpoint = read(run / BEST, (WEIGHTS,))
    checkpoint.is_best, checkpoint.written = True, read_config(run, checkpoint)
    return checkpoint


def read(run: Path, names: Sequence[str] = FILES, partial: bool = False) -> Checkpoint:
    """Read the checkpoint of the run, all of one save, and verify every checksum.

    It has the arrays of the files `names` alone; others are neither needed nor read. If the checkpoint was replaced while
    this opened its files, it takes the new one. `partial` allows an optimizer without the state of some parameters: they
    never had a gradient. No run goes on with that.
    """
    try:
        for number, pause in enumerate(PAUSES):
            time.sleep(pause)
            with ExitStack() as stack:
                folder = current(run, stack)
                if folder is None:
                    if number >= MISSES:
                        break
                    continue
                try:
                    return read_folder(run, folder, stack, names, partial)
                except (OSError, UserError):
                    removed = folder.path.name == OLD and files.exists(run / CURRENT)
                    if not removed and folder.is_in_place():
                        raise
    except OSError as error:
        path = Path(error.filename or run)
        advice = f"; no run goes on without it, but --init {run} begins a new one with the weights"
        raise UserError(f"cannot read {path}: {error.strerror}{advice if path.name == OPTIMIZER else ''}") from None
    raise not_a_run(run, "checkpoint")


def not_a_run(run: Path, lacks: str) -> UserError:
    other = files.exists(run / "config.json") and not is_there(run)
    hint = f"; a folder of transformers is hf:{run}" if other else ""
    why = (
        f"it has no {lacks}"
        if os.path.isdir(run)
        else "it is a file"
        if os.path.isfile(run)
        else "there is no such folder"
    )
    return UserError(f"{run} is not a run folder: {why}; give a folder that python -m gpt.train made{hint}")


def current(run: Path, stack: ExitStack) -> Folder | None:
    """Open the folder of the checkpoint; None if there is none, at the moment or at all."""
    for name in (CURRENT, OLD):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return stack.enter_context(Folder(run / name))
    return None


def read_folder(run: Path, folder: Folder, stack: ExitStack, names: Sequence[str], partial: bool) -> Checkpoint:
    """Read the checkpoint in an open folder. Opens all files before it reads one."""
    metadata, *arrays_in = [stack.enter_context(folder.open(name)) for name in (METADATA, *names)]
    values = verified(files.parse(files.limited(metadata, LONGEST_METADATA), metadata.path), metadata.path)
    try:
        checkpoint = described(values, metadata.path)
        sums = [values["sha256"][name] for name in names]
        if not all(isinstance(each, str) for each in sums):
            raise TypeError("a checksum is no text")
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{metadata.path} is damaged: {shown(repr(error))}") from None
    checkpoint.written = read_config(run, checkpoint)
    check_memory(replace(checkpoint.config, device="cpu", cuda_graph=False, tf32=False), loaded=run)
    specs = dict(zip(FILES, specs_of(checkpoint.config), strict=True))
    for name, file, expected in zip(names, arrays_in, sums, strict=True):
        if partial and name == OPTIMIZER:
            specs[name] = arrays.present(file, specs[name])
        found = arrays.read(file, specs[name], expected, may_be_empty=name == OPTIMIZER and no_update(checkpoint))
        check_numbers(file.path, found, checkpoint.step)
        if name == OPTIMIZER:
            checkpoint.optimizer = found
        else:
            checkpoint.weights = found
    return checkpoint


def verified(values: Any, path: Path) -> dict[str, Any]:
    """Return the metadata. Raises UserError unless their checksum, if they are not of the first format, is right."""
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: no JSON object")
    if "format" in values or "checksum" in values:
        if not is_sealed(values):
            raise UserError(f"{path} was altered: its checksum is another; restore it from a copy, or train again")
        if values.get("format") != FORMAT:
            raise UserError(
                f"{path} has format {shown(values.get('format'))}, and this version reads {FORMAT}; take a newer version"
            )
    return values


def described(values: dict[str, Any], path: Path) -> Checkpoint:
    """Return the checkpoint that the metadata describe, without its arrays. Raises UserError if a value is impossible."""
    config = from_dict(values["config"], str(path))
    try:
        tokenizer = tokenizers.from_json(values["tokenizer"])
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    check_tokenizer(tokenizer, config, values.get("format", 1), path)
    step, seconds, text = (values[key] for key in ("step", "seconds", "corpus_sha256"))
    if not (
        type(step) is int and 0 <= step <= config.steps and type(seconds) in (int, float) and 0 <= seconds < math.inf
    ):
        raise UserError(f"{path} is damaged: step {shown(step)}, seconds {shown(seconds)}")
    scaler = make_scaler(config)
    scale = values.get("loss_scale", {})  # older versions: none
    if not has_numbers(scale, set(scaler.state_dict() if scaler else {})):
        raise UserError(f"{path} is damaged: loss_scale {shown(scale)}")
    best, pending = values.get("best"), values.get("pending")
    if best is not None and not (has_numbers(best, {"loss", "step"}) and type(best["step"]) is int):
        raise UserError(f"{path} is damaged: best {shown(best)}")
    number, ranks = values.get("format", 1), values.get("ranks", 1)  # older versions: none
    if type(ranks) is not int or ranks < 1:
        raise UserError(f"{path} is damaged: ranks {shown(ranks)}")
    bug = values.get("bug", "")  # older versions: none
    if not (isinstance(bug, str) and BUG.fullmatch(bug)):
        raise UserError(f"{path} is damaged: bug {shown(bug)}")
    return Checkpoint(
        step, float(seconds), config, tokenizer, str(text), loss_scale=scale, best=best, pending=pending, format=number,
        ranks=ranks, bug=bug,
    )  # fmt: skip


def check_tokenizer(tokenizer: Tokenizer, config: TrainConfig, number: int, path: Path) -> None:
    """Raise UserError unless the model has rows for the tokens. More rows than tokens are right in a newer format alone."""
    count, rows = tokenizer.vocab_size, config.vocab_size
    padded = number > 1 and count < rows <= count + PADDING and tokenizer.name == config.tokenizer
    if count != rows and not padded:
        raise UserError(f"{path} is damaged: the tokenizer has {count} tokens, vocab_size is {rows}")


def has_numbers(value: Any, names: set[str]) -> bool:
    """Return whether it is a JSON object with these names, all of them numbers, none infinite or nan."""
    return (
        isinstance(value, dict)
        and set(value) == names
        and all(type(x) in (int, float) and abs(x) <= sys.float_info.max for x in value.values())
    )


def specs_of(config: TrainConfig) -> tuple[dict[str, Spec], dict[str, Spec]]:
    """Return what the arrays of the two files must be."""
    shapes = parameter_shapes(config)
    weights = {name: Spec(config.dtype, shape) for name, shape in shapes.items()}
    if config.model == "gpt" and config.tied:
        weights["head.weight"] = weights["embedding.weight"]
    half = config.dtype == "float16"  # its moments are in float32, and so is another copy of the weights
    moments = ("exp_avg", "exp_avg_sq", "master") if half else ("exp_avg", "exp_avg_sq")
    state = {f"{name}.step": Spec("float32", ()) for name in shapes}
    for key in moments:
        state |= {f"{name}.{key}": Spec("float32" if half else config.dtype, shape) for name, shape in shapes.items()}
    return weights, state


def no_update(checkpoint: Checkpoint) -> bool:
    """Return whether AdamW may have no state: before the first step, or if all steps overflowed float16."""
    return checkpoint.step == 0 or checkpoint.config.dtype == "float16"


def check_numbers(path: Path, found: Arrays, step: int) -> None:
    """Raise UserError if an array holds a number that no run of so many steps has."""
    rules: dict[str, Callable[[NDArray[Any]], Any]] = {
        "exp_avg_sq": lambda a: np.isfinite(a) & (a >= 0),
        "step": lambda a: (a >= 1) & (a <= step) & (a == np.round(a)),
    }
    for name, array in found.items():
        if not np.all(rules.get(name.rsplit(".", 1)[1], np.isfinite)(array)):
            raise UserError(f"{path} holds impossible numbers in {name}; restore it from a copy, or train again")


def read_config(run: Path, checkpoint: Checkpoint) -> TrainConfig:
    """Read config.json. Raises UserError if it says otherwise than the checkpoint about what a run keeps."""
    path = run / "config.json"
    if not files.exists(path):
        raise not_a_run(run, "config.json")
    written = from_dict(files.parse(files.read(path, LONGEST_CONFIG), path), str(path))
    for each in fields(TrainConfig):
        ours, theirs = getattr(written, each.name), getattr(checkpoint.config, each.name)
        if ours != theirs and each.name not in CHANGEABLE:
            raise UserError(
                f"{path} says {each.name} {shown(ours)}, its checkpoint {theirs}: a run keeps it, so change it back; "
                f"a new run may have {flag(each.name)} {ours}"
            )
    return written


def read_corpus(saved: Checkpoint, run: Path, show: Shown, data: str | None = None) -> Corpus | Stored:
    """Read the text that the run was trained on, from `data` if it has moved. Its content counts, not its name.

    Raises UserError if it is another text. `show` tells how far a dataset is that is streamed again.
    """
    reader = Reader(saved.config.tokenizer, saved.tokenizer, saved.corpus_sha256, show)
    if data is None:
        name = (saved.written or saved.config).data
        try:
            text = corpus.read(name, regular=True, reader=reader)
        except UserError as error:
            raise UserError(f"{error}; if the text has moved, give --data PATH") from None
        if text.sha256 == saved.corpus_sha256:
            return text
        why = "; every version of Python has its own" if name == "python-docs" else ""
        raise UserError(
            f"{text.name} has changed since {run} was trained on it{why}; give --data PATH with the text of then"
        )
    text = corpus.read(data, reader=reader)
    if text.sha256 != saved.corpus_sha256:
        raise UserError(
            f"--data {data}: {run} was trained on another text, and a resumed run keeps its text; "
            f"--init {run} --data {data} begins a new run with its weights"
        )
    return text


def load(run: str | Path, device: str | None = None, last: bool = False) -> tuple[Model, Tokenizer]:
    """Return the model of a run folder in evaluation mode, and its tokenizer. Without `device`, on the device of the run.

    It has the best weights of the run; the last ones with `last`.
    """
    checkpoint = read_model(Path(run), last)
    return restore_model(checkpoint, device).eval(), checkpoint.tokenizer


def restore_model(checkpoint: Checkpoint, device: str | None = None) -> Model:
    """Return the model of the checkpoint. Without `device`, on the device of its configuration."""
    device = device or (checkpoint.written or checkpoint.config).device
    check_device(device)
    with undrawn():
        model = fresh_model(replace(checkpoint.config, device=device, cuda_graph=False, tf32=False))
    weights = {name: from_numpy(array) for name, array in checkpoint.weights.items()}
    if "position_embedding.weight" in weights:  # a shorter context has fewer positions
        weights["position_embedding.weight"] = weights["position_embedding.weight"][: checkpoint.config.context]
    model.load_state_dict(weights)
    return model


def fresh_model(config: TrainConfig) -> Model:
    """Return a model with its first weights, on the device and in the precision of the configuration."""
    return build(config).to(device=config.device, dtype=getattr(tinytensor, config.dtype))


def weight_arrays(model: Model) -> Arrays:
    """Return a copy of every weight, by its name."""
    return {name: to_array(value) for name, value in model.state_dict().items()}


def optimizer_arrays(model: Model, optimizer: AdamW) -> Arrays:
    """Return the state of AdamW: an array for each `parameter.key`, such as `norm.weight.exp_avg`.

    Where it is shared out among ranks, the first one has it, and all call this.
    """
    consolidate = getattr(optimizer, "consolidate_state_dict", None)
    if consolidate is not None:
        consolidate()  # into memory of its own: no more copies
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    arrays = {
        f"{names[id(parameter)]}.{key}": to_array(value) if consolidate is None else value.numpy()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    if consolidate is not None:
        optimizer.state.clear()
    return arrays


def restore_optimizer(model: Model, optimizer: AdamW, saved: Arrays) -> None:
    """Set the state of AdamW from `optimizer_arrays`. Raises UserError if it does not fit the model."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for path, array in saved.items():
        name, key = path.rsplit(".", 1)
        if name not in shapes or array.shape not in ((), shapes[name]):
            raise UserError(f"the optimizer's state {path} {array.shape} does not fit the model")
        state.setdefault(order.index(name), {})[key] = from_numpy(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def to_array(value: Any) -> NDArray[Any]:
    """Copy a tensor or a number into a NumPy array."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.array(array)
