"""Where data lies, on a machine without a GPU: a stand-in for CuPy answers what the engine asks of it.

It holds a NumPy array, can be moved, and computes nothing: what is tested is who is asked, and what is said when two
devices meet. That kernels compute the same on a GPU needs one.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import buffers, cuda, sums
from tinytensor.backend import array_module, is_array
from tinytensor.devices import device_of, to_device
from tinytensor.ops import arithmetic
from tinytensor.ops.embedding import scatter_add
from tinytensor.primitive import PRIMITIVES, primitive


class OnDevice:
    """An array on the stand-in's only device."""

    base = None

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.dtype, self.shape, self.ndim = array, array.dtype, array.shape, array.ndim
        self.device = SimpleNamespace(id=0)
        self.base, self.data, self.strides = None, array, array.strides

    def get(self) -> np.ndarray:
        return self._array.copy()


OnDevice.__module__ = "cupy"


class Pool:
    """A pool of 1 MiB in blocks of 512 bytes, which knows what is in use, and keeps what is not."""

    def __init__(self) -> None:
        self.used = self.kept = 0

    def malloc(self, size: int) -> int:
        blocks = -(-size // 512) * 512
        if self.used + blocks > 2**20:
            raise MemoryError
        self.used += blocks
        self.kept = max(self.kept, self.used)
        return blocks

    def free(self, blocks: int) -> None:
        self.used -= blocks

    def free_all_blocks(self) -> None:
        self.kept = self.used

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.kept

    def get_limit(self) -> int:
        return 2**20

    def set_limit(self, size: int) -> None:
        assert size == 2**20


class Failed(Exception):
    """What CUDA raises."""


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: Any = ModuleType("cupy")
    module.waited = []
    pool = Pool()
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 1, CUDARuntimeError=Failed, getDevice=lambda: 0, memGetInfo=lambda: (2**20, 2**21),
            deviceSynchronize=lambda: module.waited.append(True),
        ),
        Device=lambda index: contextlib.nullcontext(),
        MemoryPool=Pool,
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
        get_allocator=lambda: getattr(module, "allocate", pool.malloc),
        set_allocator=lambda allocate: setattr(module, "allocate", allocate),
    )  # fmt: skip
    module.get_default_memory_pool = lambda: pool
    module.asarray = OnDevice
    module.ndarray = lambda shape, dtype, data, strides: OnDevice(data)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_the_data_decides(cupy: Any) -> None:
    x = tt.ones(2, 3)
    y = x.cuda()
    assert isinstance(y.array, OnDevice)
    assert (x.is_cuda, y.is_cuda, str(x.device), str(y.device)) == (False, True, "cpu", "cuda:0")
    assert array_module(y.array) is cupy
    assert array_module(x.array) is np
    assert is_array(y.array)
    assert device_of(y.array) == tt.device("cuda", 0)
    assert y.cpu().tolist() == x.tolist()
    assert to_device(y.array, None) is y.array
    assert to_device(x.array, "cpu") is x.array
    assert repr(y) == "tensor([[1., 1., 1.],\n        [1., 1., 1.]], device='cuda:0')"
    with pytest.raises(TypeError, match=r"Tensor\.cpu\(\)"):
        y.numpy()


def test_two_devices_do_not_mix(cupy: Any) -> None:
    x = tt.ones(2)
    with pytest.raises(RuntimeError, match=r"add: expected all tensors on one device, found cpu and cuda:0; .*\.to"):
        x + x.to("cuda:0")


def test_leaves_move_and_keep_their_flag_and_results_do_not(cupy: Any) -> None:
    x = tt.ones(2, requires_grad=True)
    y = x.to("cuda")
    assert y.requires_grad
    assert y.is_leaf
    result = x * 2
    with pytest.raises(NotImplementedError, match="move the leaves first"):
        result.to("cuda")
    with tt.no_grad():
        assert result.to("cuda").is_cuda


def test_cuda_counts_and_waits(cupy: Any) -> None:
    assert cuda.is_available()
    assert cuda.device_count() == 1
    cuda.synchronize()
    assert cupy.waited == [True]
    cuda.manual_seed_all(5)
    drawn = tt.rand(3)
    tt.manual_seed(5)
    assert tt.equal(drawn, tt.rand(3))


def test_memory_is_counted_and_its_peak(cupy: Any) -> None:
    assert cuda.memory_allocated() == cuda.max_memory_allocated() == 0
    pool = cupy.get_default_memory_pool()
    large, small = cupy.allocate(1000), cupy.allocate(1)
    pool.free(large)
    assert (cuda.memory_allocated(), cuda.max_memory_allocated("cuda:0"), cuda.memory_reserved(0)) == (512, 1536, 1536)
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == small
    private = cuda.MemPool()
    private.allocate(512)
    pool.free(small)
    assert (cuda.memory_allocated(), cuda.max_memory_allocated()) == (512, 1024)  # of both together
    cuda.empty_cache()
    assert cuda.memory_reserved() == 512
    del private
    assert cuda.memory_allocated() == 0
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        cuda.memory_allocated("cpu")


def test_out_of_memory_says_how_much_was_asked_for(cupy: Any) -> None:
    cuda.is_available()
    cupy.allocate(2**19)
    for allocate in (lambda: cupy.allocate(2**20), lambda: cuda.MemPool().allocate(2**21)):
        with pytest.raises(
            cuda.OutOfMemoryError, match=r"^CUDA out of memory. Tried to allocate \d.00 MiB. GPU 0 has"
        ) as caught:
            allocate()
        assert "512.00 KiB are in use by tensors" in str(caught.value)
        assert str(caught.value).endswith("The pool is limited to 1.00 MiB.")
    assert issubclass(cuda.OutOfMemoryError, RuntimeError)


def test_another_allocator_is_left_alone(cupy: Any) -> None:
    cupy.allocate = int
    assert cuda.is_available()
    assert cupy.allocate is int


@pytest.mark.parametrize("how, message", [("none", "finds none"), ("broken", "CUDA says: no driver")])
def test_without_a_gpu_it_says_so(cupy: Any, how: str, message: str) -> None:
    def count() -> int:
        if how == "broken":
            raise Failed("no driver")
        return 0

    cupy.cuda.runtime.getDeviceCount = count
    assert not cuda.is_available()
    assert cuda.device_count() == 0
    with pytest.raises(RuntimeError, match=message):
        tt.ones(1).cuda()
    drawn = tt.rand(3)
    cuda.manual_seed_all(5)
    tt.manual_seed(5)
    assert not tt.equal(drawn, tt.rand(3))


def test_without_cupy_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        RuntimeError, match=r"needs CuPy, which is not installed: pip install 'cupy-cuda12x>=14', or 'cupy-cuda13x>=14'"
    ):
        tt.ones(1, device="cuda")


def test_devices_are_values() -> None:
    assert tt.device("cuda:1") == tt.device("cuda", 1) != tt.device("cuda")
    assert len({tt.device("cpu"), tt.device("cpu"), tt.device("cuda:0")}) == 2
    assert [repr(tt.device(d)) for d in ("cpu", "cuda:1")] == [
        "device(type='cpu')", "device(type='cuda', index=1)",
    ]  # fmt: skip
    for bad in ("gpu", "cuda:x", "tpu:0"):
        with pytest.raises(RuntimeError, match="expected a device like"):
            tt.device(bad)


@pytest.mark.parametrize("rows", [5, 3000])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_scatter_add_adds_up(rows: int, n: int) -> None:
    rng = np.random.default_rng(rows + n)
    index, updates = rng.integers(0, min(rows, 7), n), rng.standard_normal((n, 2))
    expected = np.zeros((rows, 2))
    np.add.at(expected, index, updates)
    np.testing.assert_allclose(scatter_add(rows, index, updates), expected, rtol=1e-12, atol=1e-12)


def test_scatter_add_elsewhere_asks_that_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows outside of NumPy: no sorting, add.at."""
    stand_in = SimpleNamespace(zeros=np.zeros, add=np.add)
    monkeypatch.setattr(sums, "array_module", lambda x: stand_in)
    out = scatter_add(2000, np.array([3, 3, 1]), np.ones((3, 2)))
    assert (out[3].tolist(), out[1].tolist(), out.sum()) == ([2, 2], [1, 1], 6)


def test_another_c_library_has_nothing_to_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert buffers.keep_freed_memory() is False


def test_a_name_stands_once_in_the_table() -> None:
    size = len(PRIMITIVES)
    with pytest.raises(ValueError, match="'add' is already in the table"):
        primitive("add", arithmetic.add_forward, arithmetic.add_backward, formula="")
    assert len(PRIMITIVES) == size
    assert repr(PRIMITIVES["add"]) == "<primitive add: y = a + b>"
