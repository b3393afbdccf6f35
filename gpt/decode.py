"""One token through the GPT on bare arrays: what `model(ids, cache=cache)` computes for a single one.

The formulas are those of gpt/model.py and tinytensor/ops. For one token a kernel takes a few microseconds, and what
stands around it, Tensors, modules and checks of arguments, takes longer: text comes four times as fast without. And
for a single vector the sums of a layer norm are inner products, its mean and deviation mere numbers.

The model stays what counts. It reads prompts, and the first token after one: a step reads that too, and only where it
comes to the same prediction does it go on alone. So a model that was changed, and this file not, still writes its text.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from gpt.cache import Cache
from gpt.model import GPT, Bigram
from gpt.rotary import complex_of, turns
from tinytensor import Tensor, from_numpy, tensor
from tinytensor.backend import Array
from tinytensor.ops.attention import attention_forward
from tinytensor.ops.gelu import gelu_tanh_forward
from tinytensor.ops.gelu_exact import gelu_forward


class Reader:
    """reader(new) -> logits (V,) for the token after the new ones, which the cache, if any, then has as well."""

    def __init__(self, model: GPT | Bigram, cache: Cache | None) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device
        hooked = any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())  # a step calls none
        self.may_step = type(model) is GPT and self.device.type == "cpu" and not hooked
        self.step: Step | None = None
        self.proven = False  # the last step came to the model's prediction

    def __call__(self, new: list[int]) -> Tensor:
        if self.proven and len(new) == 1:
            assert self.step is not None
            return from_numpy(self.step(new[0]))
        guess = self._guess(new)
        logits, _ = self.model(tensor([new], device=self.device), cache=self.cache)  # (1, T, V)
        last: Tensor = logits[0, -1].cpu()  # (V,)
        if guess is not None:
            difference = np.abs(guess - last.array).max()
            self.may_step = self.proven = bool(difference <= 1e-4 * np.abs(guess).max())
        return last

    def _guess(self, new: list[int]) -> Array | None:
        """What a step predicts, where it may try; the cache is left as it was, for the model to read the same."""
        self.proven = False
        if not self.may_step or len(new) > 1 or self.cache is None or self.cache.length == 0:
            return None
        try:
            self.step = self.step or Step(self.model, self.cache)
            guess = self.step(new[0])
        except (AttributeError, LookupError, ValueError):  # other weights or shapes: not the model that a step knows
            self.may_step = False
            return None
        self.cache.length -= 1
        return guess


class Step:
    """step(token) -> logits (V,) for the token after it, as an array; the cache then has this one as well.

    Weights are the model's own memory, under their names in its state_dict. LookupError if they are not the GPT's.
    """

    def __init__(self, model: GPT | Bigram, cache: Cache) -> None:
        self.config, self.cache = model.config, cache
        weights = {name: value.array for name, value in model.state_dict().items()}

        def pair(name: str) -> tuple[Array, Array | None]:
            """A layer's weight and bias. What is looked up here, a token need not look up."""
            return weights.pop(f"{name}.weight"), weights.pop(f"{name}.bias", None)

        self.embedding, _ = pair("embedding")  # (V, C)
        learned = self.config.positions == "learned"
        self.positions = pair("position_embedding")[0] if learned else None  # (context, C)
        self.blocks = []
        for i, memory in enumerate(cache.layers.values()):
            keys, values = (part.array[0] for part in memory)  # (H, context, D) each
            self.blocks.append((*(pair(f"blocks.{i}.{layer}") for layer in LAYERS), keys, values))
        self.norm, self.head = pair("norm"), pair("head")
        if weights:
            raise LookupError(f"weights without a place in a step: {', '.join(weights)}")
        C = self.config.width
        self.average = np.full(C, 1 / C, self.embedding.dtype)
        self.gelu = partial(gelu_tanh_forward, save=False) if self.config.gelu == "tanh" else gelu_forward

    def __call__(self, token: int) -> Array:
        position = self.cache.length
        x = self.embedding[token]  # (C,)
        turn = None
        if self.positions is not None:
            x = x + self.positions[position]
        else:
            turn = turns(position, 1, len(x) // self.config.heads, complex_of(x.dtype), np)  # (1, D/2)
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
        """What the cache and the token itself offer to it, (C,); heads (3C,) are its query, key and value."""
        position, H, D = self.cache.length, self.config.heads, keys.shape[-1]
        heads = heads.reshape(3, H, 1, D)
        q, k, v = heads  # (H, 1, D) each
        if turn is not None:
            q, k = (heads[:2].view(turn.dtype) * turn).view(heads.dtype)
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


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """W x + b: x (I,), W (O, I) → (O,)."""
    y = w.dot(x)
    if b is not None:
        y += b
    return y
