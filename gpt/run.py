"""One training run in memory: text, model, optimizer, step; how it begins, is saved and ends."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt import baselines, checkpoint, data, metrics
from gpt.baselines import Baselines
from gpt.checkpoint import Checkpoint
from gpt.config import TrainConfig
from gpt.data import Corpus, Ids
from gpt.errors import UserError
from gpt.evaluate import mean_loss
from gpt.generate import encode_prompt, sample
from gpt.memory import check_memory
from gpt.model import GPT, Bigram
from gpt.optimizer import make_optimizer, make_scaler
from gpt.parallel import one_blas_thread
from gpt.step import Outcome
from gpt.tokenizer import CharTokenizer
from tinytensor import Generator, isfinite, manual_seed, set_float32_matmul_precision
from tinytensor.amp import GradScaler
from tinytensor.optim import AdamW

SAMPLE_TOKENS, SAMPLE_TEMPERATURE = 500, 0.8


@dataclass
class Run:
    """`step` updates were made in `seconds`; the rest is what the next one needs."""

    folder: Path
    config: TrainConfig
    corpus: Corpus
    tokenizer: CharTokenizer
    train_ids: Ids
    validation_ids: Ids
    baselines: Baselines
    model: GPT | Bigram
    optimizer: AdamW
    scaler: GradScaler
    step: int = 0
    seconds: float = 0.0

    def write_config(self) -> None:
        """Write config.json, so that it is either the old one or the new one."""
        draft = self.folder / "config.json.new"
        draft.write_text(json.dumps(dataclasses.asdict(self.config), indent=2) + "\n", "utf-8")
        draft.replace(self.folder / "config.json")

    def save(self) -> None:
        """Replace the checkpoint, unless the weights are spoilt."""
        weights = checkpoint.weight_arrays(self.model)
        largest = float(np.max([abs(array).max() for array in weights.values()]))
        self.require_finite(self.step, largest_weight=largest)
        state = checkpoint.optimizer_arrays(self.model, self.optimizer)
        corpus = self.corpus.sha256
        scale = self.scaler.state_dict()
        now = Checkpoint(self.step, self.seconds, self.config, self.tokenizer, corpus, weights, state, scale)
        checkpoint.save(self.folder, now)

    def require_sound(self, now: Outcome) -> None:
        """UserError unless the update went well. A loss scale may have been too large, until it is below 1."""
        norm = {} if self.scaler.is_enabled() else {"gradient_norm": now.norm}
        self.require_finite(self.step, loss=now.loss, **norm)
        if now.scale < 1:
            raise UserError(
                f"step {self.step}: the gradient overflows float16 at any loss scale; {first_not_finite(self.model)}; "
                f"stopped, the last checkpoint is intact; try a lower --learning-rate, or --dtype float32"
            )

    def require_finite(self, step: int, **numbers: float) -> None:
        """UserError unless all numbers are finite, with the first parameter to look at."""
        wrong = [
            f"the {name.replace('_', ' ')} is {number}" for name, number in numbers.items() if not math.isfinite(number)
        ]
        if wrong:
            raise UserError(
                f"step {step}: {' and '.join(wrong)}; {first_not_finite(self.model)}; "
                f"stopped, the last checkpoint is intact; try a lower --learning-rate"
            )


def first_not_finite(model: GPT | Bigram) -> str:
    """Where it shows first, in the model's order: a parameter's value, else a gradient."""
    parameters = list(model.named_parameters())
    values = [(name, "value", p) for name, p in parameters]
    gradients = [(name, "gradient", p.grad) for name, p in parameters if p.grad is not None]
    for name, what, tensor in values + gradients:
        if not bool(isfinite(tensor).all()):
            return f"the first parameter whose {what} is not finite is {name}"
    largest, name = max((float(p.detach().abs().max()), name) for name, p in parameters)
    return f"every parameter is finite, and the largest value, {largest:.1e}, is in {name}"


def begin(folder: Path, config: TrainConfig, corpus: Corpus, saved: Checkpoint | None) -> Run:
    """A run with fresh weights, or as it was when `saved` was. Writes nothing."""
    tokenizer = saved.tokenizer if saved else CharTokenizer.from_text(corpus.text)
    config = dataclasses.replace(config, vocab_size=tokenizer.vocab_size)
    check_memory(config)
    train_ids, validation_ids = data.split(tokenizer.encode(corpus.text), config.context)
    base = baselines.measure(train_ids, validation_ids, tokenizer.vocab_size)
    manual_seed(config.seed)
    model = checkpoint.restore_model(saved, folder, config.device) if saved else checkpoint.fresh_model(config)
    set_float32_matmul_precision("high" if config.tf32 else "highest")
    optimizer, scaler = make_optimizer(model, config), make_scaler(config)
    run = Run(folder, config, corpus, tokenizer, train_ids, validation_ids, base, model, optimizer, scaler)
    if saved:
        scaler.load_state_dict(saved.loss_scale)
        checkpoint.restore_optimizer(model, optimizer, saved.optimizer)
        run.step, run.seconds = saved.step, saved.seconds
    return run


def finish(run: Run, plot: bool) -> str:
    """Measure the whole validation split, write sample.txt and loss.png; return what to say."""
    loss, predictions = mean_loss(run.model, run.validation_ids)
    generator = Generator().manual_seed(run.config.seed)
    start = encode_prompt(run.tokenizer, "")
    tokens = sample(run.model, start, SAMPLE_TOKENS, SAMPLE_TEMPERATURE, generator=generator)
    with one_blas_thread():
        text = run.tokenizer.decode(tokens)
    (run.folder / "sample.txt").write_text(text + "\n", "utf-8")
    rows = metrics.read(run.folder)
    if plot and rows:
        from gpt.plots import plot_loss

        plot_loss(run.folder / "loss.png", rows, run.baselines, loss)
    return (
        f"validation loss {loss:.4f} nats ({loss / math.log(2):.4f} bits per character) "
        f"over the whole split, {predictions:,} predictions\n"
        f"baselines       {run.baselines}"
    )
