"""One training of one engine: its model, its text, and the steps of gpt.train.update, in one thread."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .check import finite
from .engines import Engine
from .errors import Wrong
from .weights import About, take, written

SAMPLE = 64  # characters of a sample
LAYERS, WIDTH, HEADS, CONTEXT, BATCH = 2, 64, 4, 64, 8
SHORTEST = 10 * (CONTEXT + 1)  # characters of a text: a tenth is held out, and a window with its targets fits there

NOT_FINITE = "the loss of this model is not a finite number"


class Trainer:
    """A model and what it was trained on.

    flags: fields of the configuration that are not as usual; loaded: arrays of weights, and what their file says of them.
    """

    def __init__(
        self,
        engine: Engine,
        text: str,
        steps: int,
        flags: dict[str, Any] | None = None,
        loaded: tuple[dict[str, Any], About] | None = None,
    ) -> None:
        self.engine, self.step, self.steps = engine, 0, (flags or {}).get("steps", steps)
        self.losses: list[float] = []  # of each step's batch
        self.looks: dict[int, dict[str, Any]] = {}  # by step
        with engine.active():
            self._read(text, loaded[1].characters if loaded else None)
            self._make(flags or {})
            if loaded is not None:
                self._load(*loaded)

    def _read(self, text: str, characters: str | None) -> None:
        """The text as numbers, nine tenths of it to train on, and the loss of a model that knows frequencies alone."""
        from gpt.tokenizers import CharTokenizer

        if len(text) < SHORTEST:
            raise Wrong(f"the text has {len(text):,} characters; it needs at least {SHORTEST:,}")
        self.tokenizer = CharTokenizer.from_text(text) if characters is None else CharTokenizer(characters)
        ids = self.tokenizer.encode(text, "the text", small=True)
        cut = len(ids) * 9 // 10
        self.ids, self.held_out = ids[:cut], ids[cut:]
        counts = np.bincount(self.ids, minlength=self.tokenizer.vocab_size) + 1
        self.unigram = float(-(np.log(counts / counts.sum())[np.asarray(self.held_out, np.int64)]).mean())

    def _make(self, flags: dict[str, Any]) -> None:
        """The model with its first weights, and what trains it."""
        from gpt import train
        from gpt.build import build
        from gpt.config import TrainConfig
        from gpt.fast.shards import Shards
        from gpt.optimizer import learning_rate, make_optimizer
        from tinytensor import manual_seed

        usual: dict[str, Any] = {
            "layers": LAYERS, "width": WIDTH, "heads": HEADS, "context": CONTEXT, "batch_size": BATCH, "steps": self.steps,
            "warmup": min(30, self.steps // 10), "threads": 1, "data": "a text", "vocab_size": self.tokenizer.vocab_size,
        }  # fmt: skip
        self.config = TrainConfig(**{**usual, **flags})
        manual_seed(self.config.seed)
        self.model: Any = build(self.config)
        self.optimizer = make_optimizer(self.model, self.config)
        self.shards = Shards(self.model, self.config, train.shard_gradient)
        self.parameters = list(self.model.parameters())
        self.update: Callable[..., Any] = train.update
        self.rate: Callable[..., float] = learning_rate

    def _load(self, arrays: dict[str, Any], about: About) -> None:
        """Go on from the weights of a file."""
        take(self.model, arrays)
        self.step, self.steps = about.step, about.step + self.steps
        self.losses = [math.nan] * self.step

    def reach(self, step: int) -> list[float]:
        """Train up to that step, if it is not there yet; returns the loss of every step."""
        with self.engine.active(), np.errstate(all="ignore"):
            from gpt import data

            self.model.train()
            while self.step < step:
                micro_steps = range(self.config.grad_accumulation)
                batches = [data.batch(self.ids, self.config, self.step, i, self.shards.rows) for i in micro_steps]
                rate = self.rate(min(self.step, self.config.steps - 1), self.config)
                outcome = self.update(self.shards, self.optimizer, batches, self.step, rate)
                self.step += 1
                self.losses.append(float(outcome.loss))
        return self.losses

    def look(self, step: int) -> dict[str, Any]:
        """A sample and the loss on held-out text after that step, which has to be the last one; or what was seen then."""
        if step == self.step:
            loss = self.validate()
            text = self.sample() if math.isfinite(loss) else f"(no sample: {NOT_FINITE})"
            self.looks[step] = {"text": text, "loss": finite(loss)}
        return self.looks.get(step, {"text": None, "loss": None})

    def sample(self) -> str:
        """What the model writes after the beginning of a line, with the same random numbers each time."""
        with self.engine.active(), np.errstate(all="ignore"):
            from gpt.sampling import sample
            from tinytensor import Generator

            random = Generator().manual_seed(1)
            try:
                ids = list(sample(self.model, [self.tokenizer.start], SAMPLE, temperature=0.8, generator=random))
            except (ValueError, RuntimeError, FloatingPointError) as error:  # the numbers are not finite
                return f"(no sample: {error})"
            return str(self.tokenizer.decode(ids))

    def validate(self) -> float:
        """The loss on windows that are evenly spaced over the text that training never draws."""
        with self.engine.active(), np.errstate(all="ignore"):
            from tinytensor import from_numpy, no_grad

            self.model.eval()
            starts = np.linspace(0, len(self.held_out) - CONTEXT - 1, 2 * BATCH).astype(np.int64)
            windows = self.held_out[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64)
            with no_grad():
                x, y = (from_numpy(np.ascontiguousarray(part)) for part in (windows[:, :-1], windows[:, 1:]))
                _, loss = self.model(x, y)
            return float(loss.item())

    def page(self, text: str) -> str:
        """The page of gpt.inspect, as HTML."""
        if not math.isfinite(self.validate()):
            raise Wrong(f"{NOT_FINITE}, so there is nothing to look at: undo what you edited, and train again")
        with self.engine.active():
            from gpt.inspection import subject, write
            from gpt.inspection.collect import collect

            self.model.eval()
            ids = subject.text_ids(self.tokenizer, text, "the text")
            longest = min(CONTEXT, subject.LONGEST)
            chosen = subject.Subject(
                "the laboratory", f"those after {self.step:,} steps in the laboratory", self.model, self.config,
                self.tokenizer, ids[:longest], len(ids), train=self.ids, step=self.step,
                command="the laboratory, in the browser",
            )  # fmt: skip
            return str(write.page(*collect(chosen)))

    def saved(self) -> bytes:
        """The weights as a file."""
        with self.engine.active():
            return written(self.model, About(self.step, self.tokenizer.characters))
