"""What a model does with one text: the weights of each attention head, and the logit lens after each block.

The logit lens reads a residual stream x before its end as if it were the end: logits = head(norm(x)), with the model's own
last norm and head. After the last block these are the model's predictions. Source: nostalgebraist, "interpreting GPT: the
logit lens", 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt.build import Model
from gpt.model import GPT
from tinytensor import Tensor, no_grad, tensor

TOP = 5  # tokens that a lens shows, the most likely ones


@dataclass(frozen=True)
class Look:
    """L blocks, H heads, T tokens, S = L + 1 stages of the lens: the embeddings, and what each block leaves.

    A Bigram has no attention and one stage.
    """

    attention: NDArray[np.float32]  # (L, H, T, T): row t says how token t mixes the tokens up to t
    target: NDArray[np.float32]  # (S, T - 1): ln p of the token that comes next in the text
    top: NDArray[np.int32]  # (S, T, 5): the most likely next tokens, the first the likeliest; all V if V < 5
    top_log_probability: NDArray[np.float32]  # (S, T, 5): their ln p

    @property
    def loss(self) -> NDArray[np.float32]:
        """-ln p of each token but the first, (T - 1,), as the model predicts it."""
        loss: NDArray[np.float32] = -self.target[-1]
        return loss


def look(model: Model, ids: Sequence[int]) -> Look:
    """Let the model read the text once, in evaluation mode and without a tape. It draws no random number."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with no_grad():
            with tinytensor.trace(model, calls=False) as t:
                model(tensor([list(ids)], device=device))
            weights = [host(t[f"blocks.{i}.attention.weights"])[0] for i in range(layers_of(model))]
            stages = [lens(logits, ids) for logits in stage_logits(model, t)]
    finally:
        model.train(was_training)
    attention = np.stack(weights) if weights else np.zeros((0, 0, len(ids), len(ids)), np.float32)
    targets, top, log_probability = (np.stack(parts) for parts in zip(*stages, strict=True))
    return Look(attention, targets, top, log_probability)


def layers_of(model: Model) -> int:
    """Return the number of blocks."""
    return len(model.blocks) if isinstance(model, GPT) else 0


def stage_logits(model: Model, t: Any) -> Iterator[NDArray[np.float32]]:
    """Yield the logits (T, V) of each stage, from a trace of the model."""
    for i in range(layers_of(model)):
        x = t["blocks.0.input"] if i == 0 else t[f"blocks.{i - 1}.output"]
        yield host(model.head(model.norm(x)))[0]
    yield host(t["output.0"])[0]  # after the last block, or of a Bigram: what the model itself predicts


def lens(logits: NDArray[np.float32], ids: Sequence[int] | NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
    """Return of one stage: ln p of the next tokens (T - 1,), the likeliest tokens (T, 5), and their ln p (T, 5)."""
    z = log_probabilities(logits)
    rows = np.arange(len(ids))
    target = z[rows[:-1], np.asarray(ids, np.int64)[1:]]
    top = np.empty((len(ids), min(TOP, z.shape[1])), np.int32)
    likely = np.empty(top.shape)
    for k in range(top.shape[1]):  # of equal ones the first: the order is the same everywhere
        top[:, k] = z.argmax(-1)
        likely[:, k] = z[rows, top[:, k]]
        z[rows, top[:, k]] = -np.inf
    return target.astype(np.float32), top, likely.astype(np.float32)


def losses(logits: NDArray[Any], ids: NDArray[Any]) -> list[float]:
    """Return -ln p of the token after each of ids (T,), from logits (T, V): (T - 1), in nats."""
    found: list[float] = (-log_probabilities(logits[:-1])[np.arange(len(ids) - 1), ids[1:].astype(np.int64)]).tolist()
    return found


def log_probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return ln softmax of logits (..., V), a new array in float64."""
    z = logits.astype(np.float64)
    z -= z.max(-1, keepdims=True)
    z -= np.log(np.exp(z).sum(-1, keepdims=True))
    return z


def host(x: Tensor) -> NDArray[np.float32]:
    """Return a float32 copy of the Tensor in the memory of the host."""
    return np.array(x.detach().cpu().numpy(), np.float32)
