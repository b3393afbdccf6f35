"""overfitting: the model learns its text by heart. Validation rises while training falls."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis.check import Check
from gpt.diagnosis.recorded import FEWEST, LAST, Recorded

RISE = 0.05  # nats that the validation loss may rise after its lowest: 160 windows of the default have a noise of 0.01


def overfitting(run: Recorded) -> Check | None:
    """The last validation loss against the lowest, and the training loss at both steps."""
    if len(run.evaluated) < 2 or len(run.rows) < FEWEST:
        return None
    at, best = min(run.evaluated, key=lambda pair: pair[1])
    step, last = run.evaluated[-1]
    before, after = (
        float(np.mean([r["train_loss"] for r in run.rows if s - LAST < r["step"] <= s])) for s in (at, step)
    )
    return Check(
        "overfitting",
        last - best > RISE and before - after > RISE,
        last - best,
        f"the validation loss was lowest at step {at}, {best:.3f}, and is {last:.3f} at step {step}; training went "
        f"from {before:.3f} to {after:.3f}",
        f"a rise of at most {RISE}",
        "more text, --dropout 0.2, a smaller model (--layers, --width), fewer --steps or --patience 3",
    )
