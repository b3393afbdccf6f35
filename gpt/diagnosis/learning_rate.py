"""learning-rate-high, learning-rate-low: how far one update moves the weights, beside how large they are."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis import measures
from gpt.diagnosis.attention import attention_saturated
from gpt.diagnosis.check import Check
from gpt.diagnosis.patient import Patient
from gpt.diagnosis.units import dead_units

HIGH, LOW = 4e-2, 5e-4  # |update| / |weight| at the peak of the learning rate, the median over the matrices
SATURATING = 2e-2  # the same, where attention is saturated: healthy runs have up to 0.03, and none of them saturates
FEWEST = 20  # updates before which AdamW's averages are those of the first batches


def ratio(patient: Patient) -> float | None:
    """Return the median over the matrices of |update| / |weight| at the peak of the learning rate."""
    config, moments = patient.run.config, patient.moments
    betas = np.array([config.beta1, config.beta2])
    found = [
        measures.update_ratio(
            weight, moments[f"{name}.exp_avg"], moments[f"{name}.exp_avg_sq"],
            max(1, int(moments[f"{name}.step"])), config.learning_rate, betas,
        )
        for name, weight in patient.weights.items()
        if weight.ndim > 1 and f"{name}.exp_avg" in moments and moments[f"{name}.exp_avg_sq"].any()
    ]  # fmt: skip
    return float(np.median(found)) if found and patient.run.step >= FEWEST else None


def learning_rate_high(patient: Patient) -> Check | None:
    """Large updates alone are no fault: small first weights have them. With one of what they do, they are.

    A rate ten times too high moves the weights little more than a good one, since they grow with it. It saturates attention.
    """
    found, run = ratio(patient), patient.run
    if found is None:
        return None
    lost = run.is_above_bigram and run.is_stalled
    dead, saturated = dead_units(patient), attention_saturated(patient)
    broken = [check for check in (dead, saturated) if check is not None and check.odd]
    large = found > HIGH or (found > SATURATING and saturated in broken)
    return Check(
        "learning-rate-high",
        large and (lost or bool(broken)),
        found,
        f"an update moves a matrix by {found:.1e} of its size at the peak, --learning-rate {run.config.learning_rate:g}"
        + (", and the loss stays above the bigram's" if lost and large else "")
        + "".join(f", and {check.said}" for check in broken[:1] if large),
        f"1e-3 to 3e-2; below {SATURATING:g} where attention is saturated, and up to {HIGH:g} while the loss falls and units "
        "and attention work",
        f"--learning-rate {run.config.learning_rate / (30 if found > HIGH else 10):.0e}; --deep measures which ones work",
    )


def learning_rate_low(patient: Patient) -> Check | None:
    """Small updates alone are no fault: a model that is trained further has them. With a loss still far up, they are."""
    found, run = ratio(patient), patient.run
    if found is None:
        return None
    falling = run.is_above_bigram and measures.trend(run.train) < 0
    return Check(
        "learning-rate-low",
        found < LOW and falling,
        found,
        f"an update moves a matrix by {found:.1e} of its size at the peak, --learning-rate {run.config.learning_rate:g}"
        + (
            f", and the loss is still above the bigram's, falling ({run.trend:+.3f})" if falling and found < LOW else ""
        ),
        f"1e-3 to 3e-2; above {LOW:g} unless the loss is below the bigram's",
        f"--learning-rate {run.config.learning_rate * 30:.0e}; --deep measures which ones work",
    )
