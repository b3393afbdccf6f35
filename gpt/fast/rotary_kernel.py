"""Rotary positions on a GPU in one launch, for any memory layout. The formula is in gpt/rotary.py."""

from __future__ import annotations

import numpy as np

from gpt.rotary import turns
from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import THREADS, as_four, launch, strides
from tinytensor.primitive import Gradients, Output

SOURCE = """
struct Layout { long long batch, head, row, column; };  // strides, in elements
struct Sizes { long long heads, rows, pairs, size; Layout x, y; };

extern "C" __global__ void rotary(const T* x, const A* turn, T* y, Sizes n, double sign) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n.size) return;
  long long pair = i % n.pairs, row = i / n.pairs % n.rows, rest = i / n.pairs / n.rows;
  long long head = rest % n.heads, batch = rest / n.heads;
  x += batch * n.x.batch + head * n.x.head + row * n.x.row + 2 * pair * n.x.column;
  y += batch * n.y.batch + head * n.y.head + row * n.y.row + 2 * pair * n.y.column;
  A a = (A)x[0], b = (A)x[n.x.column], cosine = turn[2 * (row * n.pairs + pair)];
  A sine = (A)sign * turn[2 * (row * n.pairs + pair) + 1];
  y[0] = (T)(a * cosine - b * sine);
  y[n.y.column] = (T)(a * sine + b * cosine);
}
"""


def forward(x: Array, *, start: int = 0) -> Output:
    turn = turns(x, start)
    return turned(x, turn, 1), (turn,)


def backward(dy: Array, turn: Array) -> Gradients:
    return (turned(dy, turn, -1),)


def turned(x: Array, turn: Array, sign: int) -> Array:
    """Turn the pairs of x (…, T, D) by turn (T, D/2), complex numbers; for sign −1 turn them back. Keeps the layout of x."""
    xs = as_four(x)
    y = np.empty_like(xs)
    _, heads, rows, columns = xs.shape
    sizes = np.array([heads, rows, columns // 2, x.size // 2, *strides(xs), *strides(y)], np.int64)
    launch(SOURCE, "rotary", x.dtype, -(-x.size // (2 * THREADS)), (xs, turn, y, sizes.view("V96"), sign * 1.0))
    return y.reshape(x.shape)


replace("rotary", forward, backward, when=lambda x, **_: x.dtype.kind == "f" and x.shape[-1] % 2 == 0)
