"""Train a language model: draw a batch, forward, backward, clip, step; now and then save and evaluate.

python -m gpt.train                        # tiny Shakespeare, about a minute on two cores
python -m gpt.train --data PATH --out RUN
python -m gpt.train --resume RUN           # goes on where RUN stopped, to the same weights, bit for bit
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from gpt import cli, data, job
from gpt.build import Model
from gpt.data import Batch
from gpt.fast.gpu import fast_update
from gpt.fast.shards import Shards
from gpt.optimizer import Outcome, learning_rate
from gpt.run.interrupt import Interrupt
from gpt.run.metrics import row_of
from gpt.run.record import recording
from gpt.run.state import Run
from tinytensor import Tensor, nn
from tinytensor.optim import AdamW


def shard_gradient(model: Model, x: Tensor, y: Tensor, share: float, scale: Tensor | None = None) -> Tensor:
    """Forward and backward of one shard, the part of a batch that one thread has: inputs and targets (B / shards, T).

    `share` is its part of all windows of the update. The loss of the update is the sum of share · loss over the shards
    of all batches, so its gradient is the sum of theirs. This adds share · dloss/dw to `w.grad` of every weight w of
    `model`, the copy of this thread. Shards.gradient (gpt/fast/shards.py) adds the copies up. Returns share · loss.
    """
    _, loss = model(x, y)  # forward: the mean of -ln p over the tokens of this shard
    assert loss is not None
    part: Tensor = loss if share == 1 else loss * share
    part.backward(scale)  # backward: from the loss to every weight; scale is None, which means 1, except in float16
    return part.detach()  # the number without its history


def update(shards: Shards, optimizer: AdamW, batches: Sequence[Batch], step: int, rate: float) -> Outcome:
    """Change the weights once, to make the loss of these batches smaller."""
    loss = shards.gradient(batches, step)  # shard_gradient for every shard, and the sum of their gradients
    # Clip: a gradient that is longer than grad_clip gets that length, so one odd batch cannot throw the weights far off.
    limit = shards.config.grad_clip or math.inf
    norm = nn.utils.clip_grad_norm_(shards.parameters, limit).item()
    if math.isfinite(norm):  # else the weights stay; Run.check says what is not finite, usually the gradient
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()  # AdamW: about -rate times the average gradient over its average size
    return Outcome(loss.item(), norm)


def train(run: Run, folder: Path, quiet: bool) -> int | None:
    """Make the steps that are left. Return the number of the signal that asked to stop, if one did."""
    config = run.config
    began = time.perf_counter() - run.seconds
    with (
        np.errstate(all="ignore"),  # numbers that are not finite are reported by name instead
        Interrupt() as interrupt,  # Ctrl-C ends the loop after a whole step
        Shards(run.model, config, shard_gradient, run.optimizer, run.ranks, interrupt) as shards,  # threads and ranks
        recording(run, folder, quiet) as record,  # metrics.jsonl, checkpoints and the terminal
    ):
        # On a GPU, in float16 and on ranks another update (gpt/fast/gpu.py) takes the place of `update`. It changes the same.
        update_weights = fast_update(shards, run.optimizer, run.scaler) or partial(update, shards, run.optimizer)
        while run.step < config.steps and interrupt.signal is None and not run.is_stuck:
            started = time.perf_counter()
            # Draw. Several batches for one update have the gradient of one larger batch, in less memory.
            micro_steps = range(config.grad_accumulation)
            batches = [data.batch(run.train_ids, config, run.step, i, shards.rows) for i in micro_steps]
            rate = learning_rate(run.step, config)
            outcome = update_weights(batches, run.step, rate)  # forward, backward, clip, step
            run.step += 1
            run.check(outcome)  # stops if a number is not finite
            run.seconds = time.perf_counter() - began
            speed = config.tokens / (time.perf_counter() - started)
            # Report; every `eval_every` steps save, evaluate on text that training never draws, and keep the best weights.
            record.step(row_of(run, outcome, rate, speed))
    if interrupt.signal is not None:
        run.save(folder)
    return interrupt.signal


@cli.command("gpt.train", ranks=True)
def main(argv: list[str]) -> int:
    """Read the flags, open a new run or one to resume, train it, and say how good it is. Return the exit status."""
    options = job.parse(argv)
    run, folder = job.open_run(options)
    return job.carry_out(run, folder, options, train)


if __name__ == "__main__":
    sys.exit(main())
