"""The array backend: NumPy, or CuPy where the data is on a GPU.

The data decides. A kernel asks `array_module(x)` where it has to make a new array; everything else it calls as
`np.exp(x)`, which NumPy's dispatch protocols (NEP 13, NEP 18) hand on to CuPy when x lies there.
CuPy is imported here and nowhere else, and only when somebody asks for a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray: same methods, no common type


class device:
    """Where a Tensor lies: device("cpu"), device("cuda"), device("cuda:1")."""

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if name not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"expected a device like 'cpu', 'cuda' or 'cuda:0', not {type!r}")
        self.type = name
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + ("" if self.index is None else f", index={self.index}") + ")"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def array_module(x: Array) -> ModuleType:
    """numpy or cupy, whichever made x."""
    return np if type(x) is np.ndarray else sys.modules[type(x).__module__.partition(".")[0]]


def is_array(x: object) -> bool:
    """Whether x is an array of one of the backends."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"


def as_array(x: Any) -> Array:
    """x, as a 0-d array if it is one of the scalars that NumPy's ufuncs and reductions give; CuPy's give arrays."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def ones(count: int, like: Array) -> Array:
    """(count,) ones of like's dtype and device, not to be written to: `x @ ones` is a sum by BLAS, faster than x.sum."""
    return _ones(count, like.dtype) if isinstance(like, np.ndarray) else array_module(like).ones(count, like.dtype)


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


def total(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """Σ x over axis, of x's dtype. float16 is added up in float32, as NumPy does unasked, and CuPy by way of CUB does not."""
    if isinstance(x, np.ndarray) or x.dtype != np.float16:
        return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)
    return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)


def vector(count: int, like: Array) -> Array:
    """A vector of zeros of like's dtype and device, for `part_of`."""
    if isinstance(like, np.ndarray):
        return np.ndarray((count,), like.dtype, bytearray(count * like.itemsize))
    return array_module(like).zeros(count, like.dtype)


def part_of(whole: Array, start: int, shape: tuple[int, ...]) -> Array:
    """The elements of a `vector` from start on, in that shape, sharing its memory.

    It is no NumPy view of it: an in-place write is dated (tape.note_write) for this part alone.
    """
    offset = start * whole.itemsize
    if isinstance(whole, np.ndarray):
        return np.ndarray(shape, whole.dtype, whole.base, offset)
    return array_module(whole).ndarray(shape, whole.dtype, whole.data + offset)


def device_of(x: Array) -> device:
    """The device that x lies on."""
    return CPU if isinstance(x, np.ndarray) else device("cuda", x.device.id)


def cupy() -> ModuleType:
    """CuPy, or one line that says what is missing and how to get it (RuntimeError)."""
    try:
        import cupy
    except ImportError:
        raise RuntimeError("device 'cuda' needs CuPy, which is not installed: pip install 'cupy-cuda12x>=14'") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"device 'cuda' needs an NVIDIA GPU and its driver; CUDA says: {error}") from None
    if count == 0:
        raise RuntimeError("device 'cuda' needs an NVIDIA GPU; CUDA finds none")
    from tinytensor.cuda.memory import pools  # for CuPy: not to be read where there is none

    pools(cupy)  # from the first time on, allocations are counted
    return cupy  # type: ignore[no-any-return]


def to_device(x: Array, where: device | str | None) -> Array:
    """x on that device: x itself where it lies there already, else a copy. None leaves it."""
    if where is None:
        return x
    where = where if isinstance(where, device) else device(where)
    if where.type == "cpu":
        return x if isinstance(x, np.ndarray) else x.get()
    xp = cupy()
    with xp.cuda.Device(where.index):
        return xp.asarray(x)


def made_on(where: device | str | None, make: Callable[[Any], Array]) -> Array:
    """What make(numpy or cupy) gives, made on that device: nothing has to be copied there. None is the CPU."""
    if where is None:
        return make(np)
    where = where if isinstance(where, device) else device(where)
    if where.type == "cpu":
        return make(np)
    xp = cupy()
    with xp.cuda.Device(where.index):
        return make(xp)


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, in out if it is given: np.matmul, and on a GPU one that a CUDA graph can record."""
    if type(a) is np.ndarray:
        return np.matmul(a, b, out)
    from tinytensor.cuda.products import matmul  # for CuPy: not to be read where there is none

    return matmul(a, b, out)


def contraction(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum, and on a GPU in the precision that is permitted."""
    if type(xs[0]) is np.ndarray:
        return np.einsum(equation, *xs, optimize=optimize)
    from tinytensor.cuda.products import einsum  # for CuPy: not to be read where there is none

    return einsum(equation, *xs, optimize=optimize)


def scatter_add(rows: int, index: Array, updates: Array) -> Array:
    """out[index[n]] += updates[n] over n; out (rows, C), index (N,), updates (N, C).

    Repeated indices add up, which `out[index] += updates` would lose. For few rows a product with one-hot
    columns is fastest (it is one BLAS call); for many, sorted runs are summed.
    """
    xp = array_module(updates)
    n, c = updates.shape
    if rows <= 1024:
        onehot = xp.zeros((n, rows), updates.dtype)
        onehot[xp.arange(n), index] = 1
        return product(onehot.T, updates)
    out = xp.zeros((rows, c), updates.dtype)
    if xp is not np:
        xp.add.at(out, index, updates)
    elif n:
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        out[ordered[first]] = np.add.reduceat(updates[order], first, axis=0)
    return out


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step instead of giving them back. True where it took.

    By default every array above 128 KiB is mapped and unmapped, and the page faults cost a third of a
    training step. It is a setting of the whole process, so programs call it (gpt.train does), the library never.
    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc: nothing to tune
        return False
    return bool(mallopt(-3, 1 << 30)) and bool(mallopt(-1, 1 << 30))
