"""The rules that need no more than what a run has recorded: every training ends with them, so they import little."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis import initial_loss, instability, loss_level, overfitting
from gpt.diagnosis.check import Check
from gpt.diagnosis.recorded import Recorded

RECORDED = (
    instability.not_finite, initial_loss.initial_loss, instability.spikes, instability.gradient_size,
    loss_level.learned_nothing, loss_level.too_good, overfitting.overfitting,
)  # fmt: skip


def recorded(run: Recorded) -> list[Check]:
    """Return the checks that need no more than what the run has recorded."""
    with np.errstate(all="ignore"):
        found = [rule(run) for rule in RECORDED]
    return [check for check in found if check is not None]
