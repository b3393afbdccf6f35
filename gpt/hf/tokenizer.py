"""The tokenizer of a model folder: tokenizer.json of the `tokenizers` library, or GPT-2's own two files."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import Any

from gpt.config import HUB
from gpt.errors import UserError, shown
from gpt.hf.hub import ModelFolder, locate, opened
from gpt.run.files import MIB
from gpt.tokenizers import BPETokenizer, Tokenizer, from_library, make
from gpt.tokenizers.bpe import parse_merges
from gpt.tokenizers.foreign import END, from_vocabulary
from gpt.tokenizers.words import shown as shown_bytes

LIBRARY, VOCABULARY, MERGES, CONFIG = "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"
SPECIAL = re.compile(r"<.+>|\[.+\]", re.DOTALL)  # vocab.json does not say which tokens no merge makes: they look so


def read(folder: ModelFolder, vocab_size: int) -> Tokenizer | None:
    """Return the tokenizer of the folder; None if it has no files of one.

    Raises UserError, which names the file, if it is another one than this computes, or has another number of tokens.
    """
    if folder.has(LIBRARY):
        name, made = LIBRARY, partial(from_library, folder.json(LIBRARY))
    elif folder.has(VOCABULARY) and folder.has(MERGES):
        name, made = VOCABULARY, partial(from_lines, *two_files(folder))
    else:
        return None
    try:
        tokenizer = made()
    except UserError as error:  # it knows no file; those that read one name it
        raise UserError(f"{folder.path / name}: {error}") from None
    return fitting(tokenizer, str(folder.path / name), vocab_size)


def fitting(tokenizer: Tokenizer, name: str, vocab_size: int) -> Tokenizer:
    """Return the tokenizer. Raises UserError if its number of tokens is not that of the model."""
    if tokenizer.vocab_size != vocab_size:
        raise UserError(
            f"{name} has {tokenizer.vocab_size:,} tokens: the model has {vocab_size:,} rows for {tokenizer.vocab_size:,} tokens"
        )
    return tokenizer


def two_files(folder: ModelFolder) -> tuple[dict[str, Any], list[str]]:
    """Return the vocabulary and the lines of the merges."""
    vocabulary = folder.json(VOCABULARY)
    try:
        text = folder.text(MERGES, 32 * MIB).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{folder.path / MERGES} is not UTF-8: {error.reason} at offset {error.start:,}") from None
    lines = [line for line in text.split("\n") if line and not line.startswith("#version")]
    if not isinstance(vocabulary, dict):
        raise UserError(f"{folder.path / VOCABULARY} is no JSON object")
    return vocabulary, lines


def from_lines(vocabulary: dict[str, Any], lines: list[str]) -> Tokenizer:
    made = {shown_bytes(token) for token in BPETokenizer(parse_merges(lines)).numbers}
    special = {token: number for token, number in vocabulary.items() if token not in made and SPECIAL.fullmatch(token)}
    return from_vocabulary(vocabulary, lines, special)


def named(name: str, vocab_size: int) -> Tokenizer:
    """Return the tokenizer that --tokenizer names: bytes, gpt2, gpt2:FOLDER, or a folder with its files (also hf:NAME)."""
    if name in ("bytes", "gpt2") or name.startswith("gpt2:"):
        return fitting(make(name, ""), f"--tokenizer {name}", vocab_size)
    if not name.startswith(HUB) and not os.path.isdir(os.path.expanduser(name)):
        raise UserError(
            f"--tokenizer {shown(name)}: there is no such folder; give a folder with {LIBRARY}, hf:NAME, gpt2 or bytes"
        )
    with opened(locate(name)) as folder:
        tokenizer = read(folder, vocab_size)
        if tokenizer is None:
            raise UserError(f"--tokenizer {folder.path} has neither {LIBRARY} nor {VOCABULARY} and {MERGES}")
        return tokenizer


def written(tokenizer: Tokenizer, context: int) -> dict[str, str]:
    """Return the files of the tokenizer, by their names, for AutoTokenizer.from_pretrained."""
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    if end_of(tokenizer) is not None:
        settings |= {"bos_token": END, "eos_token": END}
    return {
        LIBRARY: json.dumps(tokenizer.to_library(), ensure_ascii=False, indent=2) + "\n",
        CONFIG: json.dumps(settings, indent=2) + "\n",
    }


def end_of(tokenizer: Tokenizer | None) -> int | None:
    """Return the id of the token that ends a document; None if there is none."""
    return getattr(tokenizer, "special", {}).get(END)
