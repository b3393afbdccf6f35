"""Errors in words: what happened, in which line of what the reader wrote, and the calls that led there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LONGEST = 2000  # characters of a message
FIRST, LAST = 10, 20  # calls that are told of a recursion
TOO_DEEP = "the code is nested too deeply for Python"


class Wrong(Exception):
    """What the reader has to be told in one line, without a traceback."""


def described(error: BaseException, shown: Callable[[str], str], edits: Collection[str]) -> dict[str, Any]:
    """The kind and message of an error, its last place in what the reader wrote, and all lines.

    shown: a file's path as the reader knows it; edits: the paths that the reader edited.
    """
    if isinstance(error, Wrong):
        return {"kind": "", "message": str(error), "place": None, "lines": []}
    frames: list[dict[str, Any]] = [
        {"file": shown(frame.filename), "line": frame.lineno, "name": frame.name, "text": frame.line or ""}
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent != HERE and "importlib" not in frame.filename
    ]
    place: dict[str, Any] | None = None
    if isinstance(error, SyntaxError):
        place = {"file": shown(error.filename or ""), "line": error.lineno, "text": (error.text or "").strip()}
    else:
        own = [frame for frame in frames if frame["file"] in edits or not frame["file"].endswith(".py")]
        place = own[-1] if own else frames[-1] if frames else None
    kind, lines = type(error).__name__, without_the_middle(frames)
    return {"kind": kind, "message": message_of(error), "place": place, "lines": lines}


def message_of(error: BaseException) -> str:
    """What the error says. Its class may be the reader's, and fail at that too."""
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:
        return "(its message cannot be shown: __str__ fails)"
    if isinstance(error, MemoryError) and not message:
        return "Python has no memory left for this"
    return message if len(message) <= LONGEST else f"{message[:LONGEST]}… ({len(message):,} characters)"


def without_the_middle(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first and last calls of many; one line says how many are between them."""
    if len(frames) <= FIRST + LAST:
        return frames
    between = {"file": f"{len(frames) - FIRST - LAST:,} more calls", "line": None, "name": "between", "text": ""}
    return [*frames[:FIRST], between, *frames[-LAST:]]


def checked(text: str, path: str) -> None:
    """SyntaxError, with the line in question, unless the text is Python."""
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        lines = text.splitlines()
        error.filename = path  # None for a null byte
        error.text = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
        raise
    except UnicodeEncodeError as error:  # half of a character that has two
        line = text.count("\n", 0, error.start) + 1
        wrong = f"the character U+{ord(text[error.start]):04X} is none of a text"
        raise SyntaxError(wrong, (path, line, 0, "")) from None
    except ValueError as error:  # a null byte, in older Pythons
        raise SyntaxError(str(error), (path, 1, 0, "")) from None
    except (RecursionError, MemoryError):
        raise SyntaxError(TOO_DEEP, (path, None, None, "")) from None
