"""Decoding: one character through the GPT on bare arrays. It computes what the model computes with a cache.

The formulas are those of gpt/model.py and tinytensor/ops. For one character a kernel takes a few microseconds; Tensors,
modules and checks of arguments around it take longer, so without them text comes four times as fast. Two shortcuts: the
sums of a layer norm are inner products here, and its mean and deviation are plain numbers.

The model decides what is right. It reads the prompt and the first character after it. `ArrayGPT` reads that character
too, and goes on alone only if both predict the same. So a model that was changed still writes its own text, even if
nobody changed this file.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from gpt.build import Model
from gpt.cache import Cache
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.rotary import turned, turns
from tinytensor import Tensor, from_numpy, tensor
from tinytensor.backend import Array
from tinytensor.nn.hooks import has_hooks
from tinytensor.ops.attention import attention_forward
from tinytensor.ops.gelu import gelu_tanh_forward
from tinytensor.ops.gelu_exact import gelu_forward


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
        logits, _ = self.cache.read(self.model, ids) if self.cache else self.model(ids)  # (1, T, V)
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


class Layer(NamedTuple):
    """Weights (O, I) or (C,), and biases (O,) or (C,) if there are any."""

    weight: Array
    bias: Array | None


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
        for i, memory in enumerate(cache.layers.values()):
            keys, values = (part.array[0] for part in memory)  # (H, context, D) each
            self.blocks.append((*(layer(f"blocks.{i}.{name}") for name in LAYERS), keys, values))
        C = self.config.width
        self.average = np.full(C, 1 / C, self.embedding.dtype)
        self.gelu = partial(gelu_tanh_forward, save=False) if self.config.gelu == "tanh" else gelu_forward

    @staticmethod
    def knows(model: Model, cache: Cache) -> bool:
        """Return whether weights and cache have the names and shapes with which this class computes."""
        config = model.config
        memory = (1, config.heads, config.context, config.width // config.heads)
        return (
            {name: tuple(value.shape) for name, value in model.state_dict().items()} == shapes(config)
            and len(cache.layers) == config.layers
            and all(tuple(part.shape) == memory for pair in cache.layers.values() for part in pair)
        )

    def __call__(self, token: int) -> Array:
        position = self.cache.length
        x = self.embedding[token]  # (C,)
        turn = None
        if self.rotary:
            turn = turns(self.blocks[0][-1][:, :1], position)  # (1, D/2), the same for queries and keys of all blocks
        else:
            x = x + self.positions[position]
        with np.errstate(all="ignore"):
            for attention_norm, qkv, projection, feed_forward_norm, up, down, keys, values in self.blocks:
                heads = linear(self.normalised(x, *attention_norm), *qkv)  # (3C,)
                x = x + linear(self.attention(heads, turn, keys, values), *projection)
                hidden, _ = self.gelu(linear(self.normalised(x, *feed_forward_norm), *up))  # (4C,)
                x = x + linear(hidden, *down)
            logits = linear(self.normalised(x, *self.norm), *self.head)  # (V,)
        self.cache.length += 1
        return logits

    def attention(self, heads: Array, turn: Array | None, keys: Array, values: Array) -> Array:
        """Return the mixture (C,) of the values so far. heads (3C,) are the query, key and value of the character."""
        position, H, D = self.cache.length, self.config.heads, keys.shape[-1]
        heads = heads.reshape(3, H, 1, D)
        q, k, v = heads  # (H, 1, D) each
        if turn is not None:
            q, k = turned(heads[:2], turn)
        S = position + 1
        keys[:, position:S], values[:, position:S] = k, v
        y, _ = attention_forward(q, keys[:, :S], values[:, :S], None, scale=D**-0.5, causal=False)
        return y.reshape(-1)  # (H, 1, D) -> (C,)

    def normalised(self, x: Array, w: Array, b: Array | None) -> Array:
        """Layer norm of x (C,)."""
        y = x - x.dot(self.average)
        y *= 1 / math.sqrt(y.dot(y) / len(y) + EPS)
        y *= w
        if b is not None:
            y += b
        return y


EPS = 1e-5  # nn.LayerNorm's
LAYERS = (
    "attention_norm", "attention.qkv", "attention.projection",
    "feed_forward_norm", "feed_forward.up", "feed_forward.projection",
)  # fmt: skip


def shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every entry of the state_dict with which ArrayGPT computes.

    They are written down here, not taken from gpt/run/checks.py, since that changes with the model, and this file may not.
    """
    V, C = config.vocab_size, config.width
    layers: dict[str, tuple[int, ...]] = {"norm": (C,)}
    for i in range(config.layers):
        sizes = (C,), (3 * C, C), (C, C), (C,), (4 * C, C), (C, 4 * C)
        layers |= {f"blocks.{i}.{name}": size for name, size in zip(LAYERS, sizes, strict=True)}
    found = {f"{name}.weight": size for name, size in layers.items()}
    if config.bias:
        found |= {f"{name}.bias": size[:1] for name, size in layers.items()}
    found |= {"embedding.weight": (V, C), "head.weight": (V, C)}
    if config.positions == "learned":
        found["position_embedding.weight"] = (config.context, C)
    return found


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """W x + b: x (I,), W (O, I) → (O,)."""
    y = w.dot(x)
    if b is not None:
        y += b
    return y
