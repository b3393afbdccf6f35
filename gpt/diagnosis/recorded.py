"""What a run has recorded about itself. Rules that need no more cost nothing, so every training ends with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpt.config import TrainConfig
from gpt.diagnosis import measures
from gpt.diagnosis.measures import Array
from gpt.run.baselines import Baselines
from gpt.run.metrics import Row

FEWEST = 40  # steps before which no model has to have learned anything
LAST = 20  # rows whose mean is the training loss at the end
STALLED = -0.05  # nats: a mean loss that falls by less, from one quarter of the steps to the next, does not learn


@dataclass
class Recorded:
    """The numbers of a run: its configuration, a row for each step, and the baselines of its text."""

    config: TrainConfig
    step: int  # of the weights
    rows: list[Row]
    baselines: Baselines
    failure: str = ""  # the error that stopped it
    train: Array = field(init=False)  # the training loss of each step (N,)
    evaluated: list[tuple[int, float]] = field(init=False)  # steps and their validation losses

    def __post_init__(self) -> None:
        self.train = np.array([row["train_loss"] for row in self.rows])
        self.evaluated = [(row["step"], row["val_loss"]) for row in self.rows if row["val_loss"] is not None]

    @property
    def best(self) -> float | None:
        """The lowest validation loss; None before the first evaluation."""
        return min((loss for _, loss in self.evaluated), default=None)

    @property
    def last_losses(self) -> Array:
        """The training losses of the last steps up to the weights, at most LAST."""
        return np.array([row["train_loss"] for row in self.rows if row["step"] <= self.step][-LAST:])

    @property
    def last_train(self) -> float | None:
        """Their mean; None before the first step."""
        losses = self.last_losses
        return float(losses.mean()) if len(losses) else None

    @property
    def trend(self) -> float:
        """How much the training loss changed from the third quarter of the steps to the last, in nats."""
        return measures.trend(self.train)

    @property
    def is_stalled(self) -> bool:
        """Whether it learns little more."""
        return self.trend > STALLED

    @property
    def is_above_bigram(self) -> bool:
        """Whether its best loss is above that of the bigram, so that it has not learned to use more than one token."""
        return self.best is not None and self.best > self.baselines.bigram
