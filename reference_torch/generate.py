"""Text from the model on PyTorch, one character at a time: the functions of gpt/generate.py with other imports."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from reference_torch.cache import Cache
from reference_torch.model import GPT, Bigram
from torch import Generator, Tensor, inference_mode, multinomial, softmax, tensor


def candidates(
    logits: Tensor, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> tuple[Tensor, Tensor]:
    """The tokens that may follow logits (V,), most probable first, with their probabilities (k,).

    p = softmax(logits / temperature). top_k keeps the k most probable tokens (Fan et al. 2018);
    top_p then keeps the fewest whose share of what is left reaches p (Holtzman et al. 2020).
    """
    if temperature == 0:  # greedy: the limit, where the best token has all the probability
        best = logits.argmax(-1, keepdim=True)  # (1,)
        return best, best * 0.0 + 1.0
    # At most 0, and in float64: the smallest temperature leaves the best tokens at 0, not 0 / 0.
    scaled = (logits - logits.max()).double() / temperature
    probabilities, tokens = softmax(scaled, dim=-1).sort(descending=True)  # (V,) each
    if top_k is not None:
        probabilities, tokens = probabilities[:top_k], tokens[:top_k]  # (k,)
    if top_p is not None:
        shares = probabilities / probabilities.sum()
        before = shares.cumsum(0) - shares  # what the more probable tokens already have
        kept = max(1, int((before < top_p).sum()))
        probabilities, tokens = probabilities[:kept], tokens[:kept]
    return tokens, probabilities / probabilities.sum()


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
    device, context = next(model.parameters()).device, model.config.context
    window = deque(ids, maxlen=context)
    cache = Cache(context) if use_cache else None
    new = list(window)  # what the model has not seen, or has forgotten
    model.eval()
    for _ in range(n):
        with inference_mode():
            logits, _ = model(tensor([new], device=device), cache=cache)  # (1, T, V)
            tokens, probabilities = candidates(logits[0, -1].cpu(), temperature, top_k, top_p)
            rank = multinomial(probabilities, 1, generator=generator)  # (1,)
            token = int(tokens[rank].item())
        yield token
        window.append(token)
        new = [token]
        if cache is None:
            new = list(window)
        elif cache.length == context:
            cache.clear()
            new = list(window)[context // 2 :]
