"""Text from a trained model, one character at a time.

python -m gpt.generate RUN --prompt "ROMEO:" --tokens 200 --temperature 0.8 --top-k 40
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt.cache import Cache
from gpt.checkpoint import load
from gpt.cli import Parser, command
from gpt.config import COUNT, FRACTION, NOT_NEGATIVE, SEED, SIZE, Rule
from gpt.model import GPT, Bigram
from gpt.parallel import one_blas_thread
from gpt.tokenizer import CharTokenizer
from tinytensor import Generator, Tensor, inference_mode, multinomial, softmax, tensor
from tinytensor.backend import keep_freed_memory


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
    options = parser.parse_args(argv)
    keep_freed_memory()

    model, tokenizer = load(options.run)
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
