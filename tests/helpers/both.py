"""One program on both libraries: what it noted, and how it ended, has to be equal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import tinytensor as tt
import torch

Program = Callable[[Any, Callable[..., None]], Any]  # takes the library and a function that notes


def plain(value: Any) -> Any:
    """A value in a form that both libraries share."""
    if isinstance(value, (torch.Tensor, tt.Tensor)):
        return (
            str(value.dtype).rpartition(".")[2],
            tuple(value.shape),
            np.round(np.float64(value.tolist()), 9).tolist(),
        )
    if isinstance(value, (tuple, list)):
        return tuple(plain(v) for v in value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def noted(library: Any, program: Program) -> list[Any]:
    """What a program notes with a library, the warnings, and the exception that ended it."""
    notes: list[Any] = []

    def note(*values: Any) -> None:
        notes.append(plain(values))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            note("returned", program(library, note))
        except Exception as error:
            first = str(error).split("\n")[0]
            notes.append((type(error).__name__, first.split(" (was (")[0].split(": return one")[0]))
    notes += [(w.category.__name__, str(w.message).split("\n")[0][:60]) for w in caught]
    return notes


def same(program: Program) -> list[Any]:
    """What both noted."""
    ours, theirs = noted(tt, program), noted(torch, program)
    assert ours == theirs
    return ours
