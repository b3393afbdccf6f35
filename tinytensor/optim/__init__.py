"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from tinytensor.optim import lr_scheduler
from tinytensor.optim.adam import Adam, AdamW
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.rmsprop import Adagrad, RMSprop
from tinytensor.optim.sgd import SGD
from tinytensor.subset import outside

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]


__getattr__ = outside("tinytensor.optim")
