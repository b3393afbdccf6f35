"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from typing import Any

from tinytensor.optim import lr_scheduler
from tinytensor.optim.adam import Adam, AdamW
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"tinytensor.optim has no {name}: outside the subset of PyTorch that tinytensor covers")
