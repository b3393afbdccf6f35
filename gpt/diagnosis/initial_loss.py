"""initial-loss: a model that knows nothing should say so. Its loss is then ln V, that of equal chances for V tokens."""

from __future__ import annotations

import math

from gpt.diagnosis.check import Check
from gpt.diagnosis.recorded import Recorded

ABOVE = 1.5  # nats. Logits of size σ add σ² / 2: 0.5 for the default's first weights, whose logits are about N(0, 1)


def initial_loss(run: Recorded) -> Check | None:
    """The loss of the first step, before any update. One below ln V is no fault: the run may have begun with a trained model."""
    if not run.rows or run.rows[0]["step"] != 1:
        return None
    first, uniform = run.rows[0]["train_loss"], math.log(run.config.vocab_size)
    tied = "--init gpt2, since --tied takes the embedding for the head; " if run.config.tied else ""
    return Check(
        "initial-loss",
        first - uniform > ABOVE,
        first - uniform,
        f"the loss of the first step is {first:.3f}; "
        f"equal chances for {run.config.vocab_size:,} tokens have ln V = {uniform:.3f}",
        f"at most {ABOVE} above ln V",
        f"smaller first weights: {tied}above all in the head, which makes the predictions",
    )
