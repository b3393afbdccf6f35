"""Learning rates that change from step to step."""

from __future__ import annotations

from tinytensor.optim.lr_scheduler.base import LRScheduler, set_lr
from tinytensor.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from tinytensor.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from tinytensor.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from tinytensor.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from tinytensor.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tinytensor.subset import outside

__all__ = [
    "LRScheduler",
    "LambdaLR",
    "MultiplicativeLR",
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
    "SequentialLR",
    "ChainedScheduler",
    "ReduceLROnPlateau",
    "set_lr",
]

__getattr__ = outside("tinytensor.optim.lr_scheduler")
