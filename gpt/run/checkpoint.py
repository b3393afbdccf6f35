"""Checkpoints: a crash at any instant leaves a complete one, and damage is noticed.

    RUN/config.json                          the configuration
    RUN/checkpoint/weights.safetensors       every parameter by its name
    RUN/checkpoint/optimizer.safetensors     AdamW's state of each parameter: `name.exp_avg`, ...
    RUN/checkpoint/metadata.json             step, configuration, tokenizer, loss scale, checksums, versions

A save writes all of `checkpoint.new`, then renames `checkpoint` to `checkpoint.old`, then `checkpoint.new` to
`checkpoint`. Between the two renames `checkpoint.old` is the complete one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as format_arrays

import tinytensor
from gpt import corpus
from gpt.build import Model, build
from gpt.cli import check_device
from gpt.config import GPTConfig, TrainConfig, from_dict
from gpt.corpus import Corpus
from gpt.errors import UserError
from gpt.fast.half import make_scaler
from gpt.tokenizer import CharTokenizer
from tinytensor import Tensor, from_numpy
from tinytensor.optim import AdamW

Arrays = dict[str, NDArray[Any]]
CURRENT, NEW, OLD = "checkpoint", "checkpoint.new", "checkpoint.old"
FILES = ("weights.safetensors", "optimizer.safetensors")


@dataclass
class Checkpoint:
    """Everything that a run needs to go on after `step` updates, which took `seconds`."""

    step: int
    seconds: float
    config: TrainConfig
    tokenizer: CharTokenizer
    corpus_sha256: str
    weights: Arrays
    optimizer: Arrays
    loss_scale: dict[str, float] = field(default_factory=dict)  # the state of GradScaler; {} but for float16
    best: tuple[float, int] | None = None  # the lowest validation loss so far, and its step
    pending: dict[str, Any] | None = None  # the row of `step` (gpt/run/metrics.py) if that is still to be evaluated


def save(run: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of the run. If that fails, the previous one is still there."""
    files = [format_arrays(checkpoint.weights), format_arrays(checkpoint.optimizer)]
    metadata = {
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "config": asdict(checkpoint.config),
        "tokenizer": checkpoint.tokenizer.to_json(),
        "corpus_sha256": checkpoint.corpus_sha256,
        "loss_scale": checkpoint.loss_scale,
        "best": checkpoint.best,
        "pending": checkpoint.pending,
        "sha256": {name: sha256(content) for name, content in zip(FILES, files, strict=True)},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tinytensor": tinytensor.__version__,
        },
    }
    files.append(json.dumps(metadata, indent=2).encode())
    try:
        shutil.rmtree(run / NEW, ignore_errors=True)
        (run / NEW).mkdir()
        for name, content in zip((*FILES, "metadata.json"), files, strict=True):
            write(run / NEW / name, content)
        sync_folder(run / NEW)
        swap(run)
    except OSError as error:
        shutil.rmtree(run / NEW, ignore_errors=True)
        raise UserError(
            f"cannot save step {checkpoint.step} in {run}: {error.strerror or error}; "
            f"the checkpoint before it is intact"
        ) from None


def exists(run: Path) -> bool:
    """Return whether the folder holds a complete checkpoint."""
    return any((run / name).is_dir() for name in (CURRENT, OLD))


def swap(run: Path) -> None:
    """Put the complete `checkpoint.new` in place of `checkpoint`."""
    if (run / CURRENT).exists():  # else a crash cut off an earlier swap, and OLD is the complete one
        shutil.rmtree(run / OLD, ignore_errors=True)
        os.rename(run / CURRENT, run / OLD)
    os.rename(run / NEW, run / CURRENT)
    sync_folder(run)
    shutil.rmtree(run / OLD, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the disk, where the system can wait for that."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(run: Path) -> Checkpoint:
    """Read the checkpoint of the run, and verify every checksum."""
    folder = next((run / name for name in (CURRENT, OLD) if (run / name).is_dir()), None)
    if folder is None or not (run / "config.json").is_file():
        raise UserError(
            f"{run} is not a run folder: it has no "
            f"{'checkpoint' if folder is None else 'config.json'}; "
            f"give a folder that python -m gpt.train made"
        )
    written = from_dict(read_json(run / "config.json"), f"{run / 'config.json'}")
    metadata = read_json(folder / "metadata.json")
    try:
        config = from_dict(metadata["config"], f"{folder / 'metadata.json'}")
        tokenizer = CharTokenizer.from_json(metadata["tokenizer"])
        step, seconds, text = (metadata[key] for key in ("step", "seconds", "corpus_sha256"))
        if not (isinstance(step, int) and step >= 0 and 0 <= seconds < math.inf):
            raise UserError(f"{folder / 'metadata.json'} is damaged: step {step}, seconds {seconds}")
        weights, optimizer = (read_arrays(folder / name, metadata["sha256"][name]) for name in FILES)
        scale = metadata.get("loss_scale", {})  # older versions did not write it
        scaler = make_scaler(config)
        names = set(scaler.state_dict() if scaler else {})
        if not isinstance(scale, dict) or set(scale) != names or not is_finite(scale):
            raise UserError(f"{folder / 'metadata.json'} is damaged: loss_scale {scale}")
        best, pending = metadata.get("best"), metadata.get("pending")  # older versions did not write them
        if best is not None and not (is_finite(dict(enumerate(best))) and isinstance(best[1], int)):
            raise UserError(f"{folder / 'metadata.json'} is damaged: best {best}")
        progress = step, float(seconds), config, tokenizer, str(text)
        checkpoint = Checkpoint(*progress, weights, optimizer, scale, best, pending)
    except OSError as error:
        raise UserError(f"{folder} is incomplete: {error.filename}: {error.strerror}") from None
    except (LookupError, TypeError, OverflowError) as error:
        raise UserError(f"{folder / 'metadata.json'} is damaged: {error!r}") from None
    compare(run, written, checkpoint)
    return checkpoint


def is_finite(numbers: dict[Any, Any]) -> bool:
    """Return whether all values are numbers, none of them infinite or nan."""
    return all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers.values())


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError, with its name, for anything else."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, not JSON: {error}") from None


def read_arrays(path: Path, expected: str) -> Arrays:
    """Read the arrays of a safetensors file. Raises UserError unless its checksum is `expected`."""
    content = path.read_bytes()
    if sha256(content) != expected:
        raise UserError(
            f"{path} is cut off or altered: {len(content):,} bytes with sha256 {sha256(content)[:12]}, "
            f"written with {expected[:12]}; restore it from a copy, or train again"
        )
    try:
        return {name: array.copy() for name, array in parse_arrays(content).items()}
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file: {error}") from None


def compare(run: Path, written: GPTConfig, checkpoint: Checkpoint) -> None:
    """Raise UserError if config.json describes another model than the checkpoint."""
    names = GPTConfig.__dataclass_fields__
    for name in names:
        ours, theirs = getattr(written, name), getattr(checkpoint.config, name)
        if ours != theirs:
            raise UserError(f"{run / 'config.json'} says {name} {ours}, its checkpoint {theirs}")
    if checkpoint.tokenizer.vocab_size != checkpoint.config.vocab_size:
        raise UserError(f"{run}: the tokenizer's size is not vocab_size")


def read_corpus(saved: Checkpoint, run: Path) -> Corpus:
    """Read the text that the run was trained on. Raises UserError if it has changed since."""
    text = corpus.read(saved.config.data)
    if text.sha256 != saved.corpus_sha256:
        raise UserError(f"{text.name} has changed since {run} was trained on it")
    return text


def load(run: str | Path, device: str | None = None) -> tuple[Model, CharTokenizer]:
    """Return the model of a run folder in evaluation mode, and its tokenizer. Without `device`, on the device of the run."""
    checkpoint = read(Path(run))
    return restore_model(checkpoint, Path(run), device).eval(), checkpoint.tokenizer


def restore_model(checkpoint: Checkpoint, run: Path, device: str | None = None) -> Model:
    """Return the model of the checkpoint. Without `device`, on the device of its configuration."""
    device = device or checkpoint.config.device
    check_device(device)
    model = fresh_model(replace(checkpoint.config, device=device, cuda_graph=False, tf32=False))
    try:
        model.load_state_dict({name: from_numpy(a) for name, a in checkpoint.weights.items()})
    except RuntimeError as error:  # missing or unexpected names, or other shapes
        raise UserError(f"{run}: the weights do not fit the configuration: {error}") from None
    return model


def fresh_model(config: TrainConfig) -> Model:
    """Return a model with its first weights, on the device and in the precision of the configuration."""
    return build(config).to(device=config.device, dtype=getattr(tinytensor, config.dtype))


def weight_arrays(model: Model) -> Arrays:
    """Return a copy of every weight, by its name."""
    return {name: to_array(value) for name, value in model.state_dict().items()}


def optimizer_arrays(model: Model, optimizer: AdamW) -> Arrays:
    """Return the state of AdamW: an array for each `parameter.key`, such as `norm.weight.exp_avg`."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}.{key}": to_array(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(model: Model, optimizer: AdamW, arrays: Arrays) -> None:
    """Set the state of AdamW from `optimizer_arrays`. Raises UserError if it does not fit the model."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for path, array in arrays.items():
        name, key = path.rsplit(".", 1)
        if name not in shapes or array.shape not in ((), shapes[name]):
            raise UserError(f"the optimizer's state {path} {array.shape} does not fit the model")
        state.setdefault(order.index(name), {})[key] = from_numpy(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def to_array(value: Any) -> NDArray[Any]:
    """Copy a tensor or a number into a NumPy array."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.array(array)
