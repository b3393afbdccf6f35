"""What attention remembers of the characters before, so that each goes through the model once.

    y_t = Σ_s softmax_s(q_t · k_s / √D) v_s,   s ≤ t

k_s and v_s depend on the characters up to s alone: text that is added later does not change them. With them kept, one
more character costs one column of the sums, and not the whole square.
"""

from __future__ import annotations

from torch import Tensor, nn


class Cache:
    """Keys and values of `length` characters, with room for `context`: `model(ids, cache=cache)` goes on from them.

    It is for reading, without gradients. A model adds to the length when a forward is through, so one that was
    interrupted has left nothing behind.
    """

    def __init__(self, context: int) -> None:
        self.context = context
        self.length = 0
        self.layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Take in a layer's k and v, (B, H, T, D) each; give all that it has by then, (B, H, S, D), S = length + T."""
        if layer not in self.layers:
            B, H, _, D = k.shape
            self.layers[layer] = k.new_zeros(B, H, self.context, D), v.new_zeros(B, H, self.context, D)
        keys, values = self.layers[layer]
        S = self.length + k.shape[2]
        keys[:, :, self.length : S] = k
        values[:, :, self.length : S] = v
        return keys[:, :, :S], values[:, :, :S]

    def clear(self) -> None:
        """Forget the characters; the room for them stays."""
        self.length = 0
