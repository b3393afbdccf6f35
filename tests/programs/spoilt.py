"""Small runs that are spoilt on purpose, each in one way, and healthy ones; and what gpt.doctor finds in them, as a table.

    python tests/programs/spoilt.py [NAME …] [--seeds N …]

A run takes one to five seconds. The tests take seed 5; the limits were chosen on seeds 1, 11, 12 and 13.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from gpt import corpus, data, job, train
from gpt import model as model_file
from gpt.diagnosis import rules
from gpt.diagnosis.check import Check, explained, findings
from gpt.diagnosis.patient import admit
from gpt.errors import UserError
from gpt.run.state import Run
from tinytensor.nn import functional as F

SMALL = {
    "layers": 2, "width": 32, "heads": 2, "context": 32, "batch_size": 8, "steps": 300, "warmup": 20, "eval_every": 50,
    "eval_windows": 60, "threads": 1,
}  # fmt: skip
GPT2 = {"positions": "learned", "init": "gpt2"}
SEED = 5
ORIGINAL = data.batch
ATTENTION = F.scaled_dot_product_attention
SHARD = train.shard_gradient


@cache
def prose() -> str:
    """English prose of Python's own documentation."""
    return corpus.python_docs()


def nothing(run: Run) -> None:
    """Leave the run as it is."""


@dataclass
class Case:
    """A run: its flags, what is changed before its first step, what is replaced while it trains, what should be found."""

    expected: str = ""  # the one finding
    flags: dict[str, Any] = field(default_factory=dict)
    change: Callable[[Run], object] = nothing
    replaced: tuple[tuple[Any, str, Any], ...] = ()  # (where, name, by what)
    stays: bool = False  # whether it is still replaced when the doctor comes
    text: Callable[[], str] = lambda: prose()[:150_000]


def weights(suffix: str, change: Callable[[Any], object]) -> Callable[[Run], None]:
    """Return a function that changes all parameters whose name ends so."""

    def changed(run: Run) -> None:
        for name, parameter in run.model.named_parameters():
            if name.endswith(suffix):
                change(parameter.detach())

    return changed


def queries_and_keys(factor: float) -> Callable[[Run], None]:
    return weights("qkv.weight", lambda w: w[: 2 * w.shape[1]].mul_(factor))


def shuffled(ids: Any, config: Any, step: int, *rest: Any) -> data.Batch:
    """A batch whose targets belong to other inputs."""
    x, y = ORIGINAL(ids, config, step, *rest)
    return x, np.random.default_rng(step).permutation(y.reshape(-1)).reshape(y.shape)


def not_shifted(*arguments: Any) -> data.Batch:
    """A batch whose targets are the inputs."""
    x, _ = ORIGINAL(*arguments)
    return x, x.copy()


def one_odd_batch(ids: Any, config: Any, step: int, *rest: Any) -> data.Batch:
    """Batches of the text, but for step 150, which has noise."""
    x, y = ORIGINAL(ids, config, step, *rest)
    return (x, np.random.default_rng(0).integers(0, config.vocab_size, y.shape)) if step == 150 else (x, y)


def without_mask(q: Any, k: Any, v: Any, mask: Any, dropout: float, causal: bool, **rest: Any) -> Any:
    """Attention that sees the future."""
    return ATTENTION(q, k, v, mask, dropout, False, **rest)


def times_256(*arguments: Any, **more: Any) -> Any:
    """The gradient of a sum over the tokens of a batch, where it should be a mean."""
    model, x, y, share, *scale = arguments
    return SHARD(model, x, y, share * 256, *scale) / 256


def nan_at_120(model: Any, x: Any, y: Any, share: float, scale: Any = None) -> Any:
    """A loss that is nan once the counter of calls has passed 120."""
    nan_at_120.calls += 1  # type: ignore[attr-defined]
    return SHARD(model, x, y, share if nan_at_120.calls < 120 else math.nan, scale)  # type: ignore[attr-defined]


def without_residual(self: Any, x: Any) -> Any:
    """A block that replaces its input, where it should add to it."""
    x = self.attention(self.attention_norm(x))
    return self.feed_forward(self.feed_forward_norm(x))


def cut_embedding(run: Run) -> None:
    run.model.embedding.register_forward_hook(lambda module, args, output: output.detach())


def freeze_block(run: Run) -> None:
    run.model.blocks[1].requires_grad_(False)


CASES = {
    "default": Case(),
    "bytes": Case(flags={"tokenizer": "bytes"}),
    "bpe": Case(flags={"tokenizer": "bpe:512"}),
    "learned, gpt2's first weights": Case(flags={**GPT2, "bias": False, "activation": "gelu"}),
    "learned, tied, no bias": Case(flags={**GPT2, "bias": False, "tied": True, "learning_rate": 1e-3}),
    "rms, swiglu, grouped": Case(flags={"norm": "rms", "activation": "swiglu", "kv_heads": 1, "qk_norm": True}),
    "relu": Case(flags={"activation": "relu"}),
    "tanh, dropout": Case(flags={"activation": "tanh", "dropout": 0.1}),
    "short": Case(flags={"steps": 40, "warmup": 5, "eval_every": 20}),
    "short, gpt2's first weights": Case(flags={**GPT2, "steps": 60, "warmup": 10, "eval_every": 30}),
    "bigram": Case(flags={"model": "bigram"}),
    "learning rate × 100": Case("learning-rate-high", {"learning_rate": 0.3}),
    "learning rate / 100": Case("learning-rate-low", {"learning_rate": 3e-5}),
    "head × 8": Case("initial-loss", change=weights("head.weight", lambda w: w.mul_(8))),
    "all matrices × 6": Case("initial-loss", change=weights("", lambda w: w.mul_(6) if w.dim() > 1 else w)),
    "dead relus": Case("dead-units", {"activation": "relu"}, weights("up.bias", lambda b: b.fill_(-10))),
    "half of the relus dead": Case(
        "dead-units", {"activation": "relu"}, weights("0.feed_forward.up.bias", lambda b: b[::2].fill_(-10))
    ),
    "queries and keys × 30": Case("attention-saturated", change=queries_and_keys(30)),
    "queries and keys 0": Case("attention-uniform", change=queries_and_keys(0)),
    "embedding detached": Case("no-gradient", change=cut_embedding),
    "a block frozen": Case("no-gradient", change=freeze_block),
    "no residuals": Case(
        "gradient-layers", {"layers": 8, "init": "gpt2"}, replaced=((model_file.Block, "forward", without_residual),), stays=True
    ),
    "loss summed": Case("gradient-size", replaced=((train, "shard_gradient", times_256),)),
    "no mask": Case("future", replaced=((F, "scaled_dot_product_attention", without_mask),), stays=True),
    "no mask, mended since": Case("targets", replaced=((F, "scaled_dot_product_attention", without_mask),)),
    "targets not shifted": Case("targets", replaced=((data, "batch", not_shifted),)),
    "targets shuffled": Case("learned-nothing", replaced=((data, "batch", shuffled),)),
    "no positions": Case("no-order", replaced=((model_file, "rotary", lambda x, past=0: x),), stays=True),
    "validation in training": Case("overlap", text=lambda: prose()[:60_000] + prose()[20_000:26_700]),
    "4,000 characters": Case("overfitting", {"steps": 500, "width": 64}, text=lambda: prose()[:4000]),
    "a batch of noise": Case("spikes", replaced=((data, "batch", one_odd_batch),)),
    "nan": Case("not-finite", replaced=((train, "shard_gradient", nan_at_120),)),
}  # fmt: skip


@contextlib.contextmanager
def spoilt(case: Case) -> Iterator[None]:
    """A context in which the replaced parts are."""
    nan_at_120.calls = 0  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        for where, name, by in case.replaced:
            stack.enter_context(mock.patch.object(where, name, by))
        yield


def made(case: Case, folder: Path, seed: int = SEED) -> Path:
    """Train the run of a case in a new folder; return its run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text").write_text(case.text())
    flags = {**SMALL, **case.flags}
    if case.flags.get("model") == "bigram":
        flags = {name: value for name, value in flags.items() if name not in ("layers", "heads")}
    line = ["--data", str(folder / "text"), "--out", str(folder / "run"), "--seed", str(seed), "--quiet", "--no-plot"]
    line += [
        f"--no-{name}" if value is False else f"--{name}".replace("_", "-") + ("" if value is True else f"={value}")
        for name, value in flags.items()
    ]
    with spoilt(case), contextlib.suppress(UserError):
        run, out = job.open_run(options := job.parse(line))
        case.change(run)
        job.carry_out(run, out, options, train.train)
    return folder / "run"


def examined(case: Case, run: Path) -> list[Check]:
    """What the doctor finds in the run."""
    with spoilt(case) if case.stays else contextlib.nullcontext():
        return rules.examine(admit(run))


def ranges(found: list[tuple[Case, list[Check]]]) -> str:
    """A table of the numbers of each check: in healthy runs, and where they are odd, as a finding or following from one."""

    def between(numbers: list[float]) -> str:
        low, high = (f"{number:.2g}" for number in (min(numbers), max(numbers)))
        return low if low == high else f"{low} … {high}"

    lines = ["| check | in healthy runs | where it is odd |", "|---|---|---|"]
    for name in dict.fromkeys(check.name for _, checks in found for check in checks if check.value is not None):
        all_of = [(case, check) for case, checks in found for check in checks if check.name == name]
        healthy = [float(check.value or 0) for case, check in all_of if not case.expected]
        ill = [float(check.value or 0) for _, check in all_of if check.odd]
        lines.append(f"| {name} | {between(healthy) if healthy else ''} | {between(ill) if ill else ''} |")
    return "\n".join(lines)


def main() -> None:
    """Print a row for each run, then the ranges of the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED])
    options = parser.parse_args()
    print("| run | what is found | what follows from it | its number |\n|---|---|---|---|", flush=True)
    every, wrong = [], 0
    for name in options.names:
        for seed in options.seeds:
            case = CASES[name]
            with tempfile.TemporaryDirectory() as folder:
                checks = examined(case, made(case, Path(folder), seed))
            every.append((case, checks))
            found = findings(checks)
            right = [check.name for check in found] == [case.expected] * bool(case.expected)
            wrong += not right
            names = ", ".join(check.name for check in found) or "nothing"
            said = "; ".join(check.said for check in found)
            follow = ", ".join(explained(checks))
            print(f"| {name} | {names}{'' if right else ' **wrong**'} | {follow} | {said} |", flush=True)
    print(f"\n{ranges(every)}\n\n{wrong} of {len(every)} are wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
