"""Text from the model on PyTorch, one token at a time: `sample` of gpt/sampling.py, and what it calls on PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gpt.sampling import Text
from reference_torch.build import Model
from reference_torch.cache import Cache
from torch import Generator, Tensor, arange, inference_mode, multinomial, softmax, tensor, where


def candidates(
    logits: Tensor,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    *,
    seen: Collection[int] = (),
    vocabulary: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the tokens that may follow, and their probabilities: (k,) of logits (V,). The filters sort them.

    The arguments are those of gpt/sampling.py.
    """
    logits = logits[:vocabulary]
    if repetition_penalty != 1 and seen:
        logits = penalised(logits, repetition_penalty, seen)
    if temperature == 0:  # the limit: the best token has all the probability
        best = logits.argmax(-1, keepdim=True)  # (1,)
        return best, best * 0.0 + 1.0
    # At most 0, and in float64: then even the smallest temperature leaves the best token at 0, and not at 0 / 0.
    scaled = (logits - logits.max()).double() / temperature
    probabilities = softmax(scaled, dim=-1)  # (V,)
    if top_k is None and top_p is None and min_p is None:
        return arange(len(logits)), probabilities
    probabilities, tokens = probabilities.sort(descending=True, stable=True)
    if top_k is not None:
        probabilities, tokens = probabilities[:top_k], tokens[:top_k]  # (k,)
    if top_p is not None:
        shares = probabilities / probabilities.sum()
        before = shares.cumsum(0) - shares  # the sum over the more probable tokens
        kept = max(1, int((before < top_p).sum()))
        probabilities, tokens = probabilities[:kept], tokens[:kept]
    if min_p is not None:
        kept = int((probabilities >= min_p * probabilities[0]).sum())
        probabilities, tokens = probabilities[:kept], tokens[:kept]
    return tokens, probabilities / probabilities.sum()


def penalised(logits: Tensor, penalty: float, seen: Collection[int]) -> Tensor:
    """Return a copy of the logits (V,) in float64, in which the tokens that were seen are less probable."""
    logits, at = logits.double(), tensor([token for token in seen if token < len(logits)])
    changed = where(logits[at] < 0, logits[at] * penalty, logits[at] / penalty)
    return logits.index_copy(0, at, changed.clamp(-1e300, 1e300))  # also where the penalty is huge, or tiny


def draw(logits: Tensor, generator: Generator | None, *how: Any, **more: Any) -> int:
    """Draw a candidate by its probability."""
    tokens, probabilities = candidates(logits, *how, **more)
    rank = multinomial(probabilities, 1, generator=generator)  # (1,)
    return int(tokens[rank].item())


class Reader:
    """reader(new) -> logits (V,) for the character after the new ones. Afterwards the cache, if any, has them too."""

    def __init__(self, model: Model, cache: Cache | None) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device

    def __call__(self, new: list[int]) -> Tensor:
        ids = tensor([new], device=self.device)  # (1, T)
        logits, _ = self.cache.read(self.model, ids) if self.cache else self.model(ids)  # (1, T, V)
        last: Tensor = logits[0, -1].cpu()  # (V,)
        return last


def sample(
    model: Model,
    ids: Sequence[int],
    n: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
    use_cache: bool = True,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    vocabulary: int | None = None,
) -> Iterator[int]:
    """Yield n tokens after the prompt `ids` (at least one), each drawn from the model's prediction.

    `candidates` says what temperature, top_k, top_p, min_p, repetition_penalty and vocabulary do; temperature 0 takes the most
    probable token. With a cache the model computes each token once, until the cache is full. It then starts again from the
    last half of the context, and the model computes that half a second time. So a prediction sees between half of the
    context and all of it. Without a cache each prediction sees the last `context` tokens, and the model computes all of
    them for each prediction.
    """
    how = temperature, top_k, top_p, min_p, repetition_penalty
    cache = Cache(model.config.context) if use_cache else None
    text = Text(ids, model.config.context, cache)
    read = Reader(model, cache)
    model.eval()
    for _ in range(n):
        with inference_mode():
            token = draw(read(text.unread()), generator, *how, seen=text.seen, vocabulary=vocabulary)
        text.extend([token])
        yield token
