"""The texts to train on: tiny Shakespeare, the documentation that Python carries, a file of one's own, a prepared corpus."""

from __future__ import annotations

import hashlib
import os
import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from gpt import cli
from gpt.config import HUB
from gpt.corpora.cached import Reader, cache_folder, open_dataset
from gpt.corpora.sources import named
from gpt.corpora.stored import Stored, is_corpus, is_unfinished, open_corpus
from gpt.data import Ids
from gpt.errors import UserError, reading
from gpt.fast.threads import usable_cores
from gpt.run.checks import usable_memory
from gpt.tokenizers.base import Tokenizer, pieces
from gpt.utf8 import decoded

SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
WHILE_READ = 3  # bytes of memory for each byte of a file: the file, its text, and one more copy or the numbers
WANTED = "--data takes shakespeare, python-docs, a path to a text, a folder that gpt.prepare made, or hf:NAME"


@dataclass(frozen=True)
class Corpus:
    """A text, and the name under which `read` finds it again."""

    name: str
    text: str

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in pieces(len(self.text)):
            digest.update(self.text[piece].encode())
        return digest.hexdigest()


def read(data: str, regular: bool = False, reader: Reader | None = None) -> Corpus | Stored:
    """Read the corpus `shakespeare` or `python-docs`, or the UTF-8 text at a path; open a folder that gpt.prepare made.

    `regular` refuses a path to anything else, since a run folder from somebody else may name a device without end. Of hf:NAME,
    a dataset of the Hugging Face Hub, it makes a corpus in the cache folder, as the `reader` needs it.
    """
    if not data:
        raise UserError(f"no text is named: {WANTED}")
    if data == "shakespeare":
        return Corpus(data, read_text(fetch_shakespeare()))
    if data == "python-docs":
        return Corpus(data, python_docs())
    if data.startswith(HUB):
        return open_dataset(data, reader or Reader(), usable_cores())
    path = Path(name_of(data))
    if os.path.isdir(path):
        if is_corpus(path):
            return open_corpus(path, usable_cores())
        if is_unfinished(path):
            raise UserError(f"{path} is a corpus that is not finished: give its command again, python -m gpt.prepare …")
        raise UserError(
            f"{path} is a folder, and no finished corpus: python -m gpt.prepare {cli.word(path)} --out DIR makes one of the "
            f"texts in it; then --data DIR"
        )
    if regular and os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path} is no file; {WANTED}")
    return Corpus(name_of(data), read_text(path))


def name_of(data: str) -> str:
    """Return the name that finds the corpus from any working folder: a path becomes absolute."""
    return data if data in ("shakespeare", "python-docs") else named(data)


def read_default() -> tuple[Corpus | Stored, str]:
    """Return Shakespeare and "", or, where it cannot be fetched, python-docs and a line that says why."""
    try:
        return read("shakespeare"), ""
    except UserError as error:
        reason = str(error).split(";")[0]
        return read("python-docs"), f"{reason}; training on python-docs instead"


def read_text(path: Path) -> str:
    """Read a UTF-8 file. Drops a byte-order mark and turns line ends into LF."""
    with reading(path, WANTED):
        memory, size = usable_memory(), path.stat().st_size
        fits = memory is None or WHILE_READ * size <= memory
        raw = path.read_bytes() if fits else b""
    if memory is not None and not fits:
        raise UserError(
            f"{path} has {size / 2**30:,.1f} GiB: to read it takes {WHILE_READ} times as much memory, and this process may "
            f"use {memory / 2**30:,.1f} GiB; make a corpus of it: python -m gpt.prepare {cli.word(path)} --out DIR, then "
            f"--data DIR"
        )
    text = decoded(raw, str(path))
    if not text:
        raise UserError(f"{path} is empty; {WANTED}")
    return text


def fetch_shakespeare() -> Path:
    """Return the path of tiny Shakespeare in the cache folder. The first call downloads it and checks its sum."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    try:
        path = pooch.retrieve(
            SHAKESPEARE_URL,
            known_hash=f"sha256:{SHAKESPEARE_SHA256}",
            fname="tinyshakespeare.txt",
            path=cache_folder(),
            downloader=pooch.HTTPDownloader(timeout=5),
        )
    except (OSError, ValueError, RuntimeError) as error:  # no network, no home, an unwritable cache, another checksum
        kind = type(error).__name__
        raise UserError(
            f"tiny Shakespeare cannot be fetched from {SHAKESPEARE_URL} ({kind}); "
            f"take --data PATH with a copy of it, or --data python-docs"
        ) from None
    return Path(path)


# Plain quotes and dashes, and no asterisks: they mark emphasis.
PLAIN = str.maketrans("\u201c\u201d\u2018\u2019\u2014\u2013", "\"\"''--", "*")
CODE = re.compile(r"[{}<>|\\^@~$%&#`?!]|--|::")


def python_docs() -> str:
    """Collect the English paragraphs of `pydoc_data.topics`, which is part of every CPython.

    Leaves out grammar, tables and code, which it knows by their characters. Keeps a paragraph that several topics
    share once: else the validation split would repeat the training split.
    """
    from pydoc_data.topics import topics

    paragraphs: dict[str, None] = {}
    for name in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[name]):
            lines = textwrap.dedent(block).strip().translate(PLAIN).splitlines()
            text = "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in lines)
            letters = sum(c.isalpha() or c in " \n,." for c in text)
            begins = text[:1].isalpha() or text[:1] == '"'
            long_enough = len(text) >= 40 and letters >= 0.8 * len(text)
            ends = text.endswith((".", ":")) and text.isascii()
            if begins and ends and long_enough and not CODE.search(text):
                paragraphs[text] = None
    return "\n\n".join(paragraphs) + "\n"


def cut(text: str) -> int:
    """Return how many characters of a text are for training: 90 %. The rest is for validation, the same for every tokenizer."""
    return int(0.9 * len(text))  # a cut, not a random choice: validation text is text that training never saw


def split(text: Corpus | Stored, tokenizer: Tokenizer, context: int, fixed: bool = False) -> tuple[Ids, Ids]:
    """Return the tokens of the part for training, and those of the part for validation.

    Raises UserError if one window does not fit into the first, or no prediction into the second. If the context is
    `fixed`, as that of a trained model, the error does not advise another one.
    """
    if isinstance(text, Stored):
        return cast(
            "tuple[Ids, Ids]", text.split(tokenizer, context, fixed)
        )  # batches and windows index both in the same way
    end = cut(text.text)
    train = tokenizer.encode(text.text[:end], text.name, small=True)
    validation = tokenizer.encode(text.text[end:], f"the last 10 % of {text.name}", small=True)
    if len(train) <= context or len(validation) < 2:  # a target is one token further
        raise UserError(
            f"{text.name}, a text of {len(train) + len(validation):,} tokens, is shorter than a window of "
            f"{'' if fixed else '--'}context {context}: its first 90 % must hold {context + 1:,} tokens and the rest 2; "
            f"take a longer text"
            + (f" or --context {len(train) - 1} at most" if not fixed and min(len(train), len(validation)) >= 2 else "")
        )
    return train, validation
