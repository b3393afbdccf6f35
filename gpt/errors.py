"""The exception for everything that a user can put right."""

from __future__ import annotations


class UserError(ValueError):
    """Its message says in one line what is wrong and what would be right. Commands print it and exit with 2."""
