"""Text from a trained model, one token at a time.

python -m gpt.generate RUN --prompt "ROMEO:" --tokens 200 --temperature 0.8 --top-k 40
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gpt.build import Model
from gpt.cache import Cache
from gpt.cli import Parser, add_run_arguments, command, note
from gpt.config import COUNT, FRACTION, NOT_NEGATIVE, SEED, SIZE, Rule
from gpt.errors import UserError
from gpt.fast.decode import Reader
from gpt.fast.threads import one_blas_thread
from gpt.tokenizers import Tokenizer
from gpt.trained import find
from tinytensor import Generator, Tensor, float64, inference_mode, rand
from tinytensor.backend import Array
from tinytensor.buffers import keep_freed_memory


def candidates(
    logits: Tensor, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> tuple[Array, Array]:
    """Return the tokens that may follow, the most probable first, and their probabilities: arrays (k,) of logits (V,).

    p = softmax(logits / temperature). top_k keeps the k most probable tokens (Fan et al., 2018). Of those, top_p keeps
    the fewest whose probabilities add up to top_p (Holtzman et al., 2020). Raises UserError if logits are not finite.
    """
    x = logits.numpy()
    top = x.max()
    if not math.isfinite(top):  # nan is the largest number, if there is one
        raise UserError("the model's predictions are not finite: train it again, with a lower --learning-rate")
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
    return tokens, p / p.sum()


def draw(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: Generator | None
) -> int:
    """Draw a candidate by its probability: the first at which the sum of probabilities passes a random number."""
    tokens, probabilities = candidates(logits, temperature, top_k, top_p)
    number = rand(1, generator=generator, dtype=float64).item()
    total = probabilities.cumsum()
    return int(tokens[total.searchsorted(number * total[-1], side="right")])


def sample(
    model: Model,
    ids: Sequence[int],
    n: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield n tokens after the prompt `ids` (at least one), each drawn from the model's prediction.

    Temperature 0 takes the most probable token. With a cache the model computes each token once, until the cache is
    full. It then starts again from the last half of the context, and the model computes that half a second time. So a
    prediction sees between half of the context and all of it. Without a cache each prediction sees the last `context`
    tokens, and the model computes all of them for each prediction.
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
    """Yield n tokens. predict(new) returns the token after `new`, the tokens that the cache, if any, does not have yet."""
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


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the ids of the prompt. Without a prompt, the id of a line end: a new line begins after it."""
    if prompt:
        return [int(token) for token in tokenizer.encode(prompt.replace("\r\n", "\n"), "--prompt")]  # as in training
    return [tokenizer.start]


def number(kind: type[int] | type[float], rule: Rule) -> Any:
    """Make an argparse type: it converts a text to a number and checks the rule."""

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
    parser = Parser("gpt.generate", "Write text with a trained model, as it comes.")
    add = parser.add_argument
    add_run_arguments(parser)
    add("--prompt", default="", metavar="TEXT", help="text to continue (default: a new line)")
    add("--tokens", default=200, type=number(int, COUNT), help="number of tokens to write (default: 200)")
    add("--temperature", default=0.8, type=number(float, NOT_NEGATIVE),
        help="below 1 favours the probable tokens, 0 takes the most probable (default: 0.8)")  # fmt: skip
    add("--top-k", type=number(int, SIZE), help="draw from the K most probable (default: all)")
    add("--top-p", type=number(float, FRACTION),
        help="draw from the most probable that together have the probability P (default: all)")  # fmt: skip
    add(
        "--seed",
        type=number(int, SEED),
        help="the same number repeats the same text (default: another each time; a line says which)",
    )
    add("--no-cache", action="store_true",
        help="compute all of the context again for each token. Many times slower. Once the text is longer than the "
        "context, each token then depends on all of it; with the cache on half of it at least")  # fmt: skip
    options = parser.parse_args(argv)
    keep_freed_memory()

    found = find(options.run, options.last)
    tokenizer = found.vocabulary(options.tokenizer)
    model = found.model(options.device)
    ids = encode_prompt(tokenizer, options.prompt)
    seed = random.randrange(2**31) if options.seed is None else options.seed
    again = f"; --seed {seed} writes the same text again" if options.seed is None and options.temperature else ""
    note("gpt.generate", f"{found.said}{again}")
    generator = Generator().manual_seed(seed)
    print(options.prompt, end="", flush=True)
    how = options.temperature, options.top_k, options.top_p
    with one_blas_thread():
        for text in tokenizer.pieces_of(
            sample(model, ids, options.tokens, *how, generator, use_cache=not options.no_cache)
        ):
            print(text, end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
