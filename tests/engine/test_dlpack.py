"""Memory shared with NumPy and PyTorch through DLPack, without a copy. With CuPy: tests/cuda/exchange.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.utils import dlpack

DTYPES = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")
SHAPES = ((), (0,), (3,), (2, 3), (2, 0, 3))


def filled(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)


def laid_out(array: np.ndarray) -> list[np.ndarray]:
    """The same values row by row, column by column, and in every other element of something larger."""
    return [array, array.copy("F"), np.repeat(array, 2, -1)[..., ::2]] if array.ndim else [array]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_numpys_memory_is_ours_and_ours_is_numpys(shape: tuple[int, ...], dtype: str) -> None:
    for array in laid_out(filled(shape, dtype)):
        ours = tt.from_dlpack(array)
        theirs = np.from_dlpack(ours)
        for each in (ours.array, theirs):
            assert (each.dtype, each.shape) == (array.dtype, array.shape)
            assert each.size == 0 or each.strides == array.strides
        if array.size:
            ours.fill_(1)
            assert array.all() and theirs.all()
            theirs[...] = 0
            assert not ours.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pytorchs_memory_is_ours_and_ours_is_pytorchs(shape: tuple[int, ...], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for array in laid_out(filled(shape, dtype)):
        theirs = torch.from_numpy(array)
        ours = tt.from_dlpack(theirs)
        back = torch.from_dlpack(ours)
        assert (ours.dtype.name, tuple(ours.shape)) == (dtype, tuple(back.shape)) == (dtype, shape)
        assert back.dtype == theirs.dtype
        if array.size:
            assert back.stride() == theirs.stride() and back.data_ptr() == theirs.data_ptr()
            ours.fill_(1)
            assert theirs.all()
            back.fill_(0)
            assert not ours.any()
        capsule = torch.utils.dlpack.from_dlpack(dlpack.to_dlpack(ours))
        assert capsule.data_ptr() == back.data_ptr()


def test_it_is_on_the_cpu() -> None:
    assert tt.ones(2).__dlpack_device__() == (1, 0)


def test_memory_that_must_not_be_written_to_stays_so() -> None:
    array = np.ones(3)
    array.flags.writeable = False
    ours = tt.from_dlpack(array)
    with pytest.raises(RuntimeError, match="read-only"):
        ours.add_(1)
    assert not np.from_dlpack(ours).flags.writeable
    with pytest.raises(BufferError, match="readonly"):
        ours.__dlpack__()  # to a library that cannot be told


def test_what_requires_grad_is_refused_on_both_sides() -> None:
    torch = pytest.importorskip("torch")
    for t in (tt.ones(2, requires_grad=True), tt.ones(2, requires_grad=True) * 2):
        with pytest.raises(BufferError, match=r"use tensor\.detach"):
            torch.from_dlpack(t)
        torch.from_dlpack(t.detach())
    with pytest.raises(BufferError, match=r"use tensor\.detach"):
        tt.from_dlpack(torch.ones(2, requires_grad=True))


def test_backwards_through_memory_is_refused() -> None:
    """PyTorch ends the program when it is handed a negative stride."""
    backwards = tt.from_numpy(np.arange(3.0)[::-1])
    with pytest.raises(BufferError, match=r"negative stride, use tensor\.clone"):
        backwards.__dlpack__()
    assert np.from_dlpack(backwards.clone()).tolist() == [2, 1, 0]


def test_a_copy_is_one() -> None:
    array = np.zeros(3)
    copy, same = tt.from_dlpack(array, copy=True), tt.from_dlpack(array, copy=False, device="cpu")
    same.fill_(1)
    assert copy.tolist() == [0, 0, 0] and array.tolist() == [1, 1, 1]


class Foreign:
    """An array on a device of that kind."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("nobody should ask")


def test_what_cannot_be_taken_says_so() -> None:
    with pytest.raises(BufferError, match="device type 8"):
        tt.from_dlpack(Foreign(8))
    with pytest.raises(TypeError, match="pass the tensor or array itself"):
        tt.from_dlpack(tt.ones(2).__dlpack__())
    with pytest.raises(TypeError, match="complex128"):
        tt.from_dlpack(np.ones(2, complex))
    with pytest.raises(RuntimeError, match="stream=None"):
        tt.ones(2).__dlpack__(stream=3)
    if not tt.cuda.is_available():
        with pytest.raises(RuntimeError, match="device 'cuda' needs"):
            tt.from_dlpack(Foreign(2))
        with pytest.raises(RuntimeError, match="device 'cuda' needs"):
            tt.from_dlpack(np.ones(2), device="cuda")
