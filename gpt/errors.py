"""The exceptions for what a user can put right, and for a signal that asks to stop."""

from __future__ import annotations

from types import TracebackType


class UserError(ValueError):
    """Its message says in one line what is wrong and what would be right. Commands print it and exit with 2."""


class Stopped(Exception):
    """A signal asked to stop, and what was done is saved. Commands print the message and exit with 128 and the number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def shown(value: object) -> str:
    """Return the value as an error shows it, in one line: a long one, as a file may hold, without its end."""
    text = str(value)
    short = text if len(text) <= 80 else f"{text[:50]}… ({len(text):,} characters)"
    return short if short.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)


class reading:
    """A context that raises UserError where the system cannot read `name`: why, and the advice; `missing` if it is not there.

    So it does for a path that no file can have, as one with a zero character.
    """

    def __init__(self, name: object, advice: str = "", missing: str = "") -> None:
        self._name, self._advice, self._missing = name, advice, missing

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not isinstance(error, (OSError, ValueError)) or isinstance(error, UserError):
            return
        if self._missing and isinstance(error, FileNotFoundError):
            raise UserError(self._missing) from None
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise UserError(f"cannot read {self._name}: {reason}" + (f"; {self._advice}" if self._advice else "")) from None
