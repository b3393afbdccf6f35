"""One training run in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpt import mistake
from gpt.build import Model
from gpt.config import TrainConfig
from gpt.data import Ids
from gpt.errors import UserError, shown
from gpt.optimizer import Outcome
from gpt.run import checkpoint
from gpt.run.arrays import Arrays
from gpt.run.baselines import Baselines
from gpt.run.checkpoint import Checkpoint
from gpt.run.checks import first_not_finite
from gpt.tokenizers import Tokenizer
from tinytensor.amp import GradScaler
from tinytensor.distributed.ranks import ALONE, Ranks
from tinytensor.optim import AdamW


@dataclass(frozen=True)
class Evaluation:
    """The loss of a step on the windows of the validation split that every evaluation of the run takes."""

    loss: float
    step: int


@dataclass
class Run:
    """A run that has made `step` updates in `seconds`, with everything that the next update needs."""

    config: TrainConfig
    corpus: str  # the name of its text
    corpus_sha256: str
    tokenizer: Tokenizer
    train_ids: Ids
    validation_ids: Ids
    baselines: Baselines
    model: Model
    optimizer: AdamW
    scaler: GradScaler | None  # the loss scale; in float16 alone
    step: int = 0
    seconds: float = 0.0
    best: Evaluation | None = None  # the one with the lowest loss so far
    last: Evaluation | None = None  # the one that this process made last
    ranks: Ranks = ALONE  # the processes that train it together
    compare_every: int = 100  # steps between two comparisons of their weights
    restored: Arrays = field(default_factory=dict)  # AdamW's state in the checkpoint, until the other ranks have it
    pending: dict[str, Any] | None = None  # the row of `step` (gpt/run/metrics.py) until that step is evaluated

    @property
    def is_stuck(self) -> bool:
        """Whether the last `patience` evaluations did not lower the loss."""
        every, patience = self.config.eval_every, self.config.patience
        if not patience or self.best is None:
            return False
        return self.step // every - self.best.step // every >= patience

    def save(self, folder: Path, names: Sequence[str] = checkpoint.FILES) -> None:
        """Replace the checkpoint in the folder, with these files of arrays. All ranks call it, and the first one writes.

        Raises UserError if a weight is not finite, and leaves the old one.
        """
        if self.ranks.size > 1:
            from gpt.ranks.drift import check_equal

            check_equal(self.ranks, self.model, self.step)  # before a save: no checkpoint has weights that have drifted
        state = checkpoint.optimizer_arrays(self.model, self.optimizer) if checkpoint.OPTIMIZER in names else {}
        weights = {} if self.ranks.rank else checkpoint.weight_arrays(self.model)
        largest = [float(parameter.detach().abs().max()) for parameter in self.model.parameters()]
        self.check_finite(largest_weight=float(np.max(largest)))
        if self.ranks.rank:
            return
        now = Checkpoint(
            self.step,
            self.seconds,
            self.config,
            self.tokenizer,
            self.corpus_sha256,
            weights,
            state,
            ranks=self.ranks.size,
            bug=mistake.name,
            loss_scale=self.scaler.state_dict() if self.scaler else {},
            best=asdict(self.best) if self.best else None,
            pending=self.pending,
        )
        checkpoint.save(folder, now, names)

    def check(self, outcome: Outcome) -> None:
        """Raise UserError if the loss of the update or its gradient is not finite.

        In float16 an infinite gradient is no error, since the loss scale may have been too large; a scale below 1 is one.
        """
        norm = {} if self.scaler else {"gradient_norm": outcome.norm}
        self.check_finite(loss=outcome.loss, **norm)
        if outcome.scale < 1:
            raise UserError(
                f"step {self.step}: the gradient overflows float16 at any loss scale; {first_not_finite(self.model)}; "
                f"stopped, the last checkpoint is intact; try a lower --learning-rate, or --dtype float32"
            )

    def check_finite(self, **numbers: float) -> None:
        """Raise UserError unless all numbers are finite. The error names the first parameter to look at."""
        wrong = [f"the {name.replace('_', ' ')} is {x}" for name, x in numbers.items() if not math.isfinite(x)]
        if wrong:
            raise UserError(
                f"step {self.step}: {' and '.join(wrong)}; {first_not_finite(self.model)}; "
                f"stopped, the last checkpoint is intact; try a lower --learning-rate"
            )

    def workers(self) -> str:
        """Say who shares a batch."""
        threads, hosts = f"threads: {self.config.threads}", len(set(self.ranks.hosts))
        if self.ranks.size == 1:
            return threads
        return f"ranks: {self.ranks.size} on {hosts} host{'s' * (hosts > 1)}, {threads} each"

    def __str__(self) -> str:
        """The text and the model in three lines; a bug of the museum that is on in one more."""
        length, different = len(self.train_ids) + len(self.validation_ids), self.tokenizer.vocab_size
        special = ", ".join(map(shown, getattr(self.tokenizer, "special", ())))
        tokens = f"{different:,} different" + (f" with {special}" if special else "")
        if (rows := self.config.vocab_size) > different:
            tokens += f", of {rows:,} rows"
        size = sum(parameter.numel() for parameter in self.model.parameters())
        bug = f"\nbug       {mistake.name}, of the museum: a line is wrong on purpose" if mistake.name else ""
        return (
            f"text      {self.corpus}: {length:,} {self.tokenizer.unit}, {tokens}\n"
            f"model     {self.config.model}: {size:,} parameters; {self.workers()}\n"
            f"baselines {self.baselines} (nats per token){bug}"
        )
