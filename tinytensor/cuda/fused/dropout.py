"""Dropout in one launch each way: the kernel draws the mask, and the backward draws it again, so none is stored.

`tinytensor.ops.dropout` has the formula. There the mask is an array; here it is the key and counter to draw it from. So
this pair, too, returns the same for the same arguments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import THREADS, contiguous, empty, launch
from tinytensor.cuda.random import PHILOX, Drawn, stream_on
from tinytensor.dispatch import on_gpu
from tinytensor.ops.dropout import DROPOUT
from tinytensor.primitive import Gradients, Output

EACH = 4  # numbers of one counter

SOURCE = (
    PHILOX
    + """
// y = x·m, or m without an x. Element i has number i % 4 of counter i / 4; it is kept where that is not below `limit`.
extern "C" __global__ void dropout(
    const T* x, T* y, unsigned long long key, unsigned long long counter, const unsigned long long* state,
    long long limit, double kept, long long size) {
  const long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4;
  if (first >= size) return;
  unsigned number[4];
  draw(number, key, counter + first / 4, state);
  for (int j = 0; j < 4; j++)
    if (first + j < size) {
      const A mask = number[j] < limit ? (A)0 : (A)(T)kept;
      y[first + j] = (T)(x ? (A)x[first + j] * mask : mask);
    }
}
"""
)


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask, 0 with probability p and else 1/(1 − p), as the key and the counter to draw it from.

    Without __array_ufunc__, x * mask calls __rmul__ of the mask: so the plain pair takes a Mask as well.
    """

    p: float
    drawn: Drawn

    __array_ufunc__ = None

    @classmethod
    def draw(cls, p: float, shape: tuple[int, ...], device: int) -> Mask:
        """The next one of this thread's stream on that GPU."""
        return cls(p, stream_on(device).take(-(-math.prod(shape) // EACH)))

    def array(self, like: Array, shape: tuple[int, ...]) -> Array:
        """The mask, in like's dtype and on its device."""
        return self._launch(None, empty(like, shape))

    def times(self, x: Array) -> Array:
        """x·m."""
        return self._launch(contiguous(x), empty(x))

    def __rmul__(self, x: Array) -> Array:
        return x * self.array(x, x.shape)

    def _launch(self, x: Array | None, y: Array) -> Array:
        limit, kept = round(self.p * 2**32), 1 / (1 - self.p) if self.p < 1 else 0.0
        blocks = -(-y.size // (EACH * THREADS))
        launch(SOURCE, "dropout", y.dtype, blocks, (x, y, *self.drawn, limit, kept, y.size))
        return y


@on_gpu("dropout_mask")
def draw_mask(p: float, shape: tuple[int, ...], device: int) -> Mask:
    """The next mask of this thread's stream on that GPU."""
    return Mask.draw(p, shape, device)


def forward(x: Array, *, mask: Mask) -> Output:
    return mask.times(x), (mask,)


def backward(dy: Array, mask: Mask) -> Gradients:
    return (mask.times(dy),)


replace(DROPOUT.name, forward, backward, when=lambda x, *, mask: isinstance(mask, Mask) and x.dtype.kind == "f")
