"""The cache: what attention keeps of the text so far, so that generating computes each token once.

    y_t = Σ_s softmax_s(q_t · k_s / √D) v_s,   s ≤ t

The key k_s and the value v_s depend on the tokens up to s alone; text that is added later does not change them.
So a cache keeps them, and one more token costs one more row of the sum instead of all rows.

Training has no cache. `past` returns 0 then, and `extend` returns what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn


class Cache:
    """Keys and values of the `length` tokens so far, with room for `context` of them.

    It serves inference: the model has to run without gradients.
    """

    def __init__(self, context: int) -> None:
        self.context = context
        self.length = 0
        self.layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}  # keys and values, (B, H, context, D) each

    def read(self, model: nn.Module, ids: Tensor, targets: Tensor | None = None) -> Any:
        """Return model(ids, targets), where ids (B, T) follow the tokens in the cache. Then the cache has them too."""
        before = _current.set(self)
        try:
            output = model(ids, targets)
        finally:
            _current.reset(before)
        self.length += ids.shape[1]  # at the end: a forward that is interrupted leaves the cache as it was
        return output

    def extend(self, layer: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keep the keys and values (B, H, T, D) of T new tokens; return those of all S = length + T, and a mask.

        The mask (T, S) is True where a new token may look: row t at the past and at the new ones up to t.
        It is None where a row needs none (T = 1), and where there is no past: `is_causal` means the same then.
        """
        if layer not in self.layers:
            B, H, _, D = k.shape
            self.layers[layer] = k.new_zeros(B, H, self.context, D), v.new_zeros(B, H, self.context, D)
        keys, values = self.layers[layer]
        past, T = self.length, k.shape[2]
        S = past + T
        keys[:, :, past:S] = k
        values[:, :, past:S] = v
        mask = k.new_ones(T, S).tril(past) == 1 if past and T > 1 else None
        return keys[:, :, :S], values[:, :, :S], mask

    def copy(self, other: Cache) -> None:
        """Take the tokens of another cache: of its memory the part that they fill."""
        self.length = n = other.length
        for layer, (keys, values) in other.layers.items():
            own = self.layers[layer] = keys.new_zeros(*keys.shape), values.new_zeros(*values.shape)
            own[0][:, :, :n], own[1][:, :, :n] = keys[:, :, :n], values[:, :, :n]

    def clear(self) -> None:
        """Forget the tokens. The memory stays, for the next ones."""
        self.length = 0


# The cache of the forward that runs now. Each thread has its own; None outside `Cache.read`, so always in training.
_current: ContextVar[Cache | None] = ContextVar("cache", default=None)


def past() -> int:
    """Return how many tokens the cache has; 0 without a cache."""
    cache = _current.get()
    return 0 if cache is None else cache.length


def extend(layer: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the keys and values of the past and of the new tokens, and a mask; without a cache k, v and None."""
    cache = _current.get()
    return (k, v, None) if cache is None else cache.extend(layer, k, v)


# Whether the forward that runs now is asked for the last prediction of each window alone, as text needs it.
_last: ContextVar[bool] = ContextVar("last", default=False)


@contextmanager
def last_alone() -> Iterator[None]:
    """A context in which a model returns the last prediction of each window alone, (B, 1, V): the others cost as much each."""
    before = _last.set(True)
    try:
        yield
    finally:
        _last.reset(before)


def asked(x: Tensor) -> Tensor:
    """Return the rows of x (B, T, C) whose predictions are asked for: all, but within `last_alone`."""
    return x[:, -1:] if _last.get() else x
