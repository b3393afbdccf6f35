"""The exception for everything that a user can put right."""

from __future__ import annotations


class UserError(ValueError):
    """Its message says in one line what is wrong and what would be right. Commands print it and exit with 2."""


def shown(value: object) -> str:
    """Return the value as an error shows it, in one line: a long one, as a file may hold, without its end."""
    text = str(value)
    short = text if len(text) <= 80 else f"{text[:50]}… ({len(text):,} characters)"
    return short if short.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)
