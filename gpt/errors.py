"""The exceptions for what a user can put right, and for a signal that asks to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Its message says in one line what is wrong and what would be right. Commands print it and exit with 2."""


class Stopped(Exception):
    """A signal asked to stop, and what was done is saved. Commands print the message and exit with 128 and the number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def shown(value: object) -> str:
    """Return the value as an error shows it: a long one, as a file may hold, without its middle."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:50]}… ({len(text):,} characters)"


@contextmanager
def reading(name: object, advice: str = "", missing: str = "") -> Iterator[None]:
    """Raise UserError where the system cannot read `name`: why, and the advice; `missing` if there is no such file.

    So it is for a path that no file can have, as one with a zero character.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError) as error:
        if missing and isinstance(error, FileNotFoundError):
            raise UserError(missing) from None
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise UserError(f"cannot read {name}: {reason}" + (f"; {advice}" if advice else "")) from None
