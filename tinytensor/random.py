"""Random numbers: PyTorch's distributions, but not the numbers that PyTorch draws.

Each thread has a default generator on the host; `manual_seed` seeds that of the calling thread. Weights are drawn on
the host and then moved, so one seed makes the same model with NumPy and with CuPy. A GPU draws the masks of dropout
itself, from the same seed (tinytensor/cuda/random.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.base import is_tensor, wrap
from tinytensor.creation import place, placed_as, whole_shape
from tinytensor.devices import device, to_device
from tinytensor.dtypes import converted, int64, positions, to_numpy_dtype
from tinytensor.dtypes import dtype as DType
from tinytensor.functions.dims import Omitted, whole
from tinytensor.functions.operands import implemented, only_tensors
from tinytensor.ops.unary import STEPS
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


class Generator:
    """An independent stream of random numbers: `g = Generator().manual_seed(1); rand(3, generator=g)`."""

    def __init__(self, device: device | str = "cpu") -> None:
        if str(device) != "cpu":
            raise RuntimeError("Generator: random numbers are drawn on the host and then moved; leave device='cpu'")
        self.on_gpu: dict[int, Any] = {}  # number of a GPU → the stream that it draws for this generator
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Restart from a seed, on the host and on GPUs."""
        for stream in self.on_gpu.values():
            stream.manual_seed(int(seed))
        self._seed = int(seed) % 2**64
        self.numpy = np.random.Generator(np.random.PCG64(self._seed))
        self.rows: list[np.random.PCG64] = []  # a stream for each row of a batch, if `seed_rows` made them
        return self

    def seed(self) -> int:
        """Restart from a random seed, and return it."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)._seed

    def initial_seed(self) -> int:
        """The seed that this stream started from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """The position in the stream, as a dict for set_state and JSON."""
        return dict(self.numpy.bit_generator.state)

    def set_state(self, new_state: dict[str, Any]) -> None:
        """Continue from a position that get_state returned."""
        self.numpy.bit_generator.state = new_state


class _Default(threading.local):
    @cached_property  # made when a thread first draws: NumPy's random numbers take a while to import
    def generator(self) -> Generator:
        return Generator()


_default = _Default()


def manual_seed(seed: Any) -> Generator:
    """Seed the default generator of this thread, and return it."""
    return _default.generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of this thread's default generator."""
    return _default.generator.initial_seed()


def seed() -> int:
    """Restart this thread's default generator from a random seed, and return it."""
    return _default.generator.seed()


def get_rng_state() -> Any:
    """The position of this thread's default generator, for set_rng_state."""
    return _default.generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Continue from a position that get_rng_state returned."""
    _default.generator.set_state(new_state)


def seed_rows(seed: int, rows: range) -> None:
    """Seed this thread so that each row of a batch has random bits of its own, which depend on seed and row alone.

    rows: the numbers of the rows that this thread works on. Dropout then drops the same elements of a row, however
    the batch is split between threads. `manual_seed` ends it.
    """
    generator = manual_seed(seed)
    generator.rows = [np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(row,))) for row in rows]


def kept(shape: tuple[int, ...], p: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask that is False with probability p, from the default generator of this thread.

    RuntimeError if `seed_rows` was called for another number of rows.
    """
    generator = _default.generator
    streams: list[Any] = list(generator.rows) or [generator.numpy.bit_generator]
    if generator.rows and (not shape or shape[0] != len(streams)):
        raise RuntimeError(f"seed_rows was called for {len(streams)} rows, but a mask has shape {shape}")
    mask = np.empty(shape, np.bool_)
    limit = np.uint32(min(p * 2**32, 2**32 - 1))
    for stream, row in zip(streams, mask.reshape(len(streams), -1)):
        bits = stream.random_raw(-(-row.size // 2)).view(np.uint32)  # 64 at a time, for two elements
        np.greater_equal(bits[: row.size], limit, out=row)
    return mask


def default_generator() -> Generator:
    """The default generator of this thread."""
    return _default.generator


def numpy_generator(generator: Generator | None) -> np.random.Generator:
    """The NumPy generator inside a Generator; None means this thread's default."""
    return (generator or _default.generator).numpy


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    wanted, shape = _real("rand", dtype), whole_shape(size)
    rng = numpy_generator(generator)
    if wanted == np.float16:  # float32 numbers would sometimes round to 1
        values = rng.integers(0, 2**11, shape) / 2**11
    else:
        values = rng.random(shape, wanted.type)
    return place(values.astype(wanted), device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with mean 0 and variance 1."""
    wanted, shape = _real("randn", dtype), whole_shape(size)
    wide = np.float64 if wanted == np.float64 else np.float32
    values = numpy_generator(generator).standard_normal(shape, wide)
    return place(values.astype(wanted, copy=False), device, requires_grad)


def _real(name: str, dtype: DType | None) -> np.dtype[Any]:
    wanted = to_numpy_dtype(dtype)
    if wanted.kind != "f":
        raise NotImplementedError(f"{name}: not implemented for {dtype}: it draws real numbers")
    return wanted


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1), in the shape, in the dtype and on the device of input unless others are given."""
    dtype, device = dtype or input.dtype, device or input.device
    y = rand(input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)
    return placed_as(input, y)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers, in the shape, in the dtype and on the device of input unless others are given."""
    dtype, device = dtype or input.dtype, device or input.device
    y = randn(input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)
    return placed_as(input, y)


def randint(
    low: int = 0,
    high: int | Sequence[int] | Omitted = None,
    size: Sequence[int] | Omitted = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low (0 if left out) to high − 1, all equally likely: randint(high, size), randint(low, high, size).

    RuntimeError unless low < high, and for numbers that do not fit the dtype.
    """
    if size is None:
        low, high, size = 0, low, high  # type: ignore[assignment]
    elif high is None:
        low, high = 0, low
    if not hasattr(high, "__index__") or not isinstance(size, (tuple, list)):
        raise TypeError(f"randint takes (high, size) or (low, high, size), not {low!r}, {high!r}, {size!r}")
    low, high = whole(low), whole(high)
    if not low < high:
        raise RuntimeError(f"randint expects low < high, but got low={low}, high={high}")
    wanted = to_numpy_dtype(dtype, int64)
    limits: Any = np.iinfo(wanted) if wanted.kind in "iu" else None
    lowest, highest = (limits.min, limits.max) if limits else (0, 1) if wanted.kind == "b" else (low, high)
    if low < lowest or high - 1 > highest:
        raise RuntimeError(f"randint: numbers from {low} to {high - 1} do not fit {wanted}: {lowest} to {highest}")
    values = numpy_generator(generator).integers(low, high, whole_shape((size,)))
    return place(values.astype(wanted), device, requires_grad)


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers; mean and std are Tensors that broadcast, or numbers beside a size, a dtype and a device."""
    tensors = [x for x in (mean, std) if is_tensor(x)]
    if bool(tensors) is (size is not None):
        raise TypeError("normal takes Tensors, or two numbers and a size")
    if tensors:
        implemented("normal", "f", tensors[0])
    if not ((std >= 0).all() if is_tensor(std) else std >= 0):  # nan as well
        raise RuntimeError(f"normal expects std >= 0, but found {std}")
    if size is not None:
        noise = randn(size, generator=generator, dtype=dtype, device=device)
        made: Tensor = (noise * std + mean).requires_grad_(requires_grad)
        return made
    like: Any = mean + std * 0  # the shape, the dtype and the device of both
    drawn: Tensor = randn(like.shape, generator=generator).to(like) * std + mean
    return drawn


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability input, else 0, element by element; the gradient is 0. RuntimeError outside of [0, 1]."""
    only_tensors("bernoulli", input)
    implemented("bernoulli", "f", input)
    p = input.detach()
    if p.numel() and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true: bernoulli takes probabilities")
    drawn = (rand(p.shape, generator=generator, dtype=p.dtype).to(p.device) < p).to(p.dtype)
    return apply(STEPS, input, ufunc=lambda x: drawn.array)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers 0 … n − 1 in a random order; RuntimeError for a negative n, and where the dtype does not hold n."""
    wanted = to_numpy_dtype(dtype, int64)
    if wanted.kind == "b" and whole(n) >= 0:
        raise NotImplementedError("randperm: not implemented for bools")
    if whole(n) < 0 or (wanted.kind == "f" and n > 2 ** (np.finfo(wanted).nmant + 1) + 1):
        raise RuntimeError(f"randperm: n must be non-negative and exact in {wanted}, got {n}")
    converted(n, wanted)
    return place(numpy_generator(generator).permutation(int(n)).astype(wanted), device, requires_grad)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with probability input / Σ input, per row: (C,) → (n,), (N, C) → (N, n), int64.

    With replacement: by inverting the cumulative sum. Without: the positions of the n largest p / −ln u, distributed as
    if drawn one after the other (Efraimidis and Spirakis, 2006). RuntimeError for negative, infinite or all-zero
    weights, and for more samples than non-zero weights.
    """
    p = input.detach().cpu().array.astype(np.float64)
    if p.ndim not in (1, 2) or p.shape[-1] == 0 or num_samples <= 0 or input.array.dtype.kind != "f":
        raise RuntimeError(
            f"multinomial: expected float probabilities (C,) or (N, C) and num_samples > 0, but got"
            f" {input.dtype} {tuple(input.shape)} and {num_samples}"
        )
    rows = p if p.ndim == 2 else p[None]
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1) <= 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0, or a row that sums to 0")
    rng = numpy_generator(generator)
    if replacement:
        top = np.cumsum(rows, 1)
        u = rng.random((len(rows), num_samples)) * top[:, -1:]
        picks = np.empty(u.shape, np.int64)
        for row, t, v in zip(picks, top, u, strict=True):
            row[:] = np.searchsorted(t, v, side="right")
    else:
        if num_samples > rows.shape[1] or ((rows > 0).sum(1) < num_samples).any():
            raise RuntimeError(f"cannot sample {num_samples} times without replacement: too few non-zero weights")
        keys = rows / rng.standard_exponential(rows.shape)
        picks = positions(np.argsort(-keys, 1, kind="stable"))[:, :num_samples].copy()
    return wrap(to_device(picks.reshape(*p.shape[:-1], num_samples), input.device))


__all__ = [
    "Generator", "bernoulli", "get_rng_state", "initial_seed", "manual_seed", "multinomial", "normal", "rand",
    "rand_like", "randint", "randn", "randn_like", "randperm", "seed", "set_rng_state",
]  # fmt: skip
