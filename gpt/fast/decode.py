"""Decoding: one character through the GPT on bare arrays. It computes what the model computes with a cache.

The formulas are those of gpt/model.py and tinytensor/ops. For one character a kernel takes a few microseconds; Tensors,
modules and checks of arguments around it take longer, so without them text comes four times as fast. Two shortcuts: the
sums of a layer norm are inner products here, and its mean and deviation are plain numbers.

The model decides what is right. It reads the prompt and the first character after it. `ArrayGPT` reads that character
too, and goes on alone only if both predict the same. So a model that was changed still writes its own text, even if
nobody changed this file.

Several texts share the weights that they read. A large matrix is read from memory in parts, and each part is multiplied
by the vectors of all texts before the next one comes. The products are those of a text alone, so its bits are, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpt.build import Model
from gpt.cache import Cache, last_alone
from gpt.model import GPT
from gpt.rotary import turned, turns
from gpt.run.checks import parameter_shapes
from tinytensor import Tensor, from_numpy, tensor
from tinytensor.backend import Array
from tinytensor.nn.hooks import has_hooks
from tinytensor.ops.attention import attention_forward
from tinytensor.ops.gelu import gelu_tanh_forward
from tinytensor.ops.gelu_exact import gelu_forward
from tinytensor.ops.unary import relu_forward, silu_forward, tanh_forward

PART = 1 << 17  # numbers of a matrix: half a megabyte in float32, which stays in a core's own cache for all texts


class Reader:
    """reader(new) -> logits (V,) for the character after the new ones. Afterwards the cache, if any, has them too."""

    def __init__(self, model: Model, cache: Cache | None) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device
        # ArrayGPT calls no hooks.
        self.may_shortcut = type(model) is GPT and self.device.type == "cpu" and not has_hooks(model.modules())
        self.shortcut: ArrayGPT | None = None
        self.proven = False  # the shortcut predicted what the model predicted

    def __call__(self, new: list[int]) -> Tensor:
        if self.proven and len(new) == 1:
            assert self.shortcut is not None
            return from_numpy(self.shortcut(new[0]))
        guess = self._guess(new)
        ids = tensor([new], device=self.device)  # (1, T)
        with last_alone():
            logits, _ = (
                self.cache.read(self.model, ids) if self.cache else self.model(ids)
            )  # (1, 1, V); a Bigram's (1, T, V)
        last: Tensor = logits[0, -1].cpu()  # (V,)
        if guess is not None:
            difference = np.abs(guess - last.array).max()
            self.may_shortcut = self.proven = bool(difference <= 1e-4 * np.abs(guess).max())
        return last

    def _guess(self, new: list[int]) -> Array | None:
        """Return the prediction of the shortcut, where it may try. Leaves the cache as it was, for the model."""
        self.proven = False
        if not self.may_shortcut or len(new) > 1 or self.cache is None or self.cache.length == 0:
            return None
        if self.shortcut is None:
            self.may_shortcut = ArrayGPT.knows(self.model, self.cache)
            if not self.may_shortcut:
                return None
            self.shortcut = ArrayGPT(self.model, self.cache)
        guess = self.shortcut(new[0])
        self.cache.length -= 1
        return guess


def read_together(readers: Sequence[Reader], new: Sequence[list[int]]) -> list[Tensor]:
    """Return reader(new) of each reader, bit for bit. All read the same model; each has a cache of its own, or none."""
    quick = {
        i: reader.shortcut
        for i, (reader, ids) in enumerate(zip(readers, new))
        if reader.proven and len(ids) == 1 and reader.shortcut is not None
    }
    logits = dict(zip(quick, next_logits(list(quick.values()), [new[i][0] for i in quick]))) if quick else {}
    return [from_numpy(logits[i]) if i in logits else reader(ids) for i, (reader, ids) in enumerate(zip(readers, new))]


class Layer(NamedTuple):
    """Weights (O, I) or (C,), and biases (O,) or (C,) if there are any."""

    weight: Array
    bias: Array | None


@dataclass
class Block:
    """Memory and layers of a block; those that only some models have are None else."""

    scale: float  # of the scores
    keys: Array  # (G, context, D)
    values: Array
    attention_norm: Layer
    qkv: Layer
    projection: Layer
    feed_forward_norm: Layer
    up: Layer
    down: Layer
    gate: Layer | None = None
    q_norm: Layer | None = None
    k_norm: Layer | None = None


LAYERS = {
    "attention_norm": "attention_norm", "qkv": "attention.qkv", "projection": "attention.projection",
    "feed_forward_norm": "feed_forward_norm", "up": "feed_forward.up", "down": "feed_forward.projection",
    "gate": "feed_forward.gate", "q_norm": "attention.q_norm", "k_norm": "attention.k_norm",
}  # fmt: skip


class ArrayGPT:
    """array_gpt(token) -> logits (V,), an array, for the character after the token, which the cache then has too.

    It reads the weights in the model's own memory, by their names in its state_dict.
    """

    def __init__(self, model: Model, cache: Cache) -> None:
        self.config, self.cache = model.config, cache
        weights = {name: value.array for name, value in model.state_dict().items()}

        def layer(name: str) -> Layer:
            return Layer(weights[f"{name}.weight"], weights.get(f"{name}.bias"))

        self.embedding, self.norm, self.head = weights["embedding.weight"], layer("norm"), layer("head")
        self.rotary = self.config.positions == "rotary"
        if not self.rotary:
            self.positions = weights["position_embedding.weight"]  # (context, C)
        self.blocks = []
        for i, (attention, (keys, values)) in enumerate(cache.layers.items()):
            there = {
                name: f"blocks.{i}.{path}" for name, path in LAYERS.items() if f"blocks.{i}.{path}.weight" in weights
            }
            layers = {name: layer(path) for name, path in there.items()}
            self.blocks.append(Block(attention.scale, keys.array[0], values.array[0], **layers))
        C = self.config.width
        self.average = np.full(C, 1 / C, self.embedding.dtype)
        self.activation = ACTIVATIONS[self.config.activation]

    @staticmethod
    def knows(model: Model, cache: Cache) -> bool:
        """Return whether weights and cache have the names and shapes with which this class computes."""
        config = model.config
        memory = (1, config.groups, config.context, config.width // config.heads)
        shapes = parameter_shapes(config)
        return (
            {name: tuple(p.shape) for name, p in model.state_dict().items()}
            == {**shapes, "head.weight": shapes["embedding.weight"]}
            and len(cache.layers) == config.layers
            and all(tuple(part.shape) == memory for pair in cache.layers.values() for part in pair)
        )

    def __call__(self, token: int) -> Array:
        steps, y, layer = self.steps(token), None, None
        with np.errstate(all="ignore"):
            while layer is not self.head:
                x, layer = steps.send(y)
                (y,) = linear([x], *layer)
        self.cache.length += 1
        return y

    def steps(self, token: int) -> Generator[tuple[Array, Layer], Array, None]:
        """Yield a vector and a linear layer, be sent W x + b, and so on to the head, whose result are the logits (V,)."""
        position = self.cache.length
        x = self.embedding[token]  # (C,)
        turn = None
        if self.rotary:
            turn = turns(self.blocks[0].keys[:, :1], position)  # (1, D/2), the same for queries and keys of all blocks
        else:
            x = x + self.positions[position]
        for block in self.blocks:
            heads = yield self.normalised(x, *block.attention_norm), block.qkv  # (3C,)
            x = x + (yield self.attention(heads, turn, block), block.projection)
            rows = self.normalised(x, *block.feed_forward_norm)
            hidden = yield rows, block.up  # (4C,)
            gated = hidden if block.gate is None else (yield rows, block.gate)
            y, _ = self.activation(gated)
            x = x + (yield y if block.gate is None else y * hidden, block.down)
        yield self.normalised(x, *self.norm), self.head

    def attention(self, heads: Array, turn: Array | None, block: Block) -> Array:
        """Return the mixture (C,) of the values so far. heads (C + 2 G D,): query, keys and values of the character."""
        position, H, G = self.cache.length, self.config.heads, self.config.groups
        heads = heads.reshape(H + 2 * G, 1, -1)
        q, k, v = heads[:H], heads[H : H + G], heads[H + G :]  # (H, 1, D) and 2 of (G, 1, D)
        if block.q_norm is not None and block.k_norm is not None:
            q, k = self.root_mean_square(q, block.q_norm.weight), self.root_mean_square(k, block.k_norm.weight)
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        S = position + 1
        block.keys[:, position:S], block.values[:, position:S] = k, v
        q = q.reshape(G, H // G, -1)  # queries that share a head are its rows
        y, _ = attention_forward(q, block.keys[:, :S], block.values[:, :S], None, scale=block.scale, causal=False)
        return y.reshape(-1)  # (G, H / G, D) -> (C,)

    def root_mean_square(self, x: Array, w: Array) -> Array:
        """RMSNorm of each row of x (…, D)."""
        return x / np.sqrt(np.einsum("...d,...d->...", x, x)[..., None] / x.shape[-1] + self.config.norm_eps) * w

    def normalised(self, x: Array, w: Array, b: Array | None) -> Array:
        """The norm of x (C,)."""
        y = x if self.config.norm == "rms" else x - x.dot(self.average)
        y = y * (1 / math.sqrt(y.dot(y) / len(y) + self.config.norm_eps))
        y *= w
        if b is not None:
            y += b
        return y


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "gelu-tanh": partial(gelu_tanh_forward, save=False), "gelu": gelu_forward, "relu": relu_forward, "tanh": tanh_forward,
    "silu": silu_forward, "swiglu": silu_forward,
}  # fmt: skip


def next_logits(texts: Sequence[ArrayGPT], tokens: Sequence[int]) -> list[Array]:
    """Return text(token) of each text. They have the same weights; each has its own cache."""
    steps = [text.steps(token) for text, token in zip(texts, tokens)]
    products: list[Any] = [None] * len(texts)
    layer = None
    with np.errstate(all="ignore"):
        while layer is not texts[0].head:
            requests = [each.send(y) for each, y in zip(steps, products)]
            layer = requests[0][1]  # all are at the same layer
            products = linear([x for x, _ in requests], *layer)
    for text in texts:
        text.cache.length += 1
    return products


def linear(vectors: Sequence[Array], w: Array, b: Array | None) -> list[Array]:
    """W x + b for each vector x (I,), with W (O, I) → (O,). Each part of W is read once for all of them."""
    if w.size <= PART:
        rows = [w.dot(x) for x in vectors]
    else:
        height = max(8, PART // w.shape[1] // 8 * 8)
        rows = [np.empty(len(w), w.dtype) for _ in vectors]
        for start in range(0, len(w), height):
            part = w[start : start + height]
            for x, y in zip(vectors, rows):
                part.dot(x, out=y[start : start + height])
    if b is not None:
        for y in rows:
            y += b
    return rows
