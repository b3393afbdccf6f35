"""gradient-layers, no-gradient: whether every layer learns, and none learns thousands of times more than another."""

from __future__ import annotations

import math

from gpt.diagnosis.check import Check
from gpt.diagnosis.measures import Array
from gpt.diagnosis.patient import Patient

APART = 1e3  # times
FEWEST = 20  # updates: behind a projection that begins at zero, the first one has no gradient


def by_block(gradients: dict[str, float]) -> dict[str, float]:
    """Return the norms of the gradients of whole blocks, from those of their parameters."""
    squares: dict[str, float] = {}
    for name, norm in gradients.items():
        if name.startswith("blocks."):
            block = ".".join(name.split(".")[:2])
            squares[block] = squares.get(block, 0.0) + norm**2
    return {block: math.sqrt(square) for block, square in squares.items()}


def gradient_layers(patient: Patient) -> Check | None:
    """The norm of the gradient of each block: the largest against the smallest. Vanishing and exploding look alike in it."""
    norms = by_block(patient.probe.gradients)
    if len(norms) < 2:
        return None
    (smallest, low), *_, (largest, high) = sorted(norms.items(), key=lambda item: item[1])
    apart = high / low if low else math.inf
    return Check(
        "gradient-layers",
        apart > APART,
        apart if math.isfinite(apart) else None,
        f"the norm of the gradient is {high:.1e} in {largest}, {low:.1e} in {smallest}",
        f"within a factor of {APART:,.0f}; within 10 with residuals and norms",
        "does every block add to its input (the residual)? a norm before each part; smaller or larger first weights",
    )


def no_gradient(patient: Patient) -> Check | None:
    """Parameters that no gradient ever reached, or that still are what the seed drew. AdamW's averages tell the first."""
    if patient.run.step < FEWEST:
        return None
    frozen = [name for name in patient.weights if is_frozen(name, patient)]
    more = f" and {len(frozen) - 1} more" if len(frozen) > 1 else ""
    return Check(
        "no-gradient",
        bool(frozen),
        float(len(frozen)),
        f"{frozen[0]}{more}: no gradient reached them, or no update changed them, in {patient.run.step} steps"
        if frozen
        else f"all {len(patient.weights)} parameters had gradients and changed",
        "every parameter has a gradient and changes",
        "is there a detach, no_grad or requires_grad=False on the way? is the parameter given to the optimizer, and used?",
    )


def is_frozen(name: str, patient: Patient) -> bool:
    """Return whether a parameter had no gradient in any step, or has not changed at all."""
    if patient.run.config.tied and name == "head.weight" and patient.is_gpt:
        return False  # the same as the embedding
    average = patient.moments.get(f"{name}.exp_avg_sq")
    return average is None or not average.any() or same(patient.weights[name], patient.first.get(name))


def same(weight: Array, first: Array | None) -> bool:
    """Return whether a matrix of random numbers is what the seed made. One of zeros may have come back to them."""
    return first is not None and first.ndim > 1 and bool(first.any()) and bool((weight == first).all())
