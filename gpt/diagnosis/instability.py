"""not-finite, spikes, gradient-size: trainings that break off, jump, or are held by the clip alone."""

from __future__ import annotations

import re

import numpy as np

from gpt.diagnosis import measures
from gpt.diagnosis.check import Check
from gpt.diagnosis.recorded import Recorded

LARGE = 20.0  # times grad_clip
WITHOUT_CLIP = 20.0  # the norm, where grad_clip is 0


def not_finite(run: Recorded) -> Check | None:
    """The error that stopped the training, if one did."""
    return Check(
        "not-finite" if not run.failure or re.search(r"\b(nan|inf)\b", run.failure) else "stopped",
        bool(run.failure),
        None,
        run.failure or "no error stopped the training",
        "every number is finite",
        "a lower --learning-rate, a longer --warmup, --grad-clip 1; in your own code: a logarithm of 0, a division by 0",
    )


def spikes(run: Recorded) -> Check | None:
    """Losses that jump above those of the steps before: far more than these differ among themselves."""
    after = run.train[run.config.warmup :]
    if len(after) <= measures.WINDOW:
        return None
    places = measures.spikes(after)
    where = f", the first at step {run.rows[run.config.warmup + places[0]]['step']}" if len(places) else ""
    return Check(
        "spikes",
        len(places) > 0,
        float(len(places)),
        f"steps whose loss is far above that of the {measures.WINDOW} before: {len(places)}{where}",
        f"no step {measures.HEIGHT:g} nat and {measures.DEVIATIONS:.0f} standard deviations above the median of those before it",
        "odd places of the text, a lower --learning-rate, --beta2 0.95 or less, --grad-clip 1",
    )


def gradient_size(run: Recorded) -> Check | None:
    """The norm of the gradient, before clipping, against the clip: far above it, batches no longer count as they should."""
    norms = [row["grad_norm"] for row in run.rows[run.config.warmup :] if row["grad_norm"] is not None]
    if not norms:
        return None
    limit = LARGE * run.config.grad_clip or WITHOUT_CLIP
    median = float(np.median(norms))
    clip = f", and --grad-clip {run.config.grad_clip:g}" if run.config.grad_clip else ""
    return Check(
        "gradient-size",
        median > limit,
        median,
        f"the median norm of the gradient is {median:.3g} after the warmup{clip}",
        f"below {limit:g}; about 1 with the default",
        "is the loss a mean over tokens, not a sum? smaller first weights",
    )
