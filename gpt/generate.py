"""Text from a trained model, one character at a time.

python -m gpt.generate RUN --prompt "ROMEO:" --tokens 200 --temperature 0.8 --top-k 40
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.cache import Cache
from gpt.checkpoint import load
from gpt.cli import Parser, add_device_argument, command
from gpt.config import COUNT, FRACTION, NOT_NEGATIVE, SEED, SIZE, Rule
from gpt.decode import Reader
from gpt.errors import UserError
from gpt.model import GPT, Bigram
from gpt.parallel import one_blas_thread
from gpt.tokenizer import CharTokenizer
from tinytensor import Generator, Tensor, float64, inference_mode, rand
from tinytensor.backend import Array
from tinytensor.buffers import keep_freed_memory


def candidates(
    logits: Tensor, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> tuple[Array, Array]:
    """The tokens that may follow logits (V,), most probable first, with their probabilities (k,): arrays.

    UserError where the logits are not finite.
    p = softmax(logits / temperature). top_k keeps the k most probable tokens (Fan et al. 2018);
    top_p then keeps the fewest whose share of what is left reaches p (Holtzman et al. 2020).
    """
    x = logits.numpy()
    top = x.max()
    if temperature == 0:  # greedy: the limit, where the best token has all the probability
        return x.argmax(-1, keepdims=True), np.ones(1)
    if not math.isfinite(top):
        raise UserError("the model's predictions are not finite: train it again, with a lower --learning-rate")
    with np.errstate(over="ignore"):
        # At most 0, and in float64: the smallest temperature leaves the best tokens at 0, not 0 / 0.
        x = (x - top).astype(np.float64) / temperature
    tokens = (-x).argsort(kind="stable")[:top_k]  # (k,)
    p = np.exp(x[tokens])
    if top_p is not None:
        shares = p / p.sum()
        before = shares.cumsum() - shares  # what the more probable tokens already have
        kept = max(1, int((before < top_p).sum()))
        tokens, p = tokens[:kept], p[:kept]
    return tokens, p / p.sum()


def draw(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: Generator | None
) -> int:
    """One of the candidates, by its probability: the first at which their sum passes a random number."""
    tokens, probabilities = candidates(logits, temperature, top_k, top_p)
    number = rand(1, generator=generator, dtype=float64).item()
    total = probabilities.cumsum()
    return int(tokens[total.searchsorted(number * total[-1], side="right")])


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


def continued(
    predict: Callable[[list[int]], int], cache: Any, ids: Sequence[int], n: int, context: int
) -> Iterator[int]:
    """Yield n tokens; predict(new) gives the one after `new`, which are those that the cache, if any, does not have."""
    window = deque(ids, maxlen=context)
    new = list(window)
    for _ in range(n):
        token = predict(new)
        yield token
        window.append(token)
        new = [token]
        if cache is None:
            new = list(window)
        elif cache.length == context:
            cache.clear()
            new = list(window)[context // 2 :]


def encode_prompt(tokenizer: CharTokenizer, prompt: str) -> list[int]:
    """The prompt's ids; for no prompt a line's end, after which a text begins."""
    if prompt:
        return [int(token) for token in tokenizer.encode(prompt, "--prompt")]
    return [max(0, tokenizer.characters.find("\n"))]


def number(kind: type[int] | type[float], rule: Rule) -> Any:
    """An argparse type: a number that obeys the rule."""

    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or value != value or not rule.holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {rule.text}")
        return value

    return convert


@command("gpt.generate")
def main(argv: list[str]) -> int:
    parser = Parser("gpt.generate", "Stream text from a trained model.")
    add = parser.add_argument
    add("run", metavar="RUN", type=Path, help="a folder that gpt.train made")
    add("--prompt", default="", metavar="TEXT", help="text to continue (default: a new line)")
    add("--tokens", default=200, type=number(int, COUNT), help="characters (default: 200)")
    add("--temperature", default=0.8, type=number(float, NOT_NEGATIVE),
        help="below 1 sharpens, 0 takes the most probable (default: 0.8)")  # fmt: skip
    add("--top-k", type=number(int, SIZE), help="only the K most probable (default: all)")
    add("--top-p", type=number(float, FRACTION),
        help="only the most probable that together reach P (default: all)")  # fmt: skip
    add("--seed", type=number(int, SEED), help="repeats a text (default: a new one each time)")
    add("--no-cache", action="store_true",
        help="compute the whole context for each character: many times slower, and once the text is longer, each sees "
        "all of its context, not a half to the whole")  # fmt: skip
    add_device_argument(parser)
    options = parser.parse_args(argv)
    keep_freed_memory()

    model, tokenizer = load(options.run, options.device)
    ids = encode_prompt(tokenizer, options.prompt)
    seed = random.randrange(2**63) if options.seed is None else options.seed
    generator = Generator().manual_seed(seed)
    print(options.prompt, end="", flush=True)
    how = options.temperature, options.top_k, options.top_p
    with one_blas_thread():
        for token in sample(model, ids, options.tokens, *how, generator, use_cache=not options.no_cache):
            print(tokenizer.decode([token]), end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
