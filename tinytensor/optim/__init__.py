"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from tinytensor.optim import lr_scheduler
from tinytensor.optim.adam import Adam, AdamW
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.sgd import SGD
from tinytensor.subset import outside

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]


__getattr__ = outside("tinytensor.optim")
