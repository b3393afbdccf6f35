"""Trainings as the page asks for them: the edited engine and the other one, step by step on the same batches."""

from __future__ import annotations

import base64
import math
from typing import Any

from .check import finite
from .engines import Engines
from .errors import Wrong
from .trainer import Trainer
from .weights import parsed


class Trainings:
    """The trainings that run side by side, and the last one of the original engine."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.trainers: dict[str, Trainer] = {}  # by side, edited or original
        self.kept: tuple[Any, Trainer] | None = None  # the training of the original engine, and for which text
        self.step = 0  # that the page has seen

    def start(
        self, edits: dict[str, str], text: str, steps: int, compare: bool, flags: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make the model for a text: with the edited engine if there are edits, with the original one if asked for.

        flags: fields of the configuration, for a bug that the usual one does not show. The training of the original engine
        is kept: the next edit is compared with the steps that it has made.
        """
        self.engines.edit(edits)
        self.trainers, trainers = {}, {}
        if edits:
            trainers["edited"] = Trainer(self.engines.edited, text, steps, flags)
        if compare or not edits:
            key = text, steps, flags
            if self.kept is None or self.kept[0] != key or not edits:
                self.kept = key, Trainer(self.engines.original, text, steps, flags)
            trainers["original"] = self.kept[1]
        self.trainers, self.step = trainers, 0
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """What is being trained."""
        trainer = self.trained()
        return {
            "sides": list(self.trainers), "step": self.step, "steps": trainer.steps,
            "characters": len(trainer.ids) + len(trainer.held_out), "different": trainer.tokenizer.vocab_size,
            "parameters": sum(p.numel() for p in trainer.parameters), "uniform": math.log(trainer.tokenizer.vocab_size),
            "unigram": trainer.unigram,
        }  # fmt: skip

    def trained(self) -> Trainer:
        """The model that the reader looks at: that of the edited engine, if there is one."""
        if not self.trainers:
            raise Wrong("no model is there yet: train one first")
        return self.trainers.get("edited") or self.trainers["original"]

    def advance(self, count: int) -> dict[str, Any]:
        """Make steps with every engine; of each step its number and losses. Stops at the last step."""
        first, trainer = self.step, self.trained()
        self.step = min(self.step + count, trainer.steps)
        losses = {side: each.reach(self.step) for side, each in self.trainers.items()}
        rows = [
            {"step": step + 1, "losses": {side: finite(each[step]) for side, each in losses.items()}}
            for step in range(first, self.step)
        ]
        return {"rows": rows, "left": trainer.steps - self.step}

    def samples(self) -> dict[str, Any]:
        """What each model writes after the steps so far, and its loss on text that it was not trained on."""
        return {side: each.look(self.step) for side, each in self.trainers.items()}

    def page(self, text: str) -> str:
        """The page of gpt.inspect for the model that was just trained."""
        return self.trained().page(text)

    def save(self) -> str:
        """The weights as the bytes of a safetensors file, in base 64."""
        return base64.b64encode(self.trained().saved()).decode()

    def load(
        self, edits: dict[str, str], content: str, text: str, steps: int, flags: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Take the weights of a file that `save` wrote. flags: those of `start`; they decide the shapes too."""
        self.engines.edit(edits)
        trainer = Trainer(self.engines.chosen, text, steps, flags, parsed(base64.b64decode(content)))
        self.trainers = {"edited" if edits else "original": trainer}
        self.step, self.kept = trainer.step, None
        return self.facts()
