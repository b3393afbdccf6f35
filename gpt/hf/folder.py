"""The folder of a pretrained model, by its path or by its name on the Hugging Face hub.

A folder is opened as run folders are (gpt/run/files.py): no link is followed. The one exception is the hub's own cache, where
each file is a link into the folder `blobs` beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt.config import HUB
from gpt.errors import UserError, reading, shown
from gpt.run import files
from gpt.run.files import MIB, File, Folder

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER = {
    "tokenizer.json": 64 * MIB,
    **dict.fromkeys(("vocab.json", "merges.txt", "encoder.json", "vocab.bpe"), 32 * MIB),
}
WANTED = [CONFIG, INDEX, "*.safetensors", *TOKENIZER, "tokenizer_config.json"]
MOST = {CONFIG: MIB, INDEX: 8 * MIB, **TOKENIZER}  # bytes that can be right
PICKLE = "pytorch_model.bin"


def locate(name: str, wanted: Sequence[str] = WANTED) -> Path:
    """Return the folder of `hf:NAME`: NAME is a path, or what huggingface_hub fetches, the files `wanted` alone.

    Raises UserError if there is none.
    """
    text = name.removeprefix(HUB)
    path = Path(os.path.expanduser(text))
    if text and os.path.isdir(path):
        return path
    if text and files.exists(path):
        raise UserError(f"{name}: {path} is no folder; give the folder that has {CONFIG} in it")
    if not NAME.fullmatch(text):
        raise UserError(
            f"{shown(name)}: there is no such folder; give hf:FOLDER, or hf:NAME of a model on the Hub "
            f"(hf:openai-community/gpt2)"
        )
    return fetched(name, text, wanted)


def fetched(name: str, repository: str, wanted: Sequence[str]) -> Path:
    """Return the folder in the hub's cache with the files that are wanted, fetched if they are not there yet."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(
            f"{name}: there is no such folder, and fetching a model by its name needs huggingface_hub; "
            f"pip install huggingface_hub, or give the path of a folder"
        ) from None
    try:
        return Path(snapshot_download(repository, allow_patterns=list(wanted)))
    except Exception as error:  # it raises what its HTTP library raises, and that has changed
        reason = shown(" ".join(str(error).split()) or type(error).__name__)
        raise UserError(
            f"{name}: no such folder, and it cannot be fetched: {type(error).__name__}: {reason}; give the path of a folder"
        ) from None


class ModelFolder:
    """An open folder of a model. The user names it, so its path may be a link; what is in it may not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = self._blobs(path)
        self._folder = Folder(path, follow=True)

    @staticmethod
    def _blobs(path: Path) -> Path | None:
        """Return where the files of a snapshot in the hub's cache are; None for any other folder."""
        real = Path(os.path.realpath(path))
        return real.parent.parent / "blobs" if real.parent.name == "snapshots" else None

    def has(self, name: str) -> bool:
        return files.exists(self.path / name)

    def open(self, name: str) -> File:
        """Open a file for reading. Raises UserError unless it is there and a regular file."""
        path = self.path / name
        absent = f"{self.path} has no {name}; it must be a model that transformers saved (save_pretrained)"
        with reading(path, missing=absent):
            if self.blobs is not None and path.is_symlink():
                target = Path(os.path.realpath(path))
                if target.parent == self.blobs:
                    with Folder(self.blobs) as blobs:
                        file = blobs.open(target.name)
                        file.path = path
                        return file
            return self._folder.open(name)

    def content(self, name: str) -> bytes:
        """Return the content of a file of MOST. Raises UserError if it has more bytes than can be right."""
        with self.open(name) as file:
            return files.limited(file, MOST[name])

    def json(self, name: str) -> Any:
        return files.parse(self.content(name), self.path / name)

    def __enter__(self) -> ModelFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.__exit__()


def opened(path: Path) -> ModelFolder:
    """Open the folder. Raises UserError if it cannot be."""
    with reading(path):
        return ModelFolder(path)
