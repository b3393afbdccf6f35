"""attention-saturated, attention-uniform, no-order: whether attention chooses, and knows where tokens stand."""

from __future__ import annotations

import numpy as np

from gpt.diagnosis.check import Check
from gpt.diagnosis.patient import Patient, batches
from gpt.diagnosis.probe import knows_order
from gpt.diagnosis.recorded import FEWEST
from gpt.model import GPT

NEAR_ZERO, NEAR_ONE = 0.02, 0.99  # of ln(t + 1), the most that the entropy of a row can be
SHARE = 0.7  # of the queries of a layer
BLIND = 1e-4  # relative: float32 sums in another order


def attention_saturated(patient: Patient) -> Check | None:
    """The share of queries with all their weight on one token, in the worst layer: softmax passes them no gradient."""
    layers = patient.probe.entropies
    if not layers:
        return None
    shares = {name: float((entropy < NEAR_ZERO).mean()) for name, entropy in layers.items()}
    worst = max(shares, key=shares.__getitem__)
    return Check(
        "attention-saturated",
        shares[worst] > SHARE,
        shares[worst],
        f"{shares[worst]:.0%} of the queries of {worst} put all weight on one token (entropy below {NEAR_ZERO:.0%} of the "
        "largest possible)",
        f"below {SHARE:.0%} of a layer's queries; single heads may do it",
        "a lower --learning-rate, --qk-norm, smaller first weights of queries and keys; --attention-scale head, if it is none; "
        "in your own code: are scores divided by the root of a head's width?",
    )


def attention_uniform(patient: Patient) -> Check | None:
    """The head that is furthest from equal weights for all tokens: a mean over the text is all that such attention finds.

    A model that is still above the bigram, and learns, may not have begun to look, nor one after few steps.
    """
    layers, run = patient.probe.entropies, patient.run
    if not layers or run.step < FEWEST or (run.is_above_bigram and not run.is_stalled):
        return None
    lowest = min(float(entropy.mean(1).min()) for entropy in layers.values())
    return Check(
        "attention-uniform",
        lowest > NEAR_ONE,
        lowest,
        f"of all heads, the lowest mean entropy of the attention weights is {lowest:.1%} of the largest possible, which is "
        "that of equal weights for all tokens",
        f"below {NEAR_ONE:.0%} in at least one head",
        "do gradients reach queries and keys? larger first weights of them; --attention-scale head",
    )


def no_order(patient: Patient) -> Check | None:
    """How much the first attention layer finds changes if the tokens before the last one are shuffled."""
    if not isinstance(patient.model, GPT):
        return None
    ids = batches(patient.train_ids, patient.run.config.context)[0][0]
    if ids.shape[1] < 3:
        return None
    change = knows_order(patient.model, ids, np.random.default_rng(0))
    return Check(
        "no-order",
        change < BLIND,
        change,
        f"when all tokens but the last are shuffled, the output of the first attention layer for the last one changes by "
        f"{change:.2g} times its largest value",
        f"above {BLIND:g}",
        "are positions added (--positions learned) or turned into angles (rotary), in queries and keys?",
    )
