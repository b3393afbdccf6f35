"""Adam and AdamW on a GPU in one launch: `tinytensor.optim.adamw` has the formulas.

The number of steps, the learning rate, the loss scale and the sign of an overflow may lie on the GPU: then nothing is
read back, and a launch in a CUDA graph continues to count. Weights in float16 can have a master copy in float32: the
update changes the master, and the weight is the rounded master.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array
from tinytensor.cuda.kernel import THREADS, launch
from tinytensor.devices import cupy
from tinytensor.dispatch import on_gpu

EACH = 4 * THREADS  # elements for a block, at least, if there are as many
MOST = 2048  # blocks

SOURCE = """
struct Settings { double lr, beta1, beta2, eps, weight_decay; long long decoupled; };
struct Step { A keep, rate, eps, beta1, beta2, new1, new2, decay; };

// What is the same for all elements at step t. In double: 1 - beta^t loses every digit of a float at first.
__device__ Step step_of(Settings s, double t) {
  double root = sqrt(1 - pow(s.beta2, t));
  return {(A)(s.decoupled ? 1 - s.lr * s.weight_decay : 1), (A)(s.lr * root / (1 - pow(s.beta1, t))), (A)(s.eps * root),
          (A)s.beta1, (A)s.beta2, (A)(1 - s.beta1), (A)(1 - s.beta2), (A)(s.decoupled ? 0 : s.weight_decay)};
}

// One element: x the weight, g its gradient; M is the type that the moments are kept in.
template <class M>
__device__ A update(A x, A g, M* m, M* v, const Step& s) {
  x *= s.keep;
  g += s.decay * x;
  A first = s.beta1 * (A)*m + s.new1 * g, second = s.beta2 * (A)*v + s.new2 * g * g;
  *m = (M)first;
  *v = (M)second;
  return x - s.rate * (first / (sqrt(second) + s.eps));
}

template <class M>
__device__ void update_all(T* p, T* g, M* m, M* v, A* master, long long size, float* counts, long long n, unsigned* ended,
                           double t, Settings settings, const float* lr, const float* scale, const float* found_inf) {
  if (found_inf && *found_inf) return;
  __shared__ Step step;
  if (threadIdx.x == 0) {
    if (counts) t = *counts + 1.0;
    if (lr) settings.lr = *lr;
    step = step_of(settings, t);
  }
  __syncthreads();
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += (long long)gridDim.x * blockDim.x) {
    A x = (A)p[i], gradient = (A)g[i];
    if (master && (A)(T)master[i] == x) x = master[i];  // else the weight was set anew
    if (scale) g[i] = (T)(gradient /= (A)*scale);
    x = update(x, gradient, m + i, v + i, step);
    if (master) master[i] = x;
    p[i] = (T)x;
  }
  if (!counts || threadIdx.x) return;
  __threadfence();  // the count was read above, and the block that is the last to come here writes it
  if (atomicAdd(ended, 1u) < gridDim.x - 1) return;
  *ended = 0;
  for (long long i = 0; i < n; i++) counts[i] = (float)t;
}

#define REST long long size, float* counts, long long n, unsigned* ended, double t, double lr, double beta1, double beta2, \\
  double eps, double weight_decay, long long decoupled, const float* lr_value, const float* scale, const float* found_inf
#define rest size, counts, n, ended, t, {lr, beta1, beta2, eps, weight_decay, decoupled}, lr_value, scale, found_inf

extern "C" __global__ void adam(T* p, T* g, T* m, T* v, REST) { update_all(p, g, m, v, (A*)0, rest); }
extern "C" __global__ void adam_with_masters(T* p, T* g, A* m, A* v, A* master, REST) { update_all(p, g, m, v, master, rest); }
"""


@on_gpu("adam_step")
def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    master: Array | None,
    steps: Array | float,
    ended: Array,
    *,
    decoupled: bool,
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    scale: Array | None = None,
    found_inf: Array | None = None,
) -> None:
    """Update p and its moments m, v in place. All have p's dtype; with a master, the moments are float32.

    steps: a float32 array whose elements hold the number of steps until now, and grow by one; or the number of this
    step. ended: one uint32, 0 before and after. scale divides g. If found_inf is not 0, nothing happens. lr, scale and
    found_inf may be float32 arrays with one element.
    """
    arrays = [x for x in (p, g, m, v, master) if x is not None]
    kinds = [p.dtype, p.dtype] + [p.dtype if master is None else cupy().float32] * 3
    packed = [_packed(x, kind) for x, kind in zip(arrays, kinds)]
    counts, t = (None, float(steps)) if isinstance(steps, (int, float)) else (steps, 0.0)
    rate, rate_value = (0.0, lr) if hasattr(lr, "dtype") else (float(lr), None)
    settings = (rate, beta1, beta2, eps, weight_decay, int(decoupled), rate_value, scale, found_inf)
    counting = (counts, 0 if counts is None else counts.size, ended, t)
    name, blocks = "adam" if master is None else "adam_with_masters", max(1, min(MOST, -(-p.size // EACH)))
    launch(SOURCE, name, p.dtype, blocks, (*packed, p.size, *counting, *settings))
    for x, own in zip(packed, arrays):
        if x is not own:
            own[...] = x


def _packed(x: Array, dtype: Any) -> Array:
    """x, or a contiguous copy in that dtype."""
    return x if x.dtype == dtype and x.flags.c_contiguous else x.astype(dtype, order="C")
