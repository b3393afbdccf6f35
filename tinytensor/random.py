"""Random numbers: PyTorch's distributions, but not the numbers that PyTorch draws.

Each thread has a default generator on the host; `manual_seed` seeds that of the calling thread. Weights are drawn on
the host and then moved, so one seed makes the same model with NumPy and with CuPy. A GPU draws the masks of dropout
itself, from the same seed (tinytensor/cuda/random.py).
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.base import is_tensor, wrap
from tinytensor.creation import place
from tinytensor.devices import device, to_device
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import int64, to_numpy_dtype
from tinytensor.functions.dims import nonnegative, sizes
from tinytensor.functions.operands import implemented
from tinytensor.layout import laid_out_as

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
        self._seed = int(seed)
        self.numpy = np.random.Generator(np.random.PCG64(self._seed % 2**64))
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


def manual_seed(seed: int) -> Generator:
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
    wanted, shape = _real("rand", dtype), nonnegative(sizes(size))
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
    wanted, shape = _real("randn", dtype), nonnegative(sizes(size))
    wide = np.float64 if wanted == np.float64 else np.float32
    values = numpy_generator(generator).standard_normal(shape, wide)
    return place(values.astype(wanted, copy=False), device, requires_grad)


def _real(name: str, dtype: DType | None) -> np.dtype[Any]:
    wanted = to_numpy_dtype(dtype)
    if wanted.kind != "f":
        raise NotImplementedError(f"{name}: not implemented for {dtype}: it draws real numbers")
    return wanted


def rand_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1), in the shape and dtype of input, on its device."""
    return _as_laid_out(input, rand(input.shape, generator=generator, dtype=input.dtype, device=input.device))


def randn_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers, in the shape and dtype of input, on its device."""
    return _as_laid_out(input, randn(input.shape, generator=generator, dtype=input.dtype, device=input.device))


def _as_laid_out(input: Tensor, y: Tensor) -> Tensor:
    y.array = laid_out_as(input.array, y.array)
    return y


def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: device | str | None = None,
) -> Tensor:
    """Integers from low (0 if left out) to high − 1, all equally likely: randint(high, size), randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None or not low < high:
        raise RuntimeError(f"randint expects a size and low < high, but got low={low}, high={high}, size={size}")
    values = numpy_generator(generator).integers(low, high, nonnegative(sizes((size,))))
    return place(values.astype(to_numpy_dtype(dtype, int64)), device, False)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers; mean and std are Tensors that broadcast, or numbers beside a size."""
    if (std < 0).any() if is_tensor(std) else std < 0:
        raise RuntimeError(f"normal expects std >= 0, but found {std}")
    like = mean + std * 0 if is_tensor(mean) else std if is_tensor(std) else None
    noise = randn(size if like is None else like.shape, generator=generator)
    y: Tensor = (noise if like is None else noise.to(like)) * std + mean
    return y


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability input, else 0, element by element. RuntimeError for probabilities outside of [0, 1]."""
    implemented("bernoulli", "f", input)
    p = input.detach()
    if p.numel() and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true: bernoulli takes probabilities")
    return (rand(p.shape, generator=generator, dtype=p.dtype).to(p.device) < p).to(p.dtype)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: DType | None = None, device: device | str | None = None
) -> Tensor:
    """The numbers 0 … n − 1 in a random order; RuntimeError for a negative n."""
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    return place(numpy_generator(generator).permutation(n).astype(to_numpy_dtype(dtype, int64)), device, False)


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
        picks = np.argsort(-keys, 1, kind="stable")[:, :num_samples].copy()
    return wrap(to_device(picks.reshape(*p.shape[:-1], num_samples), input.device))


__all__ = [
    "Generator", "bernoulli", "get_rng_state", "initial_seed", "manual_seed", "multinomial", "normal", "rand",
    "rand_like", "randint", "randn", "randn_like", "randperm", "seed", "set_rng_state",
]  # fmt: skip
