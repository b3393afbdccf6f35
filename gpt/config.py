"""One typed, frozen configuration behind the model, the command line and the run folder.

Every field carries its help text, unit, group and rule. The command lines are built from these
fields (cli.py), a rule refuses an impossible value with what would be right, and a run folder
keeps all of them in `config.json`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpt.errors import UserError

TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Rule:
    """What a value must be: in words, for the message, and as a test."""

    text: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


SIZE = Rule("a whole number from 1 to 100,000,000", lambda n: 1 <= n <= 10**8)
LAYERS = Rule("a whole number from 1 to 1,000", lambda n: 1 <= n <= 1000)
COUNT = Rule("a whole number from 0 to 100,000,000", lambda n: 0 <= n <= 10**8)
SEED = Rule("a whole number from 0 to 2^63 - 1", lambda n: 0 <= n < 2**63)
POSITIVE = Rule("a number above 0", lambda x: x > 0)
NOT_NEGATIVE = Rule("a number of at least 0", lambda x: x >= 0)
SHARE = Rule("a number of at least 0 and below 1", lambda x: 0 <= x < 1)
FRACTION = Rule("a number from 0 to 1", lambda x: 0 <= x <= 1)
ANY = Rule("text", lambda _: True)
DEVICES = ("cpu", "cuda")


def one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices, choices)


def group(title: str) -> Callable[..., Any]:
    """Make the function that declares a field of the group `title`."""

    def declare(default: Any, text: str, rule: Rule, unit: str = "", shown: str = "") -> Any:
        """A field; `shown` describes a default that is worked out at run time."""
        metadata = {"group": title, "text": text, "rule": rule, "unit": unit, "shown": shown}
        return field(default=default, metadata=metadata)

    return declare


model_, transformer, text_ = group("model"), group("transformer"), group("text")
training, evaluation, machine = group("training"), group("evaluation"), group("machine")


@dataclass(frozen=True)
class GPTConfig:
    """Everything that decides the shape of a model and how its weights begin."""

    vocab_size: int = field(default=65, metadata={"rule": SIZE})  # the tokenizer decides, no flag
    model: str = model_("gpt", "transformer, or embedding and head", one_of("gpt", "bigram"))
    context: int = model_(128, "how far back the model sees", SIZE, "characters")
    width: int = model_(128, "length of an embedding", SIZE, "numbers")
    layers: int = transformer(2, "blocks", LAYERS)
    heads: int = transformer(4, "attention heads in a block, a divisor of the width", SIZE)
    positions: str = transformer("rotary", "how order enters", one_of("rotary", "learned"))
    gelu: str = transformer("tanh", "GELU by tanh, or exact", one_of("tanh", "exact"))
    bias: bool = transformer(True, "bias vectors in linear layers and norms", ANY)
    tied: bool = transformer(False, "the head uses the embedding's matrix", ANY)
    init: str = transformer(
        "fan-in", "how the weights begin: by the number of inputs, or GPT-2's", one_of("fan-in", "gpt2")
    )
    dropout: float = transformer(0.0, "share of activations set to zero", SHARE)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            check(each, getattr(self, each.name))
        if self.model == "gpt":
            self._check_heads()

    def _check_heads(self) -> None:
        if self.width % self.heads:
            small = range(1, min(self.width, 64) + 1)
            choices = ", ".join(str(heads) for heads in small if self.width % heads == 0)
            raise UserError(
                f"--heads {self.heads} does not divide --width {self.width}: with this width, heads can be {choices}"
            )
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            raise UserError(
                f"--positions rotary turns pairs of numbers, so a head needs an even width; "
                f"--width {self.width} over --heads {self.heads} is {self.width // self.heads}"
            )


@dataclass(frozen=True)
class TrainConfig(GPTConfig):
    """A model and everything that decides how it is trained: the whole of a run but its folder."""

    data: str = text_(
        "", "shakespeare, python-docs, or a path to a UTF-8 text", ANY,
        shown="shakespeare, or python-docs where that cannot be fetched",
    )  # fmt: skip
    seed: int = training(1337, "of the weights, the batches and dropout", SEED)
    steps: int = training(2000, "updates of the weights", SIZE, "steps")
    batch_size: int = training(8, "windows in a batch", SIZE, "windows")
    grad_accumulation: int = training(1, "batches averaged into one update", SIZE, "batches")
    learning_rate: float = training(3e-3, "AdamW's step size at its peak", POSITIVE)
    final_learning_rate: float = training(0.0, "and after the last step", NOT_NEGATIVE)
    warmup: int = training(50, "updates over which the learning rate rises", COUNT, "steps")
    decay: float = training(0.4, "last share of the steps, over which it falls", FRACTION)
    decay_shape: str = training("linear", "how it falls", one_of("linear", "cosine"))
    beta1: float = training(0.9, "AdamW's memory of gradients", SHARE)
    beta2: float = training(0.95, "AdamW's memory of squared gradients", SHARE)
    weight_decay: float = training(0.1, "AdamW's, of matrices; vectors have none", NOT_NEGATIVE)
    grad_clip: float = training(1.0, "largest norm of the gradient; 0: any", NOT_NEGATIVE)
    eval_every: int = evaluation(200, "updates between evaluations; each one saves", SIZE, "steps")
    eval_windows: int = evaluation(
        160, "evenly spaced windows of the validation split that these take", SIZE, "windows"
    )
    dtype: str = machine(
        "float32",
        "precision of all numbers; float16: with a loss scale, and masters of the weights in float32; for a GPU, since NumPy "
        "multiplies such matrices slowly",
        one_of("float16", "float32", "float64"),
    )
    tf32: bool = machine(
        False, "multiply float32 matrices in TF32, 10 bits of mantissa: faster from Ampere on, --device cuda alone", ANY
    )
    device: str = machine("cpu", "where the arrays live", one_of(*DEVICES))
    cuda_graph: bool = machine(
        False, "record an update as a CUDA graph, one launch from then on; same numbers, --device cuda alone", ANY
    )
    threads: int = machine(
        0, "threads that share a batch; they decide the order of sums, so the last bits", COUNT,
        shown="the usable cores",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads > self.batch_size:
            raise UserError(
                f"--threads {self.threads} cannot share --batch-size {self.batch_size}: "
                f"use at most as many threads as the batch has windows"
            )
        if self.tf32 and (self.device == "cpu" or self.dtype != "float32"):
            raise UserError(
                f"--tf32 rounds a GPU's products of float32, not those of --device {self.device} --dtype {self.dtype}; "
                f"take --no-tf32"
            )
        if self.cuda_graph and self.device == "cpu":
            raise UserError("--cuda-graph records what a GPU does: take --device cuda, or --no-cuda-graph")
        if self.cuda_graph and self.threads > 1:
            raise UserError(f"--cuda-graph records one thread, not --threads {self.threads}; leave that out")


def check(each: dataclasses.Field[Any], value: object) -> None:
    """Raise UserError unless `value` has the field's type, is finite and obeys its rule."""
    rule, kind = each.metadata["rule"], TYPES[str(each.type)]
    allowed: tuple[type, ...] = (int, float) if kind is float else (kind,)
    right_type = isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
    finite = not isinstance(value, float) or math.isfinite(value)
    if not (right_type and finite and rule.holds(value)):
        wanted = "true or false" if kind is bool else rule.text
        raise UserError(f"{flag(each.name)} {value}: it must be {wanted}")


def flag(name: str) -> str:
    """The command-line spelling of a field: batch_size -> --batch-size."""
    return "--" + name.replace("_", "-")


NEWER = {"cuda_graph", "tf32"}  # what runs made by older versions do not have: the default is what they did


def from_dict(values: object, source: str) -> TrainConfig:
    """The configuration that `dataclasses.asdict` gave; `source` names it in errors."""
    names = {each.name for each in dataclasses.fields(TrainConfig)}
    found = set(values) if isinstance(values, dict) else set()
    if not isinstance(values, dict) or found | NEWER != names:
        raise UserError(
            f"{source} is not a run's configuration: "
            f"missing {sorted(names - found - NEWER)}, unexpected {sorted(found - names)}"
        )
    try:
        return TrainConfig(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


RECIPES = {
    # Chosen for the loss it reaches in about a minute on two cores. Rotary positions and blocks
    # that begin as the identity let a learning rate four times nanoGPT's work from the start.
    "default": TrainConfig(),
    # The CPU recipe in nanoGPT's README (config/train_shakespeare_char.py with its arguments).
    # Its validation loss averages 20 random batches; ours takes as many windows, evenly spaced.
    "nanogpt": TrainConfig(
        layers=4,
        heads=4,
        width=128,
        context=64,
        positions="learned",
        gelu="exact",
        bias=False,
        tied=True,
        init="gpt2",
        dropout=0.0,
        steps=2000,
        batch_size=12,
        learning_rate=1e-3,
        final_learning_rate=1e-4,
        warmup=100,
        decay=1.0,
        decay_shape="cosine",
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.1,
        grad_clip=1.0,
        eval_every=250,
        eval_windows=240,
    ),
}
