"""What scripts ask of the machine changes no result: mixed precision, compilation, threads, defaults, printing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import printing

NUMBERS = [1.23456789, -1000.5, 2e-5]


@pytest.fixture
def usual_print() -> Iterator[None]:
    before = dict(printing.options)
    yield
    printing.options.update(before)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2},
        {"sci_mode": False},
        {"sci_mode": True, "precision": 1},
        {"threshold": 5, "edgeitems": 1},
        {"linewidth": 40},
    ],
)
def test_print_options_are_pytorchs(options: dict[str, Any], usual_print: None) -> None:
    torch = pytest.importorskip("torch")
    shown = []
    for t in (torch, tt):
        t.set_printoptions(**options)
        shown.append(
            [repr(t.tensor(NUMBERS)), repr(t.arange(12)), repr(t.arange(12.0) / 3), repr(t.tensor([1.0, 20.0]))]
        )
    torch.set_printoptions(profile="default")
    assert shown[1] == shown[0]


def test_compile_gives_the_same_back() -> None:
    model = tt.nn.Linear(2, 2)
    assert tt.compile(model) is model
    assert tt.compile(model, mode="max-autotune", fullgraph=True, dynamic=False) is model

    @tt.compile
    def double(x: Any) -> Any:
        return x * 2

    @tt.compile(dynamic=True)
    def triple(x: Any) -> Any:
        return x * 3

    assert (double(2), triple(2)) == (4, 6)


def test_threads_are_blas_threads() -> None:
    before = tt.get_num_threads()
    try:
        tt.set_num_threads(1)
        assert tt.get_num_threads() == 1
    finally:
        tt.set_num_threads(before)
    with pytest.raises(RuntimeError, match="positive"):
        tt.set_num_threads(0)


def test_defaults_and_precisions() -> None:
    tt.set_default_dtype(tt.float32)
    tt.set_default_device("cpu")
    tt.set_default_device(None)
    tt.backends.cudnn.benchmark = True
    assert not tt.distributed.is_initialized()


def test_the_precision_of_products_has_two_names() -> None:
    """PyTorch 2.13 has the same, but refuses to answer where both were used."""
    matmul = tt.backends.cuda.matmul
    a = tt.tensor([[1 + 2**-20]])
    assert (tt.get_float32_matmul_precision(), matmul.allow_tf32) == ("highest", False)
    try:
        for precision in ("high", "medium"):
            tt.set_float32_matmul_precision(precision)
            assert (tt.get_float32_matmul_precision(), matmul.allow_tf32) == (precision, True)
        assert (a @ a).item() == np.float32(1 + 2**-19)  # the host never rounds
        matmul.allow_tf32 = False
        assert tt.get_float32_matmul_precision() == "highest"
        matmul.allow_tf32 = True
        assert tt.get_float32_matmul_precision() == "high"
        with pytest.raises(RuntimeError, match="precision"):
            tt.set_float32_matmul_precision("low")
    finally:
        tt.set_float32_matmul_precision("highest")


@pytest.mark.skipif(tt.cuda.is_available(), reason="there is a GPU, so nothing is switched off for the lack of one")
def test_without_a_gpu_mixed_precision_switches_itself_off() -> None:
    for context in (lambda: tt.autocast("cuda", dtype=tt.float16), lambda: tt.cuda.amp.autocast()):
        with pytest.warns(UserWarning, match="not available"):
            assert not context().enabled
    for scaler in (lambda: tt.amp.GradScaler(), lambda: tt.cuda.amp.GradScaler(enabled=True)):
        with pytest.warns(UserWarning, match="not available"):
            assert not scaler().is_enabled()
    assert tt.accelerator.current_accelerator() is None
    tt.cuda.empty_cache()
    tt.cuda.manual_seed(1)


def test_a_scaler_that_is_off_passes_everything_on() -> None:
    scaler = tt.amp.GradScaler(enabled=False)
    p = tt.nn.Parameter(tt.ones(2))
    optimizer = tt.optim.SGD([p], lr=0.5)
    with tt.autocast("cpu", enabled=False), tt.amp.autocast(device_type="cpu", dtype=tt.float32):
        loss = (p * 3).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [-0.5, -0.5]
    scaler.load_state_dict(scaler.state_dict())
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)

    @tt.autocast("cpu", enabled=False)
    def doubled(x: Any) -> Any:
        return x * 2

    assert doubled(3) == 6


def test_bfloat16_is_a_name_that_no_tensor_has() -> None:
    assert {"a": tt.bfloat16}["a"] is tt.bfloat16
    assert tt.bfloat16.is_floating_point and tt.bfloat16.itemsize == 2
    with pytest.raises(TypeError, match=r"bfloat16 is outside .*use float32"):
        tt.ones(2).to(tt.bfloat16)


def test_a_generator_goes_on_where_it_was() -> None:
    tt.manual_seed(3)
    state = tt.get_rng_state()
    first = tt.rand(4)
    tt.set_rng_state(state)
    assert tt.equal(tt.rand(4), first)
    assert tt.seed() == tt.initial_seed()


def test_distributions_drawn_in_place() -> None:
    """Means of 20,000 draws, within five standard errors."""
    x = tt.empty(20_000, dtype=tt.float64).exponential_(2.0)
    assert x.min() >= 0 and abs(x.mean() - 0.5) < 5 * 0.5 / math.sqrt(20_000)
    assert abs((x > 0.5).double().mean() - math.exp(-1)) < 5 * 0.5 / math.sqrt(20_000)
    p = tt.bernoulli(tt.full((20_000,), 0.3))
    assert set(p.tolist()) == {0.0, 1.0} and abs(p.mean() - 0.3) < 5 * 0.46 / math.sqrt(20_000)
    z = tt.normal(tt.full((20_000,), 3.0), 2.0)
    assert abs(z.mean() - 3) < 5 * 2 / math.sqrt(20_000) and abs(z.std() - 2) < 0.06


def test_variable_is_a_tensor_without_a_history() -> None:
    x = tt.ones(2, requires_grad=True) * 2
    v = tt.autograd.Variable(x, requires_grad=True)
    assert isinstance(v, tt.autograd.Variable) and isinstance(x, tt.autograd.Variable)
    assert v.is_leaf and v.requires_grad and np.shares_memory(v.array, x.array)


class Scaled:
    """A Function of either library: y = x·k and z = x + w, with a wrong-looking but checkable backward."""

    @staticmethod
    def make(t: Any) -> Any:
        class TwoResults(t.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any, k: float, w: Any) -> Any:
                ctx.save_for_backward(x, w)
                ctx.k = k
                return x * k, x * w

            @staticmethod
            def backward(ctx: Any, dy: Any, dz: Any) -> Any:
                x, w = ctx.saved_tensors
                assert ctx.needs_input_grad == (True, False, True)
                return dy * ctx.k + dz * w, None, dz * x

        return TwoResults.apply


def test_functions_of_ones_own() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for t in (torch, tt):
        x = t.tensor(np.arange(3.0), requires_grad=True)
        w = t.tensor([2.0, 5.0, 7.0], dtype=t.float64, requires_grad=True)
        y, z = Scaled.make(t)(x, 3.0, w)
        assert y.requires_grad and not y.is_leaf
        (y.exp() + z * z).sum().backward()
        y, z = Scaled.make(t)(x * 2, 3.0, w)
        z.sum().backward()  # y has no gradient
        results.append([y.tolist(), x.grad.tolist(), w.grad.tolist()])
        with t.no_grad():
            assert not Scaled.make(t)(x, 3.0, w)[0].requires_grad
    np.testing.assert_allclose(results[1], results[0], rtol=1e-14)


def test_a_function_keeps_the_tapes_rules() -> None:
    class Square(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * dy

    x = tt.tensor([1.0, 3.0], dtype=tt.float64, requires_grad=True)
    assert tt.autograd.gradcheck(Square.apply, (x,))
    y = Square.apply(x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    y = Square.apply(x).sum()
    with tt.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()

    class Empty(tt.autograd.Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(x)
