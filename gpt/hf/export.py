"""A folder that `AutoModelForCausalLM.from_pretrained` loads: our parameters under the names and in the order of theirs.

All files are written into a folder beside the final one, which then takes its name: nobody sees a half.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.build import Model
from gpt.config import TrainConfig
from gpt.errors import UserError
from gpt.hf import config as entries
from gpt.hf.folder import CONFIG, SINGLE
from gpt.hf.parts import HEADS, PREFIXES, Part, parts
from gpt.hf.tokenizer import end_of, written
from gpt.run import files
from gpt.run.arrays import SIZES
from gpt.tokenizers import Tokenizer

ALIGNED = 8  # the numbers begin at a multiple of so many bytes


def check_target(folder: Path) -> None:
    """Raise UserError unless nothing, or an empty folder, has this name."""
    if not files.exists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder} is there and is no folder; give another name")
    try:
        filled = any(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}; give another name") from None
    if os.path.samefile(folder, os.curdir):
        raise UserError(f"{folder} is the folder that you are in, and would be replaced; give a name in it")
    if filled:
        raise UserError(f"{folder} is not empty; give another name, or empty it")


def write(folder: Path, model: Model, config: TrainConfig, tokenizer: Tokenizer | None = None) -> None:
    """Write the folder: config.json, the weights, and the files of the tokenizer. If that fails, nothing is left."""
    kind = entries.kind_of(config)
    described = json.dumps(entries.written(config, kind, end_of(tokenizer)), indent=2) + "\n"
    texts = {} if tokenizer is None else written(tokenizer, config.context)
    target = Path(os.path.realpath(folder))  # "." has no name
    draft = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(draft)
        try:
            for name, text in {CONFIG: described, **texts}.items():
                files.create(draft / name, text.encode())
            write_weights(draft / SINGLE, model, config, kind)
            files.sync_folder(draft)
            if os.name != "posix" and files.exists(target):  # POSIX replaces an empty folder in one step
                os.rmdir(target)
            os.rename(draft, target)
            files.sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):
                files.remove(draft)
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {error.strerror}; nothing was written") from None


def write_weights(path: Path, model: Model, config: TrainConfig, kind: str) -> None:
    """Write the safetensors file: one tensor after the other, so that no second copy of the model is in memory."""
    dtype, width = SIZES[config.dtype]
    wanted, header, end = {full_name(kind, name): part for name, part in parts(kind, config).items()}, {}, 0
    for name, part in wanted.items():
        size = math.prod(part.shape) * width
        header[name] = {"dtype": dtype, "shape": part.shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % ALIGNED)
    files.create(path, len(text).to_bytes(8, "little") + text, arrays_of(model, wanted))


def full_name(kind: str, name: str) -> str:
    """Return the name with its prefix, which all have but the head."""
    return name if name.startswith(HEADS[kind]) else PREFIXES[kind] + name


def arrays_of(model: Model, wanted: dict[str, Part]) -> Iterator[NDArray[Any]]:
    """Yield each tensor, row-major, little-endian."""
    ours = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    dtype = next(iter(ours.values())).dtype.newbyteorder("<")
    for part in wanted.values():
        array = np.zeros(part.shape, dtype) if part.ours is None else ours[part.ours]
        if part.rows is not None and part.ours is not None:
            array = array[part.rows]
        yield np.ascontiguousarray(array.T if part.turned else array, dtype)
