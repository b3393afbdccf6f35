"""What byte-pair encoding begins with, as in GPT-2: a text is cut into words, and each byte has a character that shows it.

Source: Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.2, and its encoder.py.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable

# The characters that \s matches in that pattern: Unicode's White_Space. Python's \s has four separators more.
SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@functools.cache
def pattern() -> re.Pattern[str]:
    r"""Return GPT-2's pattern. It cuts a text into words without losing a character; no merge crosses a cut.

        's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

    A word has the space before it. Python's `re` lacks \p{L}, a letter, and \p{N}, a number: `unicodedata` lists them.

    >>> pattern().findall("It's 2 o'clock,  now")
    ['It', "'s", ' 2', ' o', "'", 'clock', ',', ' ', ' now']
    """
    kinds = "".join(unicodedata.category(chr(i))[0] for i in range(sys.maxunicode + 1))  # "L" for a letter, "N", ...

    def ranges(kind: str) -> str:
        runs = re.finditer(f"{kind}+", kinds)
        return "".join(f"\\U{run.start():08x}-\\U{run.end() - 1:08x}" for run in runs)

    letter, number = ranges("L"), ranges("N")
    return re.compile(
        f"'s|'t|'re|'ve|'m|'ll|'d| ?[{letter}]+| ?[{number}]+| ?[^{SPACE}{letter}{number}]+"
        f"|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
    )


def _alphabet() -> dict[int, str]:
    """Return a visible character for each byte: its own in Latin-1 if that is visible, else the next from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {**{byte: chr(byte) for byte in visible}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


SHOWN = _alphabet()  # byte -> its character; in GPT-2's order: a byte's place is the number of its token
BYTE = {character: byte for byte, character in SHOWN.items()}


def shown(token: Iterable[int]) -> str:
    """Return the bytes as characters, as files of merges have them: b" the" is "Ġthe"."""
    return "".join(map(SHOWN.__getitem__, token))


def bytes_shown(characters: str) -> bytes:
    """Invert `shown`. Raises KeyError for a character that shows no byte."""
    return bytes(map(BYTE.__getitem__, characters))
