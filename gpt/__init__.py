"""A character-level GPT on tinytensor: `from gpt import GPT, GPTConfig, load`.

python -m gpt.train       trains a model and leaves a run folder
python -m gpt.generate    streams text from a run
python -m gpt.evaluate    measures a run over a whole validation split
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt.checkpoint import load
    from gpt.config import GPTConfig
    from gpt.model import GPT, Bigram

__all__ = ["GPT", "Bigram", "GPTConfig", "load"]

_HOMES = {"GPT": "model", "Bigram": "model", "GPTConfig": "config", "load": "checkpoint"}


def __getattr__(name: str) -> object:
    """Import on first use, so that a command's --help does not wait for the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"gpt.{_HOMES[name]}"), name)
