"""PyTorch's functions on Tensors, in rooms named like those of the kernels (`tinytensor.ops`).

A function here checks its arguments, settles the dtype by PyTorch's rules and calls one primitive, or it is a
line or two on top of others. Most are methods of Tensor as well: `Tensor.exp` is `exp` with the Tensor first.
"""

from __future__ import annotations

from tinytensor.functions.indexing import gather, sort, topk
from tinytensor.functions.linalg import einsum, matmul, outer
from tinytensor.functions.pointwise import (
    abs, add, clamp, clip, cos, div, eq, exp, floor_divide, ge, gt, isfinite, isinf, isnan, le, log, log2, log10,
    logical_and, logical_not, logical_or, lt, masked_fill, maximum, minimum, mul, ne, neg, pow, relu, remainder,
    rsqrt, sigmoid, sin, sqrt, square, sub, tanh, where,
)  # fmt: skip
from tinytensor.functions.reduction import (
    all, allclose, amax, amin, any, argmax, argmin, cumsum, equal, log_softmax, logsumexp, max, mean, min, norm,
    prod, softmax, std, sum, var,
)  # fmt: skip
from tinytensor.functions.shape import (
    cat, chunk, concat, contiguous, expand, expand_as, flatten, movedim, permute, repeat, reshape, roll, split,
    squeeze, stack, t, transpose, tril, triu, unbind, unsqueeze, view, view_as,
)  # fmt: skip
