"""All rules, in the order in which a report has them: causes before what follows from them."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis import attention, layers, leaks, learning_rate, range_test, units
from gpt.diagnosis.check import Check
from gpt.diagnosis.patient import Patient
from gpt.diagnosis.records import recorded
from gpt.fast.threads import one_blas_thread

MEASURED = (
    leaks.future, leaks.targets, leaks.overlap, learning_rate.learning_rate_high, learning_rate.learning_rate_low,
    range_test.range_test, layers.gradient_layers, layers.no_gradient, units.dead_units, attention.attention_saturated,
    attention.attention_uniform, attention.no_order,
)  # fmt: skip


def examine(patient: Patient, deep: bool = False) -> list[Check]:
    """Return all checks; the one that trains, range_test, with `deep` alone."""
    with np.errstate(all="ignore"), one_blas_thread():
        found = [rule(patient) for rule in MEASURED if deep or rule is not range_test.range_test]
    return recorded(patient.run) + [check for check in found if check is not None]
