"""clip_grad_norm_: bound the length of the gradient, so that one bad batch cannot throw the weights far away."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinytensor.base import wrap
from tinytensor.creation import tensor
from tinytensor.nn.clip_base import clip_on_gpu, gradients_of, must_be_finite, total_norm
from tinytensor.tensor import Tensor


@np.errstate(all="ignore")  # an infinite gradient · 0 is nan, not a warning
def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float | Tensor, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:  # fmt: skip
    """g ← g · min(1, max_norm / (norm + 1e-6)) for all gradients g, in place. Returns the norm before clipping.

    norm = (Σ |g|ᵖ)^(1/p) over every element of every gradient, p = norm_type; the maximum for p = ∞. It is float32 for
    float16 gradients. RuntimeError for a norm that is nan or infinite, if error_if_nonfinite.
    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    """
    gradients = gradients_of(parameters, foreach)  # with AdamW(fused=True) one vector for each of its groups
    if not gradients:
        return tensor(0.0)
    if not isinstance(gradients[0], np.ndarray):
        return wrap(clip_on_gpu(gradients, max_norm, norm_type, error_if_nonfinite))  # the same, without waiting
    norm = total_norm(gradients, norm_type)  # the length of all gradients together, as if they were one vector
    must_be_finite(norm, norm_type, error_if_nonfinite)
    factor = float(max_norm) / (float(norm) + 1e-6)  # 1e-6: a gradient of zeros must not divide by 0
    if not factor >= 1:  # factor < 1, or nan, which has to show in the weights; the direction stays the same
        for g in gradients:
            wide = np.float32 if g.dtype == np.float16 else g.dtype  # in float16 a small factor has few digits
            np.multiply(g, factor, out=g, dtype=wide, casting="same_kind")
    return wrap(norm)
