"""Memory shared with CuPy, and with PyTorch where it sees the GPU, through DLPack: python tests/cuda/exchange.py [--emulated]

The exit status is 1 where an array differs, does not lie in the same memory, or was copied.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import gpu  # first: before cupy is imported
from gpu import cupy

import tinytensor as tt
from tinytensor.base import wrap

DTYPES = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")
SHAPES = ((), (0,), (3,), (2, 3), (2, 0, 3))


def layouts(shape: tuple[int, ...], dtype: str) -> list[Any]:
    """Zeros row by row, column by column, and in every other element of something larger."""
    wide = cupy.zeros((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2] if shape else cupy.zeros(shape, dtype)
    return [cupy.zeros(shape, dtype), cupy.zeros(shape, dtype, order="F"), wide]


def shared(array: Any, libraries: list[Any]) -> list[str]:
    """What is wrong with the array as a Tensor, and with that as an array of each library."""
    ours = tt.from_dlpack(array)
    wrong = [] if ours.is_cuda and ours.__dlpack_device__() == (2, 0) else [f"it lies on {ours.device}"]
    for each in (ours.array, *(library.from_dlpack(ours) for library in libraries)):
        back = each if isinstance(each, cupy.ndarray) else cupy.from_dlpack(each)
        kind, address = (back.dtype, back.shape), back.data.ptr
        if kind != (array.dtype, array.shape) or (
            array.size and (address, back.strides) != (array.data.ptr, array.strides)
        ):
            wrong.append(f"{type(each).__module__} has {kind} with strides {back.strides} at {address}")
    return wrong


def refusals() -> list[str]:
    """What should be refused and is not."""
    wrong = []
    for t in (tt.ones(2, requires_grad=True).cuda(), wrap(cupy.zeros(3)[::-1])):
        try:
            cupy.from_dlpack(t)
            wrong.append(f"{t} was exported")
        except BufferError:
            pass
    return wrong


def main() -> int:
    """Exchange arrays of every dtype, shape and layout; 0 if all are shared."""
    libraries = [cupy]
    try:
        import torch

        libraries += [torch] if torch.cuda.is_available() else []
    except ImportError:
        pass
    arrays = [array for dtype in DTYPES for shape in SHAPES for array in layouts(shape, dtype)]
    before = Counter(gpu.count)
    wrong = [f"{a.dtype}{list(a.shape)} {a.strides}: {what}" for a in arrays for what in shared(a, libraries)]
    copies = {what: n - before[what] for what, n in gpu.count.items() if n != before[what]}
    if copies:
        wrong.append(f"the device was asked for {copies}")
    wrong += refusals()
    names = ", ".join(library.__name__ for library in libraries)
    print(*wrong, "", f"{len(arrays)} arrays shared with {names}; {len(wrong)} problems", sep="\n")
    return int(bool(wrong) or bool(gpu.troubles()))


if __name__ == "__main__":
    gpu.finish(main())
