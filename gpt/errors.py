"""The exception for everything that a user can put right."""

from __future__ import annotations


class UserError(ValueError):
    """Its message says in one line what is wrong and what would be right. Commands print it and exit with 2."""


def shown(value: object) -> str:
    """Return the value as an error shows it: a long one, as a file may hold, without its middle."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:50]}… ({len(text):,} characters)"
