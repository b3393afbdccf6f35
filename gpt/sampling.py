"""Tokens from a model: filters of its prediction, a draw, and texts that grow by what is drawn.

    p = softmax(z / temperature), z: the logits; a filter sets some p to 0, and the others grow to a sum of 1

The filters come in the order of Hugging Face's transformers: repetition penalty, temperature, top_k, top_p, min_p.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from gpt.build import Model
from gpt.cache import Cache
from gpt.errors import UserError
from gpt.fast.decode import Reader, read_together
from tinytensor import Generator, Tensor, float64, inference_mode, rand
from tinytensor.backend import Array

TOGETHER = 8  # texts that grow at the same time: more gain little, and each has a cache


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
) -> tuple[Array, Array]:
    """Return the tokens that may follow, the most probable first, and their probabilities: arrays (k,) of logits (V,).

    repetition_penalty r makes the logits z of the tokens in `seen` smaller, if r > 1: z / r, or z r if z < 0 (Keskar
    et al., 2019). Then p = softmax(z / temperature). top_k keeps the k most probable tokens (Fan et al., 2018). Of those,
    top_p keeps the fewest whose probabilities add up to top_p (Holtzman et al., 2020), and min_p those with at least
    min_p times the probability of the first (Nguyen et al., 2024). Of equal ones the smaller number comes first.
    Before all of them, tokens from `vocabulary` on are left out: rows of a model that is padded, which have no text.
    Raises UserError if logits are not finite.
    """
    x = logits.numpy()[:vocabulary]
    top = x.max()
    if not math.isfinite(top):  # nan is the largest number, if there is one
        raise UserError("the model's predictions are not finite: train it again, with a lower --learning-rate")
    if repetition_penalty != 1 and seen:
        x = penalised(x, repetition_penalty, seen)
        top = x.max()
    if temperature == 0:  # the limit: the best token has all the probability
        return x.argmax(-1, keepdims=True), np.ones(1)
    with np.errstate(over="ignore"):
        # At most 0, and in float64: then even the smallest temperature leaves the best token at 0, and not at 0 / 0.
        x = (x - top).astype(np.float64) / temperature
    tokens = (-x).argsort(kind="stable")[:top_k]  # (k,)
    p = np.exp(x[tokens])
    if top_p is not None:
        shares = p / p.sum()
        before = shares.cumsum() - shares  # the sum over the more probable tokens
        kept = max(1, int((before < top_p).sum()))
        tokens, p = tokens[:kept], p[:kept]
    if min_p is not None:
        kept = int((p >= min_p).sum())  # the first is e^0 = 1
        tokens, p = tokens[:kept], p[:kept]
    return tokens, p / p.sum()


def penalised(x: Array, penalty: float, seen: Collection[int]) -> Array:
    """Return a copy of the logits x (V,) in float64, in which the tokens that were seen are less probable."""
    x, at = x.astype(np.float64), np.fromiter(seen, np.int64)
    at = at[at < len(x)]  # others are not drawn, but may be in a prompt
    with np.errstate(over="ignore", invalid="ignore"):
        changed = np.where(x[at] < 0, x[at] * penalty, x[at] / penalty)
    x[at] = changed.clip(-1e300, 1e300)  # also where the penalty is huge, or tiny
    return x


def draw(
    logits: Tensor, generator: Generator | None, *how: Any, seen: Collection[int] = (), vocabulary: int | None = None
) -> int:
    """Draw a candidate by its probability: the first at which the sum of probabilities passes a random number.

    `how` are the arguments of `candidates` from the temperature to the repetition penalty.
    """
    tokens, probabilities = candidates(logits, *how, seen=seen, vocabulary=vocabulary)
    number = rand(1, generator=generator, dtype=float64).item()
    total = probabilities.cumsum()
    return int(tokens[total.searchsorted(number * total[-1], side="right")])


class Text:
    """The tokens so far, and which of them the model has to read before the next one: those that the cache lacks.

    The cache has the tokens from `start` on. When it is full it starts again with the last half of the context. Without a
    cache the model reads the last `context` tokens each time.
    """

    def __init__(self, ids: Sequence[int], context: int, cache: Any = None) -> None:
        self.context, self.cache = context, cache
        self.tokens: list[int] = []
        self.seen: set[int] = set()
        self.start = 0
        self.extend(ids)

    def extend(self, ids: Sequence[int]) -> None:
        """Put tokens at the end."""
        new = [int(token) for token in ids]  # an array, too: `list += array` would add numbers
        self.tokens += new
        self.seen.update(new)

    def unread(self) -> list[int]:
        """Return what the model has to read now: at least one token, as many as the context at most."""
        if self.cache is None:
            return self.tokens[-self.context :]
        count = len(self.tokens) - self.start - self.cache.length
        if count == 0:  # Ctrl-C came after the last token was read
            self.cache.length -= 1
        elif len(self.tokens) - self.start > self.context:
            self.cache.clear()
            half = self.context - self.context // 2
            self.start = len(self.tokens) - min(max(half, count), self.context)
        return self.tokens[self.start + self.cache.length :]


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


def sample_each(
    model: Model,
    prompts: Sequence[Sequence[int]],
    n: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generators: Sequence[Generator | None] = (),
    use_cache: bool = True,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    ended: Collection[int] = (),
    vocabulary: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Yield (i, token): the tokens of `sample` for each prompt i with generator i, bit for bit, in any order of i.

    The prompts may differ in length. TOGETHER of them grow at the same time: the weights are read once for all
    (gpt/fast/decode.py), and equal prompts are read once. No more tokens come for what the caller puts into `ended`.
    """
    how = temperature, top_k, top_p, min_p, repetition_penalty
    context, generators = model.config.context, generators or [None] * len(prompts)
    model.eval()
    for first in range(0, len(prompts) if n else 0, TOGETHER):
        rows = list(range(first, min(first + TOGETHER, len(prompts))))
        texts = {i: Text(prompts[i], context, Cache(context) if use_cache else None) for i in rows}
        readers = {i: Reader(model, texts[i].cache) for i in rows}
        for turn in range(n):
            rows = [i for i in rows if i not in ended]
            if not rows:
                break
            read = read_together if turn else read_prompts
            with inference_mode():
                logits = read([readers[i] for i in rows], [texts[i].unread() for i in rows])
                drawn = [
                    draw(z, generators[i], *how, seen=texts[i].seen, vocabulary=vocabulary)
                    for i, z in zip(rows, logits)
                ]
            for i, token in zip(rows, drawn):
                texts[i].extend([token])
                yield i, token


def read_prompts(readers: Sequence[Reader], prompts: Sequence[list[int]]) -> list[Tensor]:
    """Return reader(prompt) of each; the cache of an equal prompt is copied."""
    logits: list[Tensor] = []
    for i, (reader, prompt) in enumerate(zip(readers, prompts)):
        before = prompts.index(prompt)
        if before < i:
            if reader.cache is not None and (cache := readers[before].cache) is not None:
                reader.cache.copy(cache)
            logits.append(logits[before])
        else:
            logits.append(reader(prompt))
    return logits
