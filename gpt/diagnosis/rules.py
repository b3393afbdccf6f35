"""All rules, in the order in which a report has them: causes before what follows from them."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis import (
    attention,
    initial_loss,
    instability,
    layers,
    leaks,
    learning_rate,
    loss_level,
    overfitting,
    range_test,
    units,
)
from gpt.diagnosis.check import Check
from gpt.diagnosis.patient import Patient
from gpt.diagnosis.recorded import Recorded
from gpt.fast.threads import one_blas_thread

RECORDED = (
    instability.not_finite, initial_loss.initial_loss, instability.spikes, instability.gradient_size,
    loss_level.learned_nothing, loss_level.too_good, overfitting.overfitting,
)  # fmt: skip
MEASURED = (
    leaks.future, leaks.targets, leaks.overlap, learning_rate.learning_rate_high, learning_rate.learning_rate_low,
    range_test.range_test, layers.gradient_layers, layers.no_gradient, units.dead_units, attention.attention_saturated,
    attention.attention_uniform, attention.no_order,
)  # fmt: skip


def recorded(run: Recorded) -> list[Check]:
    """Return the checks that need no more than what the run has recorded."""
    with np.errstate(all="ignore"):
        found = [rule(run) for rule in RECORDED]
    return [check for check in found if check is not None]


def examine(patient: Patient, deep: bool = False) -> list[Check]:
    """Return all checks; the one that trains, range_test, with `deep` alone."""
    with np.errstate(all="ignore"), one_blas_thread():
        found = [rule(patient) for rule in MEASURED if deep or rule is not range_test.range_test]
    return recorded(patient.run) + [check for check in found if check is not None]
