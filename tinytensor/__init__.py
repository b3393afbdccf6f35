"""tinytensor: a tensor engine with autograd that reads in an evening, in NumPy. It speaks a subset of PyTorch.

    >>> import tinytensor as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])

Reading order: primitive.py (the table), ops/ (the pairs), tape.py (record and play back), tensor.py, nn/, optim/.
"""

from __future__ import annotations

from tinytensor import ctrl_c  # isort: skip  # first: it lets Ctrl-C end a program quietly while the rest is imported
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
    abs, abs_, absolute, add, addcdiv, addcmul, addmm, all, allclose, amax, amin, any, argmax, argmin, argsort,
    baddbmm, bincount, bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor,
    bmm, cat, ceil, ceil_, chunk, clamp, clamp_, clip, clip_, clone, concat, concatenate, cos, cos_, cumsum, detach,
    detach_, div, divide, dot, einsum, eq, equal, erf, erf_, exp, exp_, expm1, expm1_, fill_, fix, fix_, flatten,
    flip, floor, floor_, floor_divide, gather, ge, ger, greater, greater_equal, gt, histogram, index_add,
    index_copy, index_fill, index_select, is_floating_point, isfinite, isinf, isnan, le, lerp, less, less_equal,
    log, log10, log10_, log1p, log1p_, log2, log2_, log_, log_softmax, logical_and, logical_not, logical_or,
    logical_xor, logsumexp, lt, masked_fill, masked_select, matmul, max, maximum, mean, min, minimum, mm, moveaxis,
    movedim, mul, multiply, mv, narrow, ne, neg, neg_, negative, negative_, nonzero, norm, not_equal, outer,
    permute, positive, pow, prod, reciprocal, reciprocal_, relu, relu_, remainder, repeat_interleave, reshape, roll,
    round, round_, rsqrt, rsqrt_, scatter, scatter_add, select, sigmoid, sigmoid_, sign, sin, sin_, softmax, sort,
    split, sqrt, sqrt_, square, square_, squeeze, stack, std, sub, subtract, sum, swapaxes, swapdims, t, tanh,
    tanh_, topk, transpose, tril, triu, true_divide, trunc, trunc_, unbind, unique, unsqueeze, var, where, zero_,
)
from tinytensor.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.devices import device
from tinytensor.dtypes import (
    bfloat16, bool, double, dtype, float, float16, float32, float64, half, int, int32, int64, long, uint8,
)
from tinytensor.compat.settings import (
    compile, get_default_dtype, get_float32_matmul_precision, get_num_threads, set_default_device, set_default_dtype,
    set_float32_matmul_precision, set_num_threads, set_printoptions,
)
from tinytensor.formats import contiguous_format, layout, memory_format, preserve_format, strided
from tinytensor.functions.signature import publish as _publish
from tinytensor.functions.signature import publish_methods as _publish_methods
from tinytensor.subset import outside as _outside
if TYPE_CHECKING:
    from tinytensor import amp, autograd, cuda, distributed, nn, optim, profiler, serialization, utils
    from tinytensor.compat import accelerator, as_torch, backends, settings
    from tinytensor.amp import autocast
    from tinytensor.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
    from tinytensor.cuda import OutOfMemoryError
    from tinytensor.inside.draw import draw
    from tinytensor.inside.explain import explain
    from tinytensor.inside.trace import trace
    from tinytensor.inside.why import why
    from tinytensor.serialization import load, save
    from tinytensor.utils.dlpack import from_dlpack
# isort: on
# fmt: on

__version__ = "0.1.0"


def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
    return input.numel()


_publish(globals(), __name__)
_publish_methods(Tensor)

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
_later |= dict.fromkeys(["is_anomaly_check_nan_enabled", "is_anomaly_enabled"], "tinytensor.autograd.anomaly_mode")
_later["set_anomaly_enabled"] = "tinytensor.autograd.anomaly_mode"
_later |= {name: f"tinytensor.inside.{name}" for name in ("draw", "explain", "trace", "why")}
_later |= {"autocast": "tinytensor.amp", "load": "tinytensor.serialization", "save": "tinytensor.serialization"}
__getattr__ = _outside("tinytensor", _later)


def __dir__() -> list[str]:
    return sorted({*globals(), *_later})
