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

# fmt: off
# isort: off
from tinytensor.tensor import Size, Tensor
from tinytensor.creation import (
    arange, as_tensor, empty, empty_like, eye, from_numpy, full, full_like, linspace, ones, ones_like, tensor,
    zeros, zeros_like,
)
from tinytensor.random import (
    Generator, initial_seed, manual_seed, multinomial, rand, rand_like, randint, randn, randn_like, randperm,
)
from tinytensor.functions import (
    abs, add, all, allclose, amax, amin, any, argmax, argmin, cat, chunk, clamp, clip, concat, cos, cumsum, div,
    einsum, eq, equal, exp, flatten, flip, floor_divide, gather, ge, gt, isfinite, isinf, isnan, le, log, log10, log2,
    log_softmax, logical_and, logical_not, logical_or, logsumexp, lt, masked_fill, matmul, max, maximum, mean,
    min, minimum, movedim, mul, ne, neg, norm, outer, permute, pow, prod, relu, remainder, reshape, roll, rsqrt,
    sigmoid, sin, softmax, sort, split, sqrt, square, squeeze, stack, std, sub, sum, t, tanh, topk, transpose,
    tril, triu, unbind, unique, unsqueeze, var, where,
)
from tinytensor.tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.backend import device
from tinytensor.dtypes import (
    bool, double, dtype, float, float16, float32, float64, half, int, int32, int64, long,
)
from tinytensor import autograd, cuda, nn, optim, utils
from tinytensor.serialization import load, save
from tinytensor.subset import outside as _outside
# isort: on
# fmt: on

__version__ = "0.1.0"


def is_tensor(obj: object) -> builtins.bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
    return input.numel()


__getattr__ = _outside("tinytensor")
