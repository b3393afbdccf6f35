"""Tokenizers from elsewhere, from the content of their files: `tokenizer.json` of the `tokenizers` library, GPT-2's two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpt.errors import UserError, shown
from gpt.tokenizers.base import Tokenizer, is_text
from gpt.tokenizers.bpe import BPETokenizer, parse_merges
from gpt.tokenizers.characters import CharTokenizer
from gpt.tokenizers.utf8 import ByteTokenizer
from gpt.tokenizers.words import SHOWN
from gpt.tokenizers.words import shown as shown_bytes
from gpt.utf8 import with_lf

END = "<|endoftext|>"  # GPT-2's special token
SPECIAL = re.compile(r"<.+>|\[.+\]", re.DOTALL)  # vocab.json does not say which tokens no merge makes: they look so
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
            refuse(bool(each.get(name)), name, f"of the token {shown(each.get('content'))}")
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


def from_two_files(vocabulary: object, merges: str) -> BPETokenizer:
    """Return the tokenizer of GPT-2's two files: tokens with their numbers, and a text with a merge in each line.

    The first line may say a version, lines may end as on Windows, and empty ones at the end count for nothing. Tokens that no
    merge makes are special if they look so: <pad>, [MASK].
    """
    if not isinstance(vocabulary, dict):
        raise UserError("the vocabulary must be an object")
    lines = with_lf(merges).rstrip("\n").split("\n")
    lines = lines[lines[0].startswith("#version") :]  # a first merge is of two bytes, so this is none
    lines = [] if lines == [""] else lines
    made = {shown_bytes(token) for token in BPETokenizer(parse_merges(lines)).numbers}
    special = {token: number for token, number in vocabulary.items() if token not in made and SPECIAL.fullmatch(token)}
    return from_vocabulary(vocabulary, lines, special)
