"""GELU in one launch, exact and by tanh: `tinytensor.ops.gelu` has the formulas.

Both forwards compute the derivative too and save only that, so the backward is one product.
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import contiguous, empty, launch_each
from tinytensor.primitive import Gradients, Output

SOURCE = """
__device__ void exact(A x, A& y, A& dy) {
  A cdf = (A)0.5 * (1 + erf(x * (A)0.70710678118654752));
  y = x * cdf;
  dy = cdf + x * exp((A)-0.5 * x * x) * (A)0.39894228040143268;
}
__device__ void by_tanh(A x, A& y, A& dy) {
  const A root = (A)0.79788456080286536, cubic = (A)0.044715;
  A s = (A)0.5 * (1 + tanh(root * (x + cubic * x * x * x)));
  y = x * s;
  dy = s + y * (1 - s) * 2 * root * (1 + 3 * cubic * x * x);
}
template <void (*function)(A, A&, A&)>
__device__ void forward(const T* x, T* y, T* derivative, long long size) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  A value, slope;
  function((A)x[i], value, slope);
  y[i] = (T)value;
  if (derivative) derivative[i] = (T)slope;
}
extern "C" __global__ void gelu(const T* x, T* y, T* derivative, long long size) { forward<exact>(x, y, derivative, size); }
extern "C" __global__ void gelu_tanh(const T* x, T* y, T* derivative, long long size) {
  forward<by_tanh>(x, y, derivative, size);
}
"""


def gelu_forward(x: Array, *, save: bool = True) -> Output:
    return forward("gelu", x, save)


def gelu_tanh_forward(x: Array, *, save: bool = True) -> Output:
    return forward("gelu_tanh", x, save)


def forward(kernel: str, x: Array, save: bool) -> Output:
    x = contiguous(x)
    y, derivative = empty(x), empty(x) if save else None
    launch_each(SOURCE, kernel, x, y, derivative)
    return y, (derivative,)


def backward(dy: Array, derivative: Array) -> Gradients:
    return (dy * derivative,)


replace("gelu", gelu_forward, backward)
replace("gelu_tanh", gelu_tanh_forward, backward)
