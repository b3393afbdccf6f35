"""Matrix products: `a @ b` and einsum.

    y = a b        da = dy bᵀ        db = aᵀ dy

Source: M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation",
2008, 2.2.2.
"""

from __future__ import annotations

import math

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import contraction, product


def matmul_forward(a: Array, b: Array) -> Output:
    if a.ndim > 2 and b.ndim == 2 and a.shape[-1] == len(b):  # one large product instead of many small ones
        return product(a.reshape(math.prod(a.shape[:-1]), len(b)), b).reshape(*a.shape[:-1], b.shape[1]), (a, b)
    return in_order(product(a, b)), (a, b)


def matmul_backward(dy: Array, a: Array, b: Array, *, needs: tuple[bool, bool] = (True, True)) -> Gradients:
    if a.ndim > 2 and b.ndim == 2:
        n = math.prod(a.shape[:-1])
        rows, dy = a.reshape(n, len(b)), dy.reshape(n, b.shape[1])
        return product(dy, b.T).reshape(a.shape) if needs[0] else None, product(rows.T, dy) if needs[1] else None
    a2 = a if a.ndim > 1 else a[None, :]  # a vector is a matrix of one row (left) or one column (right)
    b2 = b if b.ndim > 1 else b[:, None]
    if a.ndim == 1:
        dy = np.expand_dims(dy, -2 if b.ndim > 1 else -1)
    if b.ndim == 1:
        dy = np.expand_dims(dy, -1)
    da = unbroadcast(product(dy, b2.swapaxes(-1, -2)), a2.shape).reshape(a.shape) if needs[0] else None
    db = unbroadcast(product(a2.swapaxes(-1, -2), dy), b2.shape).reshape(b.shape) if needs[1] else None
    return da, db


MATMUL = primitive(
    "matmul", matmul_forward, matmul_backward, formula="y = a b", fits="(…, n, k) @ (…, k, m), the … broadcast"
)


def einsum_forward(*xs: Array, inputs: list[str], output: str) -> Output:
    """inputs and output: one letter per dimension, no letter twice in one operand."""
    y = contraction(f"{','.join(inputs)}->{output}", *xs, optimize=len(xs) > 1)
    return y if len(xs) == 1 else in_order(y), (xs, inputs, output)


def einsum_backward(dy: Array, xs: tuple[Array, ...], inputs: list[str], output: str) -> Gradients:
    """The gradient of an operand: the einsum of dy and all others, to the letters of this one. Sizes of 1 broadcast."""
    pairs = [pair for x, letters in zip(xs, inputs) for pair in zip(letters, x.shape)]
    sizes = dict(sorted(pairs, key=lambda pair: pair[1] != 1))  # the size of each letter; 1 only if it is 1 everywhere
    dxs = []
    for i, letters in enumerate(inputs):
        others = [x for j, x in enumerate(xs) if j != i]
        names = [s for j, s in enumerate(inputs) if j != i]
        known = "".join(c for c in letters if c in output or any(c in s for s in names))
        dx = contraction(f"{','.join([output, *names])}->{known}", dy, *others, optimize=len(others) > 0)
        there = dict(zip(known, dx.shape))
        dx = dx.reshape(
            [there.get(c, 1) for c in letters]
        )  # a letter that no other array has: the forward summed over it
        dxs.append(unbroadcast(np.broadcast_to(dx, [sizes[c] for c in letters]), xs[i].shape))
    return tuple(dxs)


EINSUM = primitive(
    "einsum", einsum_forward, einsum_backward, formula="y = Σ Π xᵢ over the letters that the output lacks",
    fits="one size per letter",
)  # fmt: skip
