"""learned-nothing, too-good: the loss beside those of models that only count tokens."""

from __future__ import annotations

import math

from gpt.diagnosis.check import Check
from gpt.diagnosis.recorded import FEWEST, Recorded

MARGIN = 0.1  # nats below the unigram
TOO_GOOD = 0.5  # of the 5-gram's loss
CERTAIN = 0.3  # nats: a text that a 5-gram predicts better than this may be predicted better still


def learned_nothing(run: Recorded) -> Check | None:
    """A loss that stays at the unigram's: the model knows how often tokens occur, and nothing about their order.

    Where the 5-gram finds no order either, as in a text of random letters, there is none to learn.
    """
    best, unigram = run.best, min(run.baselines.unigram, run.baselines.uniform)
    if best is None or len(run.rows) < FEWEST or run.baselines.fivegram > unigram - 2 * MARGIN:
        return None
    return Check(
        "learned-nothing",
        best - unigram > -MARGIN and run.is_stalled,
        best - unigram,
        f"the best validation loss is {best:.3f}, the unigram's {unigram:.3f}; from the third quarter of the steps to the last "
        f"the training loss changed by {run.trend:+.3f}",
        f"more than {MARGIN} below the unigram's, or still falling",
        "are inputs and targets pairs (no shuffling between them)? do gradients reach all layers? another --learning-rate",
    )


def too_good(run: Recorded) -> Check | None:
    """A loss far below that of the 5-gram: the model probably sees what it should predict."""
    best, fivegram = run.best, run.baselines.fivegram
    if best is None:
        return None
    share = best / fivegram if fivegram else math.inf
    return Check(
        "too-good",
        fivegram > CERTAIN and share < TOO_GOOD,
        share,
        f"the best validation loss is {best:.3f}, {share:.2f} times the 5-gram's {fivegram:.3f}",
        f"above {TOO_GOOD} of it",
        "does the model see the token that it predicts? look at the mask, the shift of the targets, and the split of the text",
    )
