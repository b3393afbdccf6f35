"""The one exception behind every message that a user is meant to read."""

from __future__ import annotations


class UserError(ValueError):
    """What is wrong and what would be right, in one line; commands print it and exit with 2."""
