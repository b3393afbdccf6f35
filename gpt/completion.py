"""Texts that go on from prompts: several at once, piece by piece as they come, each up to a stop text.

`gpt.complete` returns them, `gpt.stream` yields their pieces, and `python -m gpt.generate` prints those.
"""

from __future__ import annotations

import operator
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

from gpt.build import Model
from gpt.config import COUNT, FRACTION, NOT_NEGATIVE, POSITIVE, SEED, SIZE, Rule
from gpt.errors import UserError, shown
from gpt.fast.threads import one_blas_thread, one_blas_thread_each
from gpt.sampling import sample_each
from gpt.tokenizers import Tokenizer
from gpt.tokenizers.base import check_rows
from gpt.utf8 import with_lf
from tinytensor import Generator

Prompts: TypeAlias = str | Sequence[int] | Iterable[str | Sequence[int]]
OPTIONS: dict[str, tuple[type[int] | type[float], Rule]] = {
    "tokens": (int, COUNT), "samples": (int, SIZE), "temperature": (float, NOT_NEGATIVE), "top_k": (int, SIZE),
    "top_p": (float, FRACTION), "min_p": (float, FRACTION), "repetition_penalty": (float, POSITIVE), "seed": (int, SEED),
}  # fmt: skip


class Piece(NamedTuple):
    """What a token adds to sample `sample` of prompt `prompt`, both counted from 0."""

    prompt: int
    sample: int
    text: str  # "" while it may become a stop text, or is only a part of a character
    end: str = ""  # with the last piece why it is the last: "length", all tokens are there, or "stop"


def complete(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Prompts,
    tokens: int = 200,
    samples: int = 1,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    use_cache: bool = True,
) -> list[list[str]]:
    """Return texts[prompt][sample]: what the model writes after each prompt, up to `tokens` tokens or a stop text.

    A prompt is a text or its ids; an empty text begins a new line. `prompts` is one of them, or several: a flat list of ids
    is one. Prompts may differ in length, and grow together. A text ends before the stop text that is complete first; of two
    that are complete with the same character, before the longer.
    `sample` (gpt/sampling.py) explains the other options. Sample s of a prompt draws with a generator of seed + s, so it is
    the text of that prompt alone with that seed, bit for bit. Raises UserError for a value that is none.

    >>> from gpt import GPT, GPTConfig
    >>> from gpt.tokenizers import CharTokenizer
    >>> model, tokenizer = GPT(GPTConfig(vocab_size=3, context=8, width=8, layers=1, heads=2)), CharTokenizer("abc")
    >>> texts = complete(model, tokenizer, ["a", "abcab"], tokens=4, samples=2, seed=1)
    >>> [[len(text) for text in each] for each in texts]
    [[4, 4], [4, 4]]
    >>> texts[1][1] == complete(model, tokenizer, "abcab", tokens=4, seed=2)[0][0]
    True
    """
    several = listed(prompts)
    with one_blas_thread():
        pieces = stream(
            model, tokenizer, several, tokens, samples, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty, stop=stop, seed=seed, use_cache=use_cache,
        )  # fmt: skip
        texts = [[""] * samples for _ in several]
        for piece in pieces:
            texts[piece.prompt][piece.sample] += piece.text
    return texts


def stream(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Prompts,
    tokens: int = 200,
    samples: int = 1,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    use_cache: bool = True,
) -> Iterator[Piece]:
    """Yield the pieces of what `complete` returns, as they come: one for each token, and the last one of a text says so."""
    given = dict(
        tokens=tokens, samples=samples, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=repetition_penalty, seed=seed,
    )  # fmt: skip
    for name, value in given.items():
        check(name, value)
    check_vocabulary(model, tokenizer)
    several = listed(prompts)
    ids = [ids_of(tokenizer, prompt, f"prompt {i}") for i, prompt in enumerate(several, 1)]
    stops = stop_texts(tokenizer, [stop] if isinstance(stop, str) else stop)
    first = random.randrange(2**31) if seed is None else int(seed)
    check_seeds(first, samples)
    rows = [each for each in ids for _ in range(samples)]
    generators = [Generator().manual_seed(first + s) for _ in ids for s in range(samples)]
    how = temperature, top_k, top_p

    def pieces() -> Iterator[Piece]:
        ended: set[int] = set()
        growing = [Shown(tokenizer, stops) for _ in rows]
        left = [tokens] * len(rows)
        for i in range(0 if tokens else len(rows)):
            yield Piece(*divmod(i, samples), "", "length")
        for i, token in sample_each(
            model, rows, tokens, *how, generators, use_cache, min_p, repetition_penalty, ended, tokenizer.vocab_size
        ):
            text = growing[i].take(token)
            left[i] -= 1
            if left[i] == 0:
                text += growing[i].rest()
            end = "stop" if growing[i].stopped else "" if left[i] else "length"
            if end:
                ended.add(i)
            yield Piece(*divmod(i, samples), text, end)

    return one_blas_thread_each(pieces())


def listed(prompts: Prompts) -> list[str | Sequence[int]]:
    """Return the prompts of a text, ids, or several of them. Raises UserError for what is none of these."""
    if isinstance(prompts, str):
        return [prompts]
    try:
        found: list[Any] = list(prompts)
    except TypeError:
        raise UserError(f"prompts {shown(prompts)} must be a text, ids, or a list of them") from None
    if found and all(isinstance(each, Integral) for each in found):
        return [[int(each) for each in found]]
    return found


def check_vocabulary(model: Model, tokenizer: Tokenizer | None) -> None:
    """Raise UserError unless there is a tokenizer, and the model has rows for its tokens."""
    if tokenizer is None:
        raise UserError("the tokenizer is None; load the model with tokenizer=, or give another one")
    try:
        check_rows(tokenizer, model.config.vocab_size)
    except UserError as error:
        raise UserError(f"{error}; give the tokenizer of its training") from None


def check(name: str, value: object) -> None:
    """Raise UserError unless the option may have that value."""
    kind, rule = OPTIONS[name]
    if value is None and name in ("top_k", "top_p", "min_p", "seed"):
        return
    right = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if not right or value != value or not rule.holds(value):
        raise UserError(f"{name} {shown(value)} is not {rule.text}")


def check_seeds(first: int, samples: int, what: str = "seed") -> None:
    """Raise UserError unless each sample has a seed: the first's and those after it."""
    if not SEED.holds(first + samples - 1):
        raise UserError(f"{what} {first}: {samples:,} samples have the seeds from it on, and the largest is 2^63 - 1")


def encode_prompt(tokenizer: Tokenizer, prompt: str, what: str = "--prompt") -> list[int]:
    """Return the ids of the prompt. Without a prompt, the id of a line end: a new line begins after it."""
    if prompt:
        return [int(token) for token in tokenizer.encode(with_lf(prompt), what)]  # as in training
    return [tokenizer.start]


def ids_of(tokenizer: Tokenizer, prompt: str | Sequence[int], what: str) -> list[int]:
    """Return the ids of a prompt, which may be given as them."""
    if isinstance(prompt, str):
        return encode_prompt(tokenizer, prompt, what)
    try:
        ids = [operator.index(token) for token in prompt]
    except TypeError:  # no numbers, or not several
        ids = []
    if not ids or not all(0 <= token < tokenizer.vocab_size for token in ids):
        raise UserError(f"{what} must be a text, or numbers of tokens from 0 to {tokenizer.vocab_size - 1:,}")
    return ids


def stop_texts(tokenizer: Tokenizer, texts: Sequence[str], what: str = "a stop text") -> list[str]:
    """Return the stop texts as the tokenizer writes them. Raises UserError for one that no text can have."""
    special = getattr(tokenizer, "special", ())  # their text is refused in a prompt, but the model may write it
    found = []
    for text in texts:
        if not text:
            raise UserError(f"{what} must have a character")
        text = with_lf(text)
        found.append(text if text in special else tokenizer.decode(tokenizer.encode(text, what)))
    return found


class Shown:
    """What may be shown of a text that grows: neither a stop text, nor an end that the next tokens may make one."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self.stops = stops
        self.stopped = False
        self._held = ""
        self._new: deque[int | None] = deque()  # the next token; None: there is none
        self._pieces = tokenizer.pieces_of(iter(self._new.popleft, None))

    def take(self, token: int | None) -> str:
        """Return what may be shown now that the token came."""
        self._new.append(token)
        text = self._held + next(self._pieces, "")
        ends = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        beginnings = (stop[:n] for stop in self.stops for n in range(1, len(stop)))
        kept = max((len(part) for part in beginnings if text.endswith(part)), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """Return what was held back. No token comes any more."""
        return "" if self.stopped else self.take(None) + self._held
