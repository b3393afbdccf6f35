"""Layers without random first values: a model whose weights come from a file would draw them for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_draws: ContextVar[bool] = ContextVar("draws", default=True)  # of this thread


def draws() -> bool:
    """Return whether the functions of nn.init draw numbers."""
    return _draws.get()


@contextmanager
def undrawn() -> Iterator[None]:
    """A context in which nn.init draws nothing: a new layer's weights are zero, and no random number is used up."""
    before = _draws.set(False)
    try:
        yield
    finally:
        _draws.reset(before)
