"""tinytensor: a tensor engine with autograd that reads in an evening, in NumPy. It speaks a subset of PyTorch.

    >>> import tinytensor as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])

Reading order: primitive.py (the table), ops/ (the pairs), tape.py (record and play back), tensor.py, nn/, optim/.
"""

from __future__ import annotations

import builtins
from math import e, inf, nan, pi
from typing import TYPE_CHECKING

# fmt: off
# isort: off
from tinytensor.tensor import Size, Tensor
from tinytensor.base import is_tensor
from tinytensor.creation import (
    BoolTensor, ByteTensor, DoubleTensor, FloatTensor, HalfTensor, IntTensor, LongTensor, arange, as_tensor, empty,
    empty_like, eye, from_numpy, full, full_like, linspace, ones, ones_like, tensor,
    zeros, zeros_like,
)
from tinytensor.random import (
    Generator, bernoulli, get_rng_state, initial_seed, manual_seed, multinomial, normal, rand, rand_like, randint,
    randn, randn_like, randperm, seed, set_rng_state,
)
from tinytensor.functions import (
    abs, add, addcdiv, addcmul, addmm, all, allclose, amax, amin, any, argmax, argmin, argsort, baddbmm,
    bincount, bmm, cat, ceil, chunk, clamp, clip, concat, cos, cumsum, div, dot, einsum, eq,
    equal, erf, exp, expm1, flatten, flip, floor, floor_divide, gather, ge, gt, histogram, index_add,
    index_copy, index_fill, index_select, isfinite, isinf, isnan, le, lerp, log, log10, log1p, log2,
    log_softmax, logical_and, logical_not, logical_or, logsumexp, lt, masked_fill, masked_select, matmul, max,
    maximum, mean, min, minimum, mm, movedim, mul, mv, narrow, ne, neg, nonzero, norm, outer,
    permute, pow, prod, reciprocal, relu, remainder, repeat_interleave, reshape, roll, round, rsqrt, scatter,
    scatter_add, select, sigmoid, sign, sin, softmax, sort, split, sqrt, square, squeeze, stack, std, sub, sum,
    t, tanh, topk, transpose, tril, triu, trunc, unbind, unique, unsqueeze, var, where,
)
from tinytensor.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.devices import device
from tinytensor.dtypes import (
    bfloat16, bool, double, dtype, float, float16, float32, float64, half, int, int32, int64, long, uint8,
)
from tinytensor.layouts import contiguous_format, layout, memory_format, preserve_format, strided
from tinytensor.compat.settings import (
    compile, get_default_dtype, get_float32_matmul_precision, get_num_threads, set_default_device, set_default_dtype,
    set_float32_matmul_precision, set_num_threads, set_printoptions,
)
from tinytensor.subset import outside as _outside
if TYPE_CHECKING:
    from tinytensor import amp, autograd, cuda, nn, optim, profiler, serialization, utils
    from tinytensor.compat import accelerator, as_torch, backends, distributed, settings
    from tinytensor.amp import autocast
    from tinytensor.cuda import OutOfMemoryError
    from tinytensor.serialization import load, save
    from tinytensor.utils.dlpack import from_dlpack
# isort: on
# fmt: on

__version__ = "0.1.0"


def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
    return input.numel()


# Imported on first use: not every script needs them.
_rooms = (
    "accelerator",
    "amp",
    "as_torch",
    "autograd",
    "backends",
    "cuda",
    "distributed",
    "nn",
    "optim",
    "profiler",
    "serialization",
    "settings",
    "utils",
)
_later = {room: f"tinytensor.{room}" for room in _rooms}
_later |= {"OutOfMemoryError": "tinytensor.cuda", "from_dlpack": "tinytensor.utils.dlpack"}
_later |= {"autocast": "tinytensor.amp", "load": "tinytensor.serialization", "save": "tinytensor.serialization"}
__getattr__ = _outside("tinytensor", _later)


def __dir__() -> list[str]:
    return sorted({*globals(), *_later})
