"""Text from the model on PyTorch, one token at a time: gpt/generate.py's `sample`, with what it calls in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpt.generate import continued
from reference_torch.cache import Cache
from reference_torch.model import GPT, Bigram
from torch import Generator, Tensor, arange, inference_mode, multinomial, softmax, tensor


def candidates(
    logits: Tensor, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> tuple[Tensor, Tensor]:
    """The tokens that may follow logits (V,) with their probabilities (k,); where some are left out, in that order.

    p = softmax(logits / temperature). top_k keeps the k most probable tokens (Fan et al. 2018);
    top_p then keeps the fewest whose share of what is left reaches p (Holtzman et al. 2020).
    """
    if temperature == 0:  # greedy: the limit, where the best token has all the probability
        best = logits.argmax(-1, keepdim=True)  # (1,)
        return best, best * 0.0 + 1.0
    # At most 0, and in float64: the smallest temperature leaves the best tokens at 0, not 0 / 0.
    scaled = (logits - logits.max()).double() / temperature
    probabilities = softmax(scaled, dim=-1)  # (V,)
    if top_k is None and top_p is None:
        return arange(len(logits)), probabilities
    probabilities, tokens = probabilities.sort(descending=True)
    if top_k is not None:
        probabilities, tokens = probabilities[:top_k], tokens[:top_k]  # (k,)
    if top_p is not None:
        shares = probabilities / probabilities.sum()
        before = shares.cumsum(0) - shares  # what the more probable tokens already have
        kept = max(1, int((before < top_p).sum()))
        probabilities, tokens = probabilities[:kept], tokens[:kept]
    return tokens, probabilities / probabilities.sum()


def draw(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: Generator | None
) -> int:
    """One of the candidates, by its probability."""
    tokens, probabilities = candidates(logits, temperature, top_k, top_p)
    rank = multinomial(probabilities, 1, generator=generator)  # (1,)
    return int(tokens[rank].item())


class Reader:
    """reader(new) -> logits (V,) for the token after the new ones, which the cache, if any, then has as well."""

    def __init__(self, model: GPT | Bigram, cache: Cache | None) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device

    def __call__(self, new: list[int]) -> Tensor:
        logits, _ = self.model(tensor([new], device=self.device), cache=self.cache)  # (1, T, V)
        last: Tensor = logits[0, -1].cpu()  # (V,)
        return last


def sample(
    model: GPT | Bigram,
    ids: Sequence[int],
    n: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield n tokens after the prompt `ids` (at least one), each drawn from the model's prediction.

    Temperature 0 takes the most probable. A cache lets a token go through the model once; when it is full, it begins
    again with its last half: from there on a prediction sees a half to the whole of the context. Without a cache, each
    sees the last `context` tokens, and all of them are computed for each.
    """
    cache = Cache(model.config.context) if use_cache else None
    read = Reader(model, cache)
    model.eval()

    def predict(new: list[int]) -> int:
        with inference_mode():
            return draw(read(new), temperature, top_k, top_p, generator)

    yield from continued(predict, cache, ids, n, model.config.context)
