"""Exercises: write a derivative of the engine, or a test that notices mistakes, and have it checked: python -m gpt.learn

    exercises()                the exercises, each with name, title, kind ("derivative" or "test") and chapter
    start_text(name)           the text of the file that one starts from
    check_text(name, text)     a Report: `passed`, and `lines` that say what is right or wrong

These work in one process, without files, and import NumPy alone: a web page calls them under Pyodide.
"""

from __future__ import annotations

import difflib

import numpy as np

from gpt.errors import UserError
from gpt.learn.derivatives.adamw import ADAMW
from gpt.learn.derivatives.elementwise import DROPOUT, GELU, MUL, RELU, UNBROADCAST
from gpt.learn.derivatives.norms import LAYER_NORM, RMS_NORM, ROTARY
from gpt.learn.derivatives.products import EMBEDDING, LINEAR, MATMUL
from gpt.learn.derivatives.softmaxes import ATTENTION, CROSS_ENTROPY, SOFTMAX
from gpt.learn.derivatives.tape import TAPE
from gpt.learn.exercise import Exercise, Report
from gpt.learn.testing import WrittenTest

__all__ = ["Exercise", "Report", "check_text", "exercise", "exercises", "start_text"]

EXERCISES: list[Exercise] = [
    MUL, UNBROADCAST, MATMUL, RELU, GELU, EMBEDDING, LINEAR, SOFTMAX, CROSS_ENTROPY, LAYER_NORM, RMS_NORM, DROPOUT, ROTARY,
    ATTENTION, ADAMW, TAPE,
    WrittenTest("test_unbroadcast", "01-tensors"),
    WrittenTest("test_tape", "02-tape"),
    WrittenTest("test_cross_entropy", "05-cross-entropy"),
    WrittenTest("test_layer_norm", "06-layer-norm"),
    WrittenTest("test_causal_mask", "07-attention"),
    WrittenTest("test_adamw", "09-adamw"),
    WrittenTest("test_batch", "10-training"),
    WrittenTest("test_sampling", "11-sampling"),
]  # fmt: skip


def exercises() -> list[Exercise]:
    """All exercises, in the order of their chapters."""
    return sorted(EXERCISES, key=lambda each: each.chapter)


def exercise(name: str) -> Exercise:
    """The exercise of this name; UserError with the closest name if there is none."""
    found = {each.name: each for each in EXERCISES}
    if name not in found:
        close = difflib.get_close_matches(name, found, 1)
        advice = f"did you mean {close[0]}?" if close else "python -m gpt.learn list shows all"
        raise UserError(f"there is no exercise {name!r}; {advice}")
    return found[name]


def start_text(name: str) -> str:
    """The text of the file from which a reader starts."""
    return exercise(name).start_text


def check_text(name: str, text: str, seed: int | None = None) -> Report:
    """Check the text of a reader's file. With a seed the same numbers are drawn again; without one, new ones."""
    return exercise(name).check(text, np.random.default_rng(seed))
