"""Both engines in lock step: the same weights and batches, every tensor compared at every step.

    python -m reference_torch.lockstep                       # 200 steps in float64, some two minutes
    python -m reference_torch.lockstep --dtype float32
    python -m reference_torch.lockstep --recipe nanogpt --data my.txt

It compares the inputs and outputs of every module, logits and loss; their gradients and those of every parameter before
clipping; the norm of the gradient; the moments of AdamW; and the parameters after the update. A difference is measured
relative to the tensor: |ours − PyTorch's| / max |PyTorch's|, at the element where it is largest. The order is that of the
computation: activations forwards, loss, gradients backwards, norm, moments, parameters. The first tensor that differs by
more than the tolerance stops the run, and is named. So "norm, gradient of input" means that the backward of norm is
wrong. A wrong gradient of the output of qkv means that something that reads qkv is: rotary positions or attention.

AdamW divides a gradient by its size. So where a gradient is only rounding, the update is only rounding too. The bias of a
key is such a parameter without rotary positions, since softmax ignores a shift.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

import tinytensor
import torch
from gpt import cli, data
from gpt.config import RECIPES, TrainConfig
from gpt.errors import UserError
from gpt.optimizer import learning_rate
from gpt.run.metrics import Row
from gpt.run.opening import prepare
from gpt.run.progress import Progress
from gpt.run.state import Run
from reference_torch.sides import NORM, Pair, Side, compared_step
from reference_torch.train import fresh_model, make_optimizer, refuse_half

DEFAULTS = {"steps": 200, "data": "python-docs", "dtype": "float64"}
WITHOUT = ("device", "eval_every", "eval_windows", "patience")  # it runs on the CPU, and evaluates nothing
# Relative to the largest value of the tensor. float32 finds large errors only: over 200 steps on Shakespeare PyTorch
# itself differs by up to 0.02 from what it computes in float64.
TOLERANCE = {"float64": 1e-9, "float32": 1e-1}
# Learning rates by which a parameter may differ in addition. Where a gradient is only rounding, AdamW moves the parameter
# by up to about one learning rate in either direction. In float64 rounding is far below AdamW's epsilon: no such moves.
STEPS = {"float64": 0, "float32": 2}
CURVES = {"float64": 1e-9, "float32": 1e-3}  # differences of losses, in nats


@dataclass
class Record:
    """The largest difference of one tensor, absolute and relative to its largest value, and the step of the latter."""

    name: str
    kind: str
    shape: tuple[int, ...]
    absolute: float = 0.0
    relative: float = 0.0
    step: int = 0


@dataclass
class Report:
    """The result: a record for each tensor, the losses of each batch, and what stopped the run, if anything did."""

    config: TrainConfig
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    losses: list[tuple[float, float]] = field(default_factory=list)  # tinytensor's and PyTorch's
    divergence: str = ""

    def add(self, pair: Pair, step: int) -> None:
        """Record the difference of a pair, and whether it is too large."""
        at, ours, theirs = f"step {step}: {pair.name}, {pair.kind}", pair.ours, pair.theirs
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            kinds = [f"{x.dtype} {x.shape}" for x in (ours, theirs)]
            self.divergence = f"{at}: {kinds[0]} in tinytensor, {kinds[1]} in PyTorch"
            return
        if not ours.size:
            return
        difference, scale = np.abs(ours - theirs), float(np.abs(theirs).max())
        place = np.unravel_index(int(difference.argmax()), ours.shape)  # of a NaN, if there is one
        absolute = float(difference[place])
        relative = absolute / scale if scale else math.inf if absolute else 0.0
        record = self.records.setdefault((pair.name, pair.kind), Record(pair.name, pair.kind, ours.shape))
        record.absolute = max(absolute, record.absolute)
        if not relative <= record.relative:
            record.relative, record.step = relative, step
        if pair.kind == "loss":
            self.losses.append((float(ours), float(theirs)))
        allowed = self.allowed(pair.kind, scale)
        if not absolute <= allowed:
            where = f" at {[int(i) for i in place]}" if place else ""
            self.divergence = (
                f"{at} diverges first{where}: {ours[place]!s} in tinytensor, {theirs[place]!s} in PyTorch; "
                f"they differ by {absolute:.1e}, which is {relative:.1e} of the largest value; allowed is {allowed:.1e}"
            )

    def allowed(self, kind: str, scale: float) -> float:
        """Return the largest difference that is allowed in a tensor of this kind with the largest value `scale`."""
        dtype = self.config.dtype
        if kind == "loss":
            return CURVES[dtype]
        steps = STEPS[dtype] if kind == "parameter" else 0
        return TOLERANCE[dtype] * scale + steps * self.config.learning_rate

    def worst(self) -> Record:
        return max(self.records.values(), key=lambda record: record.relative)

    def __str__(self) -> str:
        """The text in the progress bar."""
        return f"largest difference {self.worst().relative:.1e}"

    def table(self) -> str:
        rows = [("tensor", "what of it", "shape", "difference", "relative", "step")]
        for r in self.records.values():
            size = " × ".join(map(str, r.shape)) or "one number"
            rows.append((r.name, r.kind, size, f"{r.absolute:.1e}", f"{r.relative:.1e}", str(r.step or "")))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for name, kind, shape, *numbers in rows:
            left = f"{name:{widths[0]}}  {kind:{widths[1]}}  {shape:{widths[2]}}"
            right = "  ".join(f"{n:>{width}}" for n, width in zip(numbers, widths[3:], strict=True))
            lines.append(f"{left}  {right}")
        return "\n".join(lines)

    def summary(self) -> str:
        dtype, worst, (first, last) = self.config.dtype, self.worst(), (self.losses[0], self.losses[-1])
        apart, batch = max((abs(a - b), i) for i, (a, b) in enumerate(self.losses, 1))
        return (
            f"{len(self.records)} tensors, {dtype}: the largest difference is {worst.relative:.1e} of the tensor's "
            f"largest value, in {worst.name}, {worst.kind}, step {worst.step}; tolerance {TOLERANCE[dtype]:.0e}"
            f"{f', for parameters {STEPS[dtype]} learning rates more' if STEPS[dtype] else ''}\n"
            f"loss curves: {len(self.losses)} batches, {first[1]:.4f} to {last[1]:.4f} nats; "
            f"largest difference {apart:.1e}, in batch {batch}; tolerance {CURVES[dtype]:.0e}"
        )


def compare(run: Run, quiet: bool = False) -> Report:
    """Make the steps of the run with both engines, up to the last one or to the first divergence."""
    config, report = run.config, Report(run.config)
    model = fresh_model(run)
    ours = Side(tinytensor, run.model, run.optimizer)
    theirs = Side(torch, model, make_optimizer(model, config))
    began = time.perf_counter()
    with (
        np.errstate(all="ignore"),  # a number that is not finite is a divergence
        threadpool_limits(config.threads, user_api="blas"),
        Progress(config, 0, report, quiet) as progress,
    ):
        for step in range(config.steps):
            started, rate = time.perf_counter(), learning_rate(step, config)
            batches = [data.batch(run.train_ids, config, step, micro) for micro in range(config.grad_accumulation)]
            for pair in compared_step(ours, theirs, batches, rate, config):
                report.add(pair, step + 1)
                if report.divergence:
                    return report
                if pair.kind == NORM:
                    norm = float(pair.ours)
            now = time.perf_counter()
            row = Row(
                step=step + 1, train_loss=report.losses[-1][0], val_loss=None, learning_rate=rate, grad_norm=norm,
                seconds=now - began, tokens_per_second=sum(ids.size for ids, _ in batches) / (now - started),
            )  # fmt: skip
            progress.update(row)
    return report


def make_parser() -> cli.Parser:
    parser = cli.Parser(
        "reference_torch.lockstep",
        "Train with tinytensor and PyTorch at once and compare every activation, gradient, moment and parameter. "
        "Exit status 1 names the first tensor that diverges.",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--recipe", choices=RECIPES, default="default", help="where the other defaults come from (default: default)"
    )
    run.add_argument("--quiet", action="store_true", help="print a divergence only")
    cli.add_config_arguments(parser, WITHOUT, **DEFAULTS)
    return parser


@cli.command("reference_torch.lockstep")
def main(argv: list[str]) -> int:
    given = vars(make_parser().parse_args(argv))
    recipe, quiet = given.pop("recipe"), given.pop("quiet")
    if given.get("dropout"):
        raise UserError(f"--dropout {given['dropout']}: the two engines draw different random numbers; leave it out")
    refuse_half(given)
    run = prepare(recipe, {**DEFAULTS, **given}, quiet)
    torch.set_num_threads(run.config.threads)
    if not quiet:
        cli.say(str(run))
    report = compare(run, quiet)
    if not quiet:
        cli.say(report.table())
    if report.divergence:
        return cli.fail("reference_torch.lockstep", report.divergence, 1)
    if not quiet:
        cli.say(report.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
