"""future, targets, overlap: three ways in which a model gets to know what it should predict."""

from __future__ import annotations

import math

import numpy as np

from gpt.corpora.stored import sample
from gpt.diagnosis import measures
from gpt.diagnosis.check import Check
from gpt.diagnosis.measures import Array
from gpt.diagnosis.patient import Patient, batches
from gpt.diagnosis.probe import depends_on_the_future
from gpt.diagnosis.recorded import LAST

CHANGE = 1e-3  # relative: rounding differs by 1e-6 at most
EASIER, ERRORS = 0.5, 5.0  # nats, standard errors of the mean that was recorded
BYTES = 50  # of text that is the same letter by letter is no chance
SHARE = 0.05  # of the validation split
MOST = 1 << 24  # tokens of the training split to look at, of more a sample


def future(patient: Patient) -> Check:
    """Whether predictions change when only later tokens do."""
    ids = batches(patient.train_ids, patient.run.config.context)[0][0]
    change = depends_on_the_future(patient.model, ids)
    return Check(
        "future",
        change > CHANGE,
        change,
        f"when the tokens in the second half of a window change, the logits in the first half change by {change:.2g} times the "
        "largest logit",
        "0",
        "the mask: query t may see the keys 0 … t alone",
    )


def targets(patient: Patient) -> Check | None:
    """The training loss that the run recorded against that of its weights on the next token, on the same text."""
    losses, measured = patient.run.last_losses, patient.probe.loss
    if len(losses) < LAST:
        return None
    recorded = float(losses.mean())
    limit = max(EASIER, ERRORS * float(losses.std()) / LAST**0.5)  # small batches differ much
    return Check(
        "targets",
        measured - recorded > limit,
        measured - recorded,
        f"the training recorded a loss of {recorded:.3f}; predicting the next token of its text, the weights have {measured:.3f}",
        f"apart by at most {limit:.2g}",
        "were targets the next token, y[t] = x[t + 1], in the training? did the model see more than this one does?",
    )


def overlap(patient: Patient) -> Check | None:
    """The share of the validation split that stands in the training split as well, in pieces of BYTES bytes at least."""
    length = max(2, math.ceil(BYTES / max(1.0, float(np.mean(patient.tokenizer.sizes[some(patient)])))))
    train, validation = sample(patient.train_ids, MOST), sample(patient.validation_ids, MOST >> 4)
    if len(validation) < length or len(train) < length:
        return None
    share = float(measures.repeated(train, validation, length).mean())
    part = f" in a sample of {len(train):,} tokens" if len(train) < len(patient.train_ids) else ""
    return Check(
        "overlap",
        share > SHARE,
        share,
        f"{share:.1%} of the validation split stands in the training split as well{part}, in pieces of {length} tokens or more",
        f"below {SHARE:.0%}",
        "remove repeated texts before the split, or validate on a text from elsewhere: this validation loss says too little",
    )


def some(patient: Patient) -> Array:
    """Return some tokens of the validation split."""
    return sample(patient.validation_ids, 1 << 16)
