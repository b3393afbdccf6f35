"""The training of gpt.train on PyTorch, to compare losses, speed and code.

    python -m reference_torch.train --recipe nanogpt --data python-docs --steps 200

Text, batches, first weights, learning rates and flags are those of gpt.train, so the losses are the same up to rounding;
except with dropout, since the two draw different random numbers. It leaves no run folder. PyTorch itself shares the work
among threads, so there are no shards: --threads sets torch.set_num_threads.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np

import torch
from gpt import cli, data
from gpt.config import RECIPES, TrainConfig
from gpt.data import Ids
from gpt.errors import UserError
from gpt.evaluate import bits_per_byte, windows
from gpt.optimizer import learning_rate, parameter_groups
from gpt.run.metrics import Row
from gpt.run.opening import prepare
from gpt.run.progress import Progress
from gpt.run.state import Run
from reference_torch.build import Model, build
from reference_torch.weights import to_torch
from torch import nn


def fresh_model(run: Run) -> Model:
    """Return the model on PyTorch with the first weights of the run, which tinytensor drew."""
    model = build(run.config).to(getattr(torch, run.config.dtype))
    to_torch(run.model, model)
    return model


def make_optimizer(model: Model, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW of PyTorch with the parameter groups of gpt.optimizer. Fused is the fastest."""
    groups, betas = parameter_groups(model, config), (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)


def train(run: Run, model: Model, quiet: bool) -> list[Row]:
    """Make all steps of the run. Return the rows that gpt.train writes into metrics.jsonl."""
    config, device = run.config, next(model.parameters()).device
    torch.manual_seed(config.seed)  # for dropout
    optimizer = make_optimizer(model, config)
    rows: list[Row] = []
    began = time.perf_counter()
    with Progress(config, 0, run.baselines.brief(), quiet) as progress:
        for step in range(config.steps):
            started = time.perf_counter()
            optimizer.zero_grad()
            train_loss = 0.0
            for micro_step in range(config.grad_accumulation):
                ids, targets = data.batch(run.train_ids, config, step, micro_step)
                _, loss = model(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
                loss = loss / config.grad_accumulation
                loss.backward()
                train_loss += loss.item()
            limit = config.grad_clip or math.inf
            norm = nn.utils.clip_grad_norm_(model.parameters(), limit).item()
            if not (math.isfinite(train_loss) and math.isfinite(norm)):
                raise UserError(
                    f"step {step + 1}: the loss is {train_loss} and the gradient norm is {norm}; "
                    f"try a lower --learning-rate"
                )

            rate = learning_rate(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            tokens = config.grad_accumulation * config.batch_size * config.context
            speed = tokens / (time.perf_counter() - started)

            val_loss = None
            if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
                val_loss, _ = mean_loss(model, run.validation_ids, config.eval_windows)
            row = Row(
                step=step + 1, train_loss=train_loss, val_loss=val_loss, learning_rate=rate,
                grad_norm=norm, seconds=time.perf_counter() - began, tokens_per_second=speed,
            )  # fmt: skip
            rows.append(row)
            progress.update(row)
    return rows


def mean_loss(model: Model, ids: Ids, limit: int = 0) -> tuple[float, int]:
    """Return the mean of -ln p over the predictions, in nats, and their number; see gpt/evaluate.py."""
    device = next(model.parameters()).device
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for x, y in windows(ids, model.config.context, limit):
            _, loss = model(*(torch.from_numpy(a.astype(np.int64)).to(device) for a in (x, y)))
            total += loss.item() * x.size
            count += x.size
    model.train()
    return total / count, count


def refuse_half(given: dict[str, object]) -> None:
    """Raise UserError for float16: gpt.train has a loss scale for it, this has none."""
    if given.get("dtype") == "float16":
        raise UserError("--dtype float16: there is no loss scale for PyTorch; take float32 or float64")


def make_parser() -> cli.Parser:
    parser = cli.Parser(
        "reference_torch.train", "Train with PyTorch as gpt.train does: the same weights, batches and flags."
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--recipe", choices=RECIPES, default="default", help="where the other defaults come from (default: default)"
    )
    run.add_argument("--quiet", action="store_true", help="print errors only")
    cli.add_config_arguments(parser, ("patience",))  # it makes all steps
    return parser


@cli.command("reference_torch.train")
def main(argv: list[str]) -> int:
    given = vars(make_parser().parse_args(argv))
    recipe, quiet, device = given.pop("recipe"), given.pop("quiet"), given.pop("device", "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU; take --device cpu")
    refuse_half(given)
    run = prepare(recipe, given, quiet)  # tinytensor draws the weights, on the CPU
    torch.set_num_threads(run.config.threads)
    model = fresh_model(run).to(device)
    if not quiet:
        cli.say(str(run))
    train(run, model, quiet)
    if not quiet:
        loss, predictions = mean_loss(model, run.validation_ids)
        bits = bits_per_byte(loss, run.tokenizer, run.validation_ids, run.config.context)
        cli.say(
            f"validation loss {cli.shown(loss, 4)} nats per token, {cli.shown(bits, 4)} bits per byte "
            f"over the whole split, {predictions:,} predictions\n"
            f"baselines       {run.baselines}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
