"""The contract of the tape, rule by rule (it stands at the top of tinytensor/tape.py)."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import base, devices, dispatch, histories, tape, writes
from tinytensor.nn import functional as F
from tinytensor.nn.flat import Flat
from tinytensor.ops.shape import SPLIT
from tinytensor.primitive import Primitive


def leaf(*values: float, dtype: tt.dtype = tt.float64) -> tt.Tensor:
    return tt.tensor(values, dtype=dtype, requires_grad=True)


def passing(forward: Callable[..., Any], backward: Callable[..., Any]) -> Primitive:
    """A primitive outside of the table."""
    return Primitive("planted", forward, backward, "", "")


# ------------------------------------------------------- 1. in place only into arrays of the tape's own


def test_a_borrowed_gradient_is_never_added_to() -> None:
    a, b = leaf(1.0), leaf(2.0)
    (((a + b) + (a * 3)) * 1).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (4, 1)


def test_a_gradient_that_two_inputs_borrow_is_not_shared() -> None:
    """add gives the same dy to both inputs; what is added to one must not reach the other, whichever comes first."""
    for function in (
        lambda a, b: (a + b) + a * 10 + a * 100,
        lambda a, b: a * 10 + (a + b) + a * 100,
        lambda a, b: a * 100 + a * 10 + (a + b),
        lambda a, b: a * 110 + (b + a),
    ):
        a, b = leaf(1.0), leaf(2.0)
        (function(a, b) * 1).sum().backward()
        assert (a.grad.item(), b.grad.item()) == (111, 1)


def test_a_diamond_adds_its_branches() -> None:
    x = leaf(3.0)
    y = x * x
    (y * 2 + y * y).sum().backward()
    assert x.grad.item() == 2 * 2 * 3 + 4 * 3**3


def test_chained_diamonds_take_linear_time() -> None:
    """60 of them have 2⁶⁰ paths."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y * 0.5 + y * 0.5
    y.sum().backward()
    assert x.grad.item() == 1


def test_one_tensor_used_many_times() -> None:
    x = leaf(2.0)
    y = x * 1
    total = y
    for i in range(2, 101):
        total = total + y * i
    (total + y @ y).sum().backward()
    assert x.grad.item() == 5050 + 2 * 2


def test_the_seed_is_not_written_to() -> None:
    x, seed = leaf(1.0, 2.0), tt.tensor([1.0, 1.0], dtype=tt.float64)
    y = x * 1
    tt.autograd.backward([y, y, y], [seed, seed, seed])
    assert seed.tolist() == [1, 1]
    assert x.grad.tolist() == [3, 3]


def test_gradients_after_the_second_are_added_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second makes the sum; the third and later ones make no array."""
    add, made = np.add, []

    def spy(a: Any, b: Any, *out: Any) -> Any:
        made.append(not out)
        return add(a, b, *out)

    x = leaf(1.0, 2.0)
    y = x * 1
    total = sum((y * i for i in range(1, 5)), y * 0).sum()
    monkeypatch.setattr(np, "add", spy)
    total.backward()
    assert made == [True, False, False, False]
    assert x.grad.tolist() == [10, 10]


def adding(offered: list[Any], given: list[Any] | None = None) -> Primitive:
    """y = 2 a + b, whose backward adds its gradient of a to the one that it is offered."""

    def backward(dy: Any, *, add_to: Any = None) -> Any:
        offered.append(add_to if add_to is None else add_to.copy())
        da = dy * 2 if add_to is None else add_to + dy * 2
        if given is not None:
            given.append(da)
        return da, dy

    return passing(lambda a, b: (2 * a + b, ()), backward)


@pytest.mark.parametrize("retain", [False, True])
def test_a_backward_may_add_its_own_gradient_to_the_earlier_one(retain: bool) -> None:
    """In a residual, say: x gets dy from the sum first, then what comes through the branch."""
    w, offered, given = leaf(1.0), [], []
    x = w * 1
    x.retain_grad()
    older = x * 1000
    y = tape.apply(adding(offered, given), x, w) * 3 + x * 10
    (y + x * 100 + older).sum().backward(retain_graph=retain)
    assert [o.tolist() for o in offered] == [[110]]
    assert [g.tolist() for g in given] == [[116]]  # borrowed: what comes later is not added to it
    assert (x.grad.item(), w.grad.item()) == (1116, 1119)


def test_no_gradient_is_offered_but_the_first_inputs() -> None:
    """Not of a leaf, which may have a place of its own; nor where there is none, or the second input alone has one."""
    for function, expected in (
        (lambda w, add: add(w, w * 1) + w * 10, 13),
        (lambda w, add: add(w * 1, w), 3),
        (lambda w, add: (lambda x: add(w * 1, x) + x * 10)(w * 1), 13),
    ):
        w, offered = leaf(1.0), []
        primitive = adding(offered)
        function(w, lambda a, b, primitive=primitive: tape.apply(primitive, a, b)).sum().backward()
        assert w.grad.item() == expected
        assert offered == [None]


def test_a_gradient_that_another_input_borrows_too_is_added_once() -> None:
    w, offered = leaf(1.0), []
    a, b = w * 1, w * 1
    out = tape.apply(adding(offered), a, b)
    ((a + b) + out).sum().backward()  # a and b have one and the same dy then
    assert [o.tolist() for o in offered] == [[1]]
    assert w.grad.item() == 5


def test_a_gradient_of_what_is_both_inputs_is_added_once() -> None:
    w, offered = leaf(1.0), []
    x = w * 1
    (tape.apply(adding(offered), x, x) + x * 10).sum().backward()
    assert [o.tolist() for o in offered] == [[10]]
    assert w.grad.item() == 13


def test_layer_norm_adds_to_the_residuals_gradient() -> None:
    rng = np.random.default_rng(0)
    x, u = (tt.tensor(rng.standard_normal((3, 5))) for _ in range(2))
    w = tt.ones(5, dtype=tt.float64)

    def gradient(apart: bool) -> Any:
        leaf = x.clone().requires_grad_()
        y = leaf * 1
        branch = F.layer_norm(y * 1 if apart else y, (5,), w)  # apart: by a tensor of its own, so that the tape adds
        ((y + branch) * u).sum().backward()
        return leaf.grad.numpy()

    np.testing.assert_array_equal(gradient(apart=False), gradient(apart=True))


# ---------------------------------------------------------------------------- 2. a leaf owns its .grad


def test_a_leaf_owns_its_grad() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = tt.tensor([1.0, 1.0], dtype=tt.float64)
    z = x + y
    z.retain_grad()
    z.backward(seed)
    arrays = [x.grad.array, y.grad.array, z.grad.array, seed.array, x.array, y.array, z.array]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)


@pytest.mark.parametrize("function", [lambda x: x.sum(), lambda x: x.expand(3, 2).sum(), lambda x: x.view(2, 1).sum()])
def test_every_element_of_a_grad_can_be_written(function: Callable[[tt.Tensor], tt.Tensor]) -> None:
    x = leaf(1.0, 2.0)
    function(x).backward()
    once = x.grad.tolist()
    x.grad.add_(tt.tensor([1.0, 2.0], dtype=tt.float64))
    assert x.grad.tolist() == [once[0] + 1, once[1] + 2]


def test_backward_adds_to_a_grad_that_is_there() -> None:
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 5]
    assert x.grad is first


def test_two_inputs_that_are_one_tensor() -> None:
    x = leaf(3.0)
    (x * x).sum().backward()
    assert x.grad.item() == 6


# ------------------------------------------------------------- 3., 4. memory: what is kept, and how long


def test_saved_arrays_go_the_moment_their_backward_ran() -> None:
    """exp saves its output: by the time that the oldest backward runs, those of the younger ones are gone."""
    alive: list[int] = []
    refs: list[weakref.ref[np.ndarray]] = []

    def forward(x: np.ndarray) -> Any:
        y = x + 1
        refs.append(weakref.ref(y))
        return x * 1, (y,)

    def backward(dy: np.ndarray, saved: np.ndarray) -> Any:
        alive.append(sum(r() is not None for r in refs))
        return (dy,)

    planted, x = passing(forward, backward), leaf(1.0)
    y = x
    for _ in range(5):
        y = tape.apply(planted, y)
    y.sum().backward()
    assert alive == [5, 4, 3, 2, 1]
    assert all(r() is None for r in refs), "y still stands, and keeps nothing"


def test_a_played_node_lets_go_of_the_nodes_before_it() -> None:
    x = leaf(1.0)
    y = x.exp()
    z = y.sin()
    nodes = [weakref.ref(t.grad_fn) for t in (y, z)]
    loss = z.sum()
    del y, z
    loss.backward()
    assert [n() for n in nodes] == [None, None]


def test_with_retain_graph_saved_arrays_stay() -> None:
    x = leaf(1.0)
    y = x.exp()
    y.backward(retain_graph=True)
    assert y.grad_fn.saved is not None
    y.backward()
    assert y.grad_fn.saved is None
    assert x.grad.item() == pytest.approx(2 * np.e)


def test_activations_that_nobody_saved_are_freed_in_forward() -> None:
    x = leaf(*np.linspace(0, 1, 5))
    middle = x + 1  # add saves shapes alone
    ref = weakref.ref(middle.array)
    y = middle * 2 + 1
    del middle
    assert ref() is None
    y.sum().backward()
    assert x.grad.tolist() == [2] * 5


def test_activations_that_a_backward_needs_live_until_then() -> None:
    x = leaf(1.0)
    middle = x * 1
    ref = weakref.ref(middle.array)
    y = middle.exp().log()
    del middle
    assert ref() is None, "exp saves its output and not its input"
    middle = x * 1
    ref = weakref.ref(middle.array)
    y = middle.sin()
    del middle
    assert ref() is not None
    y.backward()
    assert ref() is None


def test_backward_needs_no_more_memory_than_forward_left() -> None:
    """A chain of 50 arrays of 80 kB: each gradient is freed as the next is made, and each saved array with it."""
    x = tt.ones(10_000, dtype=tt.float64, requires_grad=True)
    tracemalloc.start()
    try:
        y = x
        for _ in range(50):
            y = y.sin()
        loss = y.sum()
        del y
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        loss.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = 80_000
    assert held > 48 * size
    assert peak < held + 6 * size
    assert after < 3 * size


def test_a_forward_that_is_not_recorded_keeps_nothing() -> None:
    x = tt.ones(10_000, dtype=tt.float64, requires_grad=True)
    tracemalloc.start()
    try:
        with tt.no_grad():
            y = x
            for _ in range(50):
                y = y.sin()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 80_000


def test_no_cycles_hold_a_graph() -> None:
    """Reference counting alone frees it: no memory waits for the collector."""
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x * x).sin()
        a, b = y.split(1)
        refs = [weakref.ref(y.grad_fn), weakref.ref(a.grad_fn), weakref.ref(y), weakref.ref(y.array)]
        del y, a, b
        assert all(r() is None for r in refs)
    finally:
        gc.enable()


def test_a_second_backward_is_refused_with_its_reason() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"a second time.*retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        (y * 2).backward()
    assert x.grad.item() == 4


def test_retain_graph_allows_a_second_backward() -> None:
    x = leaf(2.0, 3.0)
    a, b = (x * x).exp().split(1)
    y = (a * b).log().sum()
    y.backward(retain_graph=True)
    once = x.grad.array.copy()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.array, 3 * once, rtol=1e-14)
    np.testing.assert_allclose(once, [4, 6], rtol=1e-12)


def test_with_retain_graph_kernels_work_on_copies() -> None:
    """These overwrite what their forward saved; the second pass must not see that."""
    f = tt.nn.functional
    x, target = tt.tensor(np.random.default_rng(0).standard_normal((4, 4)), requires_grad=True), tt.arange(4)
    y = f.layer_norm(x, (4,)).softmax(-1) + f.gelu(f.scaled_dot_product_attention(x, x, x, is_causal=True))
    loss = f.cross_entropy(y, target) + f.cross_entropy(x, target)
    loss.backward(retain_graph=True)
    once = x.grad.array.copy()
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, 2 * once)


# -------------------------------------------------------------------------------- 5. long chains


@pytest.mark.parametrize("backward", [True, False])
def test_a_chain_of_20000_operations(backward: bool) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    assert y.item() == 20_001
    if backward:
        y.backward()
        assert x.grad.item() == 1
    del y
    gc.collect()


def test_a_long_chain_is_no_matter_of_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    x = leaf(1.0)
    y = x
    for _ in range(3 * limit):
        y = y.sin()
    y.backward()
    assert sys.getrecursionlimit() == limit
    assert np.isfinite(x.grad.item())


# ---------------------------------------------------------------------- 6. arrays, and never bare scalars


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(),
        lambda x: x[0],
        lambda x: x @ x,
        lambda x: x.max(),
        lambda x: x.mean() * 2,
        lambda x: x.sum() ** 2,
        lambda x: -x.sum(),
        lambda x: x.prod(),
        lambda x: x.norm(),
        lambda x: x.sum() + x.sum() * x.sum(),
    ],
)
def test_results_and_gradients_are_arrays(function: Callable[[tt.Tensor], tt.Tensor]) -> None:
    x = leaf(1.0, 2.0)
    y = function(x)
    y.retain_grad()
    y.backward()
    scalar = leaf(1.5).reshape(()).detach().requires_grad_()
    (scalar * scalar + scalar).backward()
    for array in (y.array, y.grad.array, x.grad.array, scalar.grad.array):
        assert type(array) is np.ndarray
    assert (y.shape, y.grad.shape, x.grad.shape, scalar.grad.shape) == ((), (), (2,), ())


# ----------------------------------------------------------------------------------- 7. threads


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(functions)

    def run(i: int) -> None:
        try:
            results[i] = functions[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    return results


def test_gradient_mode_is_per_thread() -> None:
    entered, checked = threading.Event(), threading.Event()

    def off() -> bool:
        with tt.no_grad():
            entered.set()
            checked.wait(10)
            return tt.is_grad_enabled()

    def on() -> bool:
        entered.wait(10)
        result = tt.is_grad_enabled() and (leaf(1.0) * 2).requires_grad
        checked.set()
        return result

    assert in_threads(off, on) == [False, True]
    with tt.no_grad():
        assert in_threads(tt.is_grad_enabled) == [True], "a new thread starts with gradients on"


def test_kernels_of_two_threads_run_at_once() -> None:
    """Each waits for the other, in forward and in backward."""
    both = threading.Barrier(2, timeout=10)

    def forward(x: np.ndarray) -> Any:
        both.wait()
        return x * 2, ()

    def backward(dy: np.ndarray) -> Any:
        both.wait()
        return (dy * 2,)

    def work() -> float:
        x = leaf(1.0)
        tape.apply(passing(forward, backward), x).backward()
        return float(x.grad.item())

    assert in_threads(work, work) == [2, 2]


def test_graphs_of_two_threads_are_apart() -> None:
    weights = tt.tensor(np.random.default_rng(0).standard_normal((6, 6)))

    def work(seed: int) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            w = weights.detach().requires_grad_()  # the same memory, a gradient of its own
            for step in range(60):
                x = tt.tensor(np.random.default_rng([seed, step]).standard_normal((4, 6)))
                for _ in range(3):
                    x = (x @ w).tanh() + x
                (x * x).sum().backward()
            return w.grad.array

        return run

    alone = [work(0)(), work(1)()]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        together = in_threads(work(0), work(1))
    finally:
        sys.setswitchinterval(interval)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------ 8. dtypes


def test_float32_leaves_get_float32_gradients() -> None:
    x = leaf(1.0, 2.0, dtype=tt.float32)
    w = tt.ones(2, dtype=tt.float64, requires_grad=True)
    y = (x * np.float64(2) + np.pi) * w + x.double() / 3
    assert y.dtype is tt.float64
    (y * np.sqrt(2)).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (tt.float32, tt.float64)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64"])
def test_a_seed_of_another_dtype_does_not_change_that_of_the_gradient(dtype: str) -> None:
    x = leaf(1.0, 2.0, dtype=tt.float32)
    (x * 2).backward(tt.ones(2, dtype=getattr(tt, dtype)))
    assert x.grad.dtype is tt.float32
    (g,) = tt.autograd.grad(x * 2, x, tt.ones(2, dtype=getattr(tt, dtype)))
    assert g.dtype is tt.float32


def test_numpy_scalars_are_weak() -> None:
    x = leaf(1.0, dtype=tt.float32)
    for c in (np.float64(2), np.float32(2), np.int64(2), np.sqrt(np.float64(4))):
        for y in (x * c, c * x, x / c, c / x, x - c, c - x, x**c, c**x, tt.maximum(x, x * c)):
            assert y.dtype is tt.float32


# ------------------------------------------------------------------------- writing in place


def test_writing_to_what_a_backward_needs_is_refused() -> None:
    for write in (
        lambda c: c.add_(1),
        lambda c: c.mul_(2),
        lambda c: c.zero_(),
        lambda c: c.fill_(3),
        lambda c: c.copy_(tt.ones(2)),
        lambda c: c.normal_(),
        lambda c: c.uniform_(),
        lambda c: c.clamp_(min=0),
        lambda c: c.__setitem__(0, 5.0),
        lambda c: c.__iadd__(1),
        lambda c: c.view(2, 1).add_(1),
        lambda c: c[:1].zero_(),
        lambda c: c.detach().sub_(1),
        lambda c: c.data.div_(2),
    ):
        c, x = tt.tensor([1.0, 2.0], dtype=tt.float64), leaf(1.0, 1.0)
        y = (x * c).sum()
        write(c)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*mul saved"):
            y.backward()
        assert x.grad is None


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: x[i, i],
        lambda x, i: x.gather(1, i.view(1, 2)),
        lambda x, i: tt.nn.functional.embedding(i, x),
        lambda x, i: x[:, :2].masked_fill(i == 0, 2.0),
        lambda x, i: tt.nn.functional.cross_entropy(x[:2], i),
    ],
)
def test_writing_to_an_index_that_a_backward_needs_is_refused(function: Any) -> None:
    x, i = tt.ones(3, 3, requires_grad=True), tt.tensor([0, 1])
    y = function(x, i)
    expected = tt.autograd.grad(y.sum(), x, retain_graph=True)[0]
    i.add_(1)
    refused = False
    try:
        y.sum().backward()
    except RuntimeError as error:
        refused = "inplace" in str(error)
    # a kernel that made its own copy of the index may go on, with the gradient that is right
    assert refused or tt.equal(x.grad, expected)


def test_writing_to_a_mask_that_a_backward_needs_is_refused() -> None:
    x, mask = tt.ones(2, requires_grad=True), tt.tensor([True, False])
    y = tt.where(mask, x, x * 2)
    mask.fill_(True)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_the_dates_of_writes_go_with_the_memory() -> None:
    records = (writes._written, histories.rewritten)
    gc.collect()
    before = [len(r) for r in records]
    x = leaf(1.0, 2.0)
    y, c = x * 1, tt.zeros(2, dtype=tt.float64)
    y.add_(1)
    y[0] += 2
    c[:1].add_(x[:1])
    assert [len(r) for r in records] == [before[0] + 2, before[1] + 2]
    del y, c
    assert [len(r) for r in records] == before


def test_writing_where_no_backward_needs_it_is_allowed() -> None:
    x, c = leaf(1.0, 1.0), tt.tensor([1.0, 2.0], dtype=tt.float64)
    y = (x + c).sum()  # add saves no values
    c.zero_()
    y.backward()
    c = tt.tensor([1.0, 2.0], dtype=tt.float64)
    c.add_(1)  # before it is used
    (x * c).sum().backward()
    c.add_(1)  # and after
    assert x.grad.tolist() == [3, 4]


def test_a_step_between_forward_and_backward_is_refused() -> None:
    w = leaf(1.0, 2.0)
    for optimizer in (tt.optim.SGD([w], lr=0.1), tt.optim.AdamW([w], lr=0.1)):
        (w * w).sum().backward()
        y = (w * w).sum()
        optimizer.step()
        with pytest.raises(RuntimeError, match="inplace"):
            y.backward()
        (w * w).sum().backward()


def test_in_place_on_a_leaf_that_requires_grad_is_refused() -> None:
    x = leaf(1.0, 2.0)
    for write in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0), lambda: x.__iadd__(1.0)):
        with pytest.raises(RuntimeError, match="leaf"):
            write()
    with tt.no_grad():
        x.add_(1)
        x[0] = 7.0
        x -= 1
    assert x.tolist() == [6, 2]
    assert x.is_leaf
    assert x.requires_grad


@pytest.mark.parametrize("write", [lambda y: y.add_(1), lambda y: y.__setitem__(0, 1.0), lambda y: y.clamp_(max=1)])
def test_in_place_on_a_result_is_refused_where_its_old_values_are_needed(write: Any) -> None:
    y = leaf(1.0, 2.0).exp()  # exp saves its result
    write(y)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


# ---------------------------------------------------------------- exceptions leave the state clean


def test_an_exception_in_a_backward_leaves_no_half_of_a_gradient() -> None:
    def fail(dy: np.ndarray) -> Any:
        raise FloatingPointError("planted")

    a, b = leaf(1.0), leaf(2.0)
    b.grad = tt.tensor([5.0], dtype=tt.float64)
    y = tape.apply(passing(lambda x: (x * 1, ()), fail), a * 2)
    with tt.enable_grad(), pytest.raises(FloatingPointError, match="planted"):
        (b * 3 + y + a).sum().backward()
    assert a.grad is None
    assert b.grad.tolist() == [5]
    assert tt.is_grad_enabled()
    assert np.geterr()["over"] != "ignore"
    (b * 3).sum().backward()
    assert b.grad.tolist() == [8]


def test_an_exception_in_a_forward_leaves_the_state_clean() -> None:
    def fail(x: np.ndarray) -> Any:
        raise FloatingPointError("planted")

    x, errors = leaf(1.0, 2.0), np.geterr()
    y = x * 3
    for error, call in (
        (RuntimeError, lambda: y + tt.ones(3)),
        (RuntimeError, lambda: y @ tt.ones(3, dtype=tt.float64)),
        (FloatingPointError, lambda: tape.apply(passing(fail, fail), y)),
        (IndexError, lambda: y[5]),
        (RuntimeError, lambda: y.add_(tt.ones(3))),
        (RuntimeError, lambda: y.__setitem__(0, tt.ones(3))),
        (RuntimeError, lambda: y.clamp_()),
    ):
        with pytest.raises(error):
            call()
        assert tt.is_grad_enabled()
        assert np.geterr() == errors
    assert y.tolist() == [3, 6]
    (y * y).sum().backward()
    assert x.grad.tolist() == [18, 36]


def test_an_in_place_operation_that_failed_wrote_nothing() -> None:
    """So a backward that needs the values goes on."""
    for write in (
        lambda c: c.add_(tt.ones(3)),
        lambda c: c.mul_("2"),
        lambda c: c.copy_(tt.ones(3)),
        lambda c: c.fill_(tt.ones(3)),
        lambda c: c.__setitem__(0, tt.ones(3)),
        lambda c: c.__setitem__(7, 1.0),
        lambda c: c.clamp_(),
    ):
        x, c = leaf(1.0, 1.0), tt.tensor([1.0, 2.0], dtype=tt.float64)
        y = (x * c).sum()
        with pytest.raises((RuntimeError, TypeError, IndexError)):
            write(c)
        y.backward()
        assert x.grad.tolist() == c.tolist() == [1, 2]


def test_an_exception_restores_the_gradient_mode() -> None:
    def fail(x: np.ndarray) -> Any:
        raise FloatingPointError("planted")

    for mode in (tt.no_grad, tt.inference_mode, lambda: tt.set_grad_enabled(False)):
        with pytest.raises(FloatingPointError), mode():
            tape.apply(passing(fail, fail), leaf(1.0))
        assert tt.is_grad_enabled()

    @tt.no_grad()
    def function() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        function()
    assert tt.is_grad_enabled()


# ---------------------------------------------------------------------------------- gradient mode


OFF: list[Any] = [tt.no_grad, tt.inference_mode, lambda: tt.set_grad_enabled(False), lambda: tt.inference_mode(True)]


@pytest.mark.parametrize("off", OFF)
def test_nothing_is_recorded_under(off: Any) -> None:
    x = leaf(1.0)
    with off():
        assert not tt.is_grad_enabled()
        y = x * 2
        with tt.enable_grad():
            z = x * 2
        w = x * 2
    assert tt.is_grad_enabled()
    assert [t.requires_grad for t in (y, z, w, x * 2)] == [False, True, False, True]
    assert [t.is_leaf for t in (y, z, w)] == [True, False, True]


@pytest.mark.parametrize("off", OFF)
def test_gradient_mode_as_a_decorator(off: Any) -> None:
    @off()
    def function(x: int, *, y: int = 1) -> tuple[int, bool]:
        """Its docstring."""
        return x + y, tt.is_grad_enabled()

    assert tt.is_grad_enabled()
    assert function(2, y=3) == (5, False)
    assert tt.is_grad_enabled()
    assert (function.__name__, function.__doc__) == ("function", "Its docstring.")


@pytest.mark.parametrize("off", [tt.no_grad, tt.inference_mode])
def test_gradient_mode_as_a_decorator_without_parentheses(off: Any) -> None:
    @off
    def function() -> bool:
        return tt.is_grad_enabled()

    assert function() is False
    assert tt.is_grad_enabled()


def test_enable_grad_as_a_decorator() -> None:
    @tt.enable_grad()
    def with_parentheses() -> bool:
        return tt.is_grad_enabled()

    @tt.enable_grad
    def without() -> bool:
        return tt.is_grad_enabled()

    with tt.no_grad():
        assert with_parentheses()
        assert without()
        assert not tt.is_grad_enabled()


def test_a_decorated_method() -> None:
    class Model:
        @tt.no_grad()
        def generate(self) -> bool:
            return tt.is_grad_enabled()

    assert Model().generate() is False


def test_set_grad_enabled_as_a_plain_call() -> None:
    tt.set_grad_enabled(False)
    try:
        assert not tt.is_grad_enabled()
    finally:
        tt.set_grad_enabled(True)
    with tt.set_grad_enabled(True):
        assert tt.is_grad_enabled()


def modes(t: Any) -> list[bool]:
    """Every nesting of two modes, and the mode after it."""
    off_on = [
        t.no_grad,
        t.enable_grad,
        t.inference_mode,
        lambda: t.inference_mode(False),
        lambda: t.set_grad_enabled(True),
    ]
    seen = []
    for outer in off_on:
        for inner in off_on:
            with outer():
                seen.append(t.is_grad_enabled())
                with inner():
                    seen.append(t.is_grad_enabled())
                seen.append(t.is_grad_enabled())
            seen.append(t.is_grad_enabled())
    return seen


def test_nested_modes_are_those_of_pytorch() -> None:
    assert modes(tt) == modes(pytest.importorskip("torch"))


def test_a_generator_runs_in_the_mode_and_its_caller_does_not() -> None:
    @tt.no_grad()
    def stream() -> Iterator[bool]:
        for _ in range(3):
            yield tt.is_grad_enabled()

    seen = []
    for inside in stream():
        seen += [inside, tt.is_grad_enabled()]
    assert seen == [False, True] * 3


def test_a_decorated_generator_is_still_one() -> None:
    """send, throw, close and its return value reach it, in the mode."""
    closed = []

    @tt.no_grad()
    def conversation() -> Any:
        try:
            heard = yield "ready"
            try:
                yield heard
            except KeyError:
                yield "caught"
        finally:
            closed.append(tt.is_grad_enabled())
        return "done"

    g = conversation()
    assert next(g) == "ready"
    assert g.send("hello") == "hello"
    assert g.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "done"
    g = conversation()
    next(g)
    g.close()
    assert closed == [False, False]
    assert tt.is_grad_enabled()


# ----------------------------------------------------------------------- grad, retain_grad, hooks, detach


def test_retain_grad_keeps_that_of_a_result() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    z = y * y
    z.sum().backward()
    assert (y.grad.item(), x.grad.item()) == (12, 36)
    x.retain_grad()  # of a leaf: nothing to do
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        tt.ones(1).retain_grad()


def test_a_result_without_retain_grad_has_none() -> None:
    x = leaf(2.0)
    y = x * 3
    y.sum().backward()
    assert y.grad is None


def test_grad_of_leaves_and_results() -> None:
    x, w = leaf(2.0, 3.0), leaf(5.0, 7.0)
    y = x * w
    z = y * y
    dx, dy = tt.autograd.grad(z.sum(), [x, y])
    assert dx.tolist() == [2 * 10 * 5, 2 * 21 * 7]
    assert dy.tolist() == [20, 42]
    assert x.grad is None
    assert w.grad is None


def test_grad_of_several_outputs_with_seeds() -> None:
    x = leaf(2.0, 3.0)
    a, b = x * 2, x * x
    seed = tt.tensor([1.0, 10.0], dtype=tt.float64)
    (g,) = tt.autograd.grad([a, b.sum()], x, [seed, None])
    assert g.tolist() == [2 + 4, 20 + 6]


def test_grad_of_an_output_that_is_an_input() -> None:
    x = leaf(2.0)
    y = x * 3
    gy, gx = tt.autograd.grad(y, [y, x])
    assert (gy.item(), gx.item()) == (1, 3)


def test_grad_of_an_unused_input() -> None:
    x, other = leaf(2.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="allow_unused"):
        tt.autograd.grad((x * 2).sum(), [x, other])
    dx, unused = tt.autograd.grad((x * 2).sum(), [x, other], allow_unused=True)
    assert dx.item() == 2
    assert unused is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.autograd.grad((x * 2).sum(), tt.ones(1))


def test_grad_up_to_a_result_leaves_what_is_below_for_a_second_pass() -> None:
    """Only what lies between output and input runs, so the rest can still be played: backward in two halves."""
    x = leaf(1.0, 2.0)
    middle = x.exp()
    loss = middle.sin().sum()
    (g,) = tt.autograd.grad(loss, middle)
    middle.backward(g)
    np.testing.assert_allclose(x.grad.array, np.cos(np.exp(x.array)) * np.exp(x.array), rtol=1e-14)


def test_gradients_that_grad_returns_are_the_callers() -> None:
    x = leaf(1.0, 2.0)
    y = x + 1
    a, b = tt.autograd.grad(y.sum(), [x, y])
    a.mul_(10)
    assert b.tolist() == [1, 1]
    assert not np.shares_memory(a.array, b.array)
    seed = tt.ones(2, dtype=tt.float64)
    z = y + 1
    returned = [g.array for g in tt.autograd.grad(z + 1, [y, z], seed)]
    assert not any(np.shares_memory(g, seed.array) for g in returned)
    assert not np.shares_memory(*returned)


def test_bad_seeds_and_roots() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"scalar outputs.*\(2,\)"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"\(3,\).*\(2,\)"):
        (x * 2).backward(tt.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.ones(1).backward()
    with tt.no_grad():
        y = (x * 2).sum()
    with pytest.raises(RuntimeError, match="does not require grad"):
        y.backward()


def test_detach_cuts_the_graph_and_shares_the_memory() -> None:
    x = leaf(2.0)
    y = x * 3
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert np.shares_memory(d.array, y.array)
    (y * d).sum().backward()
    assert x.grad.item() == 6 * 3


def test_inputs_that_want_no_gradient_get_none() -> None:
    x, c = leaf(1.0), tt.tensor([2.0], dtype=tt.float64)
    (x * c).sum().backward()
    assert c.grad is None
    assert x.grad.item() == 2


def test_a_split_with_unused_outputs() -> None:
    x = leaf(*range(6))
    a, b, c = x.split(2)
    (b * tt.tensor([10.0, 20.0], dtype=tt.float64)).sum().backward()
    assert x.grad.tolist() == [0, 0, 10, 20, 0, 0]
    a, b, c = x.split(2)
    (a + a + c).sum().backward()
    assert x.grad.tolist() == [2, 2, 10, 20, 1, 1]


def test_outputs_of_one_call_in_two_backwards() -> None:
    """The first drops what the call saved; the second says so."""
    a, b = leaf(1.0, 2.0).split(1)
    a.sum().backward()
    with pytest.raises(RuntimeError, match="split a second time"):
        b.sum().backward()


# ------------------------------------------------------------------------ what mutation testing asked for


def test_the_third_gradient_is_added_in_place() -> None:
    n = 1 << 18
    thrice = passing(lambda x, y, z: (x + y + z, ()), lambda dy: (dy, dy, dy))
    x, dy = tt.ones(n, requires_grad=True), tt.ones(n)
    y = tape.apply(thrice, x, x, x)
    tracemalloc.start()
    y.backward(dy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.grad.tolist() == [3.0] * n
    assert peak < 1.5 * x.array.nbytes  # the sum alone, which then is the gradient


def test_a_result_whose_gradient_is_none_ends_its_branch_alone() -> None:
    first = passing(lambda a, b: (a + b, ()), lambda dy: (dy, None))
    a, b = leaf(1.0), leaf(2.0)
    a2 = a * 3
    b2 = b * 5  # younger than a2: met first on the way back
    tape.apply(first, a2, b2).sum().backward()
    assert a.grad.item() == 3
    assert b.grad is None


def test_a_backward_hears_which_gradients_are_needed() -> None:
    heard = []

    def backward(dy: Any, *, needs: tuple[bool, ...] = (True, True, True)) -> Any:
        heard.append(needs)
        return dy, dy, None

    row = passing(lambda a, b, c: (a + b, ()), backward)
    tape.apply(row, tt.ones(1), leaf(1.0) * 2, None).sum().backward()
    assert heard == [(False, True, False)]


def test_a_backward_with_too_few_gradients_is_refused() -> None:
    row = passing(lambda a, b: (a + b, ()), lambda dy: (dy,))
    with pytest.raises(ValueError, match="1 gradients for 2 inputs"):
        tape.apply(row, leaf(1.0), leaf(1.0)).sum().backward()


def test_a_retained_gradient_adds_up() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert (y.grad.item(), x.grad.item()) == (24, 72)


def test_kernels_of_another_thread_are_quiet_too() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (tt.ones(1) / 0).item()).result() == float("inf")


def test_set_grad_enabled_as_a_decorator() -> None:
    for mode in (True, False):

        @tt.set_grad_enabled(mode)
        def function() -> bool:
            return tt.is_grad_enabled()

        @tt.set_grad_enabled(mode)
        def generator() -> Iterator[bool]:
            yield tt.is_grad_enabled()

        for around in (tt.no_grad, tt.enable_grad):
            with around():
                assert (function(), *generator()) == (mode, mode)
                assert tt.is_grad_enabled() == (around is tt.enable_grad)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(RuntimeError) as caught:
        tt.ones(2, 3) + tt.ones(4)
    assert str(caught.value).startswith(
        "add: shapes (2, 3) and (4,) do not fit; what fits: from the right, sizes are equal, or one of them is 1 or"
        " missing (operands could not be broadcast"
    )

    def refuses(x: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(RuntimeError, match=r"^planted: shapes \(1,\) do not fit \(no\)$"):
        tape.apply(passing(refuses, refuses), leaf(1.0))


def test_inputs_on_two_devices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tt.ones(1), tt.ones(1)
    out = {id(a.array): "cuda:0", id(b.array): "cpu"}
    monkeypatch.setitem(sys.modules, "cupy", np)
    monkeypatch.setattr(devices, "device_of", lambda x: out[id(x)])
    row = passing(lambda a, b, c: (a, ()), lambda dy: (dy, None, None))
    with pytest.raises(RuntimeError) as caught:
        tape.apply(row, a, None, b)
    assert str(caught.value) == (
        "planted: expected all tensors on one device, found cpu and cuda:0; move one with .to(device)"
    )
    assert tape.apply(row, a, None, a).tolist() == [1]


def test_errors_of_kernels() -> None:
    def inside(x: Any) -> Any:
        return (tt.ones(1) * 2).array, ()

    def failing(x: Any) -> Any:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match=r"^mul_scalar was called inside a kernel: kernels work on arrays"):
        tape.apply(passing(inside, inside), leaf(1.0))
    with pytest.raises(RuntimeError, match=r"^out of luck$"):
        tape.apply(passing(failing, failing), leaf(1.0))
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="called inside a kernel"):
        pool.submit(tape.apply, passing(inside, inside), leaf(1.0)).result()  # each thread has a mode of its own


def test_a_value_that_does_not_fit_a_mask_is_told_in_numpys_words() -> None:
    y = leaf(1.0, 2.0, 3.0) * 1
    with pytest.raises(RuntimeError, match=r"^setitem: shapes .* do not fit; what fits: .* \(.*(assign|mask).*\)$"):
        y[tt.tensor([True, True, False])] = tt.tensor([1.0, 2.0, 3.0], dtype=tt.float64)


def test_the_gradient_of_a_split_lies_like_its_input() -> None:
    """So that the transpose that the model takes before it costs no copy on the way back."""
    x = np.ones((4, 2, 3)).transpose(2, 1, 0)  # (3, 2, 4)
    pieces, saved = SPLIT.forward(x, sizes=[1, 2], axis=0)
    (dx,) = SPLIT.backward(list(pieces), *saved)
    assert dx.strides == x.strides


def test_grad_of_a_leaf_leaves_other_branches_for_a_second_pass() -> None:
    u, w = leaf(2.0), leaf(3.0)
    a = u * u
    (dw,) = tt.autograd.grad((a * w).sum(), w)
    a.sum().backward()
    assert (dw.item(), u.grad.item()) == (4, 4)


def test_a_view_of_a_constant_that_was_given_a_gradient_binds_its_memory_alone() -> None:
    base = tt.zeros(3)
    base[:2].add_(tt.ones(2, requires_grad=True))
    w, constant = tt.ones(2, requires_grad=True), tt.ones(3, 2)
    (F.linear(constant, w) * tt.ones(3)).sum().backward()  # other constants, and an absent bias
    assert w.grad.tolist() == [3, 3]
    with tt.no_grad():
        assert (base * 2).tolist() == [2, 2, 0]


def test_a_view_that_is_written_back_to_its_place() -> None:
    x = tt.ones(3, requires_grad=True)
    y = x * 2
    y[0] = y[0]
    y[1:] = y[1:] * 3
    y.sum().backward()
    assert x.grad.tolist() == [2, 6, 6]


@pytest.mark.parametrize(
    "function", [lambda x: tt.einsum("ij,jk->ik", x, x), lambda x: x[[1, 0]], lambda x: x[x > 0], lambda x: x * 1]
)
def test_what_is_no_view_of_a_leaf_can_be_written_to(function: Callable[[tt.Tensor], tt.Tensor]) -> None:
    x = tt.ones(2, 2, requires_grad=True)
    y = function(x).mul_(3)
    assert x.tolist() == [[1, 1], [1, 1]]
    y.sum().backward()
    (plain,) = tt.autograd.grad((function(x) * 3).sum(), x)
    assert x.grad.tolist() == plain.tolist()


def test_results_are_of_the_class_that_was_named() -> None:
    class Other(tt.Tensor):
        pass

    try:
        assert base.results_are(Other) is Other
        assert type(tt.ones(1) + 1) is Other
    finally:
        base.results_are(tt.Tensor)
    assert type(tt.ones(1) + 1) is tt.Tensor


def test_what_linear_says_of_sizes_that_do_not_fit() -> None:
    x, w = tt.ones(2, 3), tt.ones(4, 5)
    for arguments, reason in (
        ((x, w), "x and the weight need the same last dimension, and the weight has one or two"),
        ((x, tt.ones(4, 3), tt.ones(1, 4)), "the bias has one dimension"),
    ):
        with pytest.raises(RuntimeError) as caught:
            F.linear(*arguments)
        assert str(caught.value).startswith("linear: shapes (2, 3) and ")
        assert str(caught.value).endswith(f"; what fits: x (…, I), weight (O, I), bias (O,) ({reason})")


def test_the_inverse_root_of_minus_zero() -> None:
    assert tt.tensor([-0.0, 0.0, 4.0]).rsqrt().tolist() == [-np.inf, np.inf, 0.5]


def test_a_gradient_outside_of_the_offered_buffer_stays_borrowed() -> None:
    """A backward with `out` may return dy itself, for two inputs: an addition in place to one would change the other."""

    def backward(dy: Any, *, out: Any = None) -> Any:
        return dy, dy

    planted = passing(lambda a, w: (a + w, ()), backward)
    w = tt.nn.Parameter(tt.ones(2))
    Flat([w])
    x = tt.ones(2, requires_grad=True)
    h = x * 1
    y = h * 10
    z = tape.apply(planted, h, w)  # newer: its gradients come first
    (y + z * 1).backward(tt.tensor([1.0, 2.0]))
    assert (x.grad.tolist(), w.grad.tolist()) == ([11, 22], [1, 2])


def test_a_call_on_a_gpu_is_handed_to_its_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def replacement(primitive: Primitive, arrays: Any, static: Any) -> Primitive:
        asked.append((primitive, list(arrays), dict(static)))
        return passing(lambda x, *, c: (x + c + 100, ()), lambda dy: (dy,))

    monkeypatch.setitem(sys.modules, "cupy", np)
    monkeypatch.setattr(tape, "on_one_gpu", lambda name, arrays: True)
    monkeypatch.setitem(dispatch.registered, "replacement", replacement)
    x, plain = leaf(1.0), passing(lambda x, *, c: (x + c, ()), lambda dy: (dy,))
    assert tape.apply(plain, x, c=2).tolist() == [103]
    assert asked == [(plain, [x.array], {"c": 2})]


# ------------------------------------------------------------- a constant becomes a leaf when it has views

LATE_WRITES: list[Callable[[Any, Any], Any]] = [
    lambda t, v: v.mul_(2),
    lambda t, v: v.mul_(t.ones(2, requires_grad=True)),
    lambda t, v: v.copy_(t.zeros(2)),
    lambda t, v: v.fill_(3),
    lambda t, v: v.eq_(1),
    lambda t, v: v.normal_(),
    lambda t, v: v.__setitem__(0, 5.0),
    lambda t, v: v[:1].mul_(2),
    lambda t, v: v.requires_grad_().mul_(2),
    lambda t, v: v.logical_not_().tolist(),
    lambda t, v: v.detach().mul_(2).tolist(),
    lambda t, v: v.data.mul_(2).tolist(),
    lambda t, v: without_recording(t, v).sum().backward(),
    lambda t, v: None,
]
VIEWED: list[Callable[[Any], Any]] = [
    lambda c: c[1:],
    lambda c: c[:2].flip(0) * 0 + c[::2],  # no view
    lambda c: c[::2],
    lambda c: c.view(1, 3)[0, 1:],
    lambda c: c[1:].unsqueeze(0).t()[:, 0],
    lambda c: c[1].expand(2),
    lambda c: c.detach()[1:],
]


def without_recording(t: Any, v: Any) -> Any:
    with t.no_grad():
        v.mul_(3)
    return v


@pytest.mark.parametrize("view", VIEWED)
@pytest.mark.parametrize("write", LATE_WRITES)
def test_views_of_a_constant_are_views_of_the_leaf_that_it_becomes(
    write: Callable[[Any, Any], Any], view: Callable[[Any], Any]
) -> None:
    torch = pytest.importorskip("torch")

    def played(t: Any) -> Any:
        c, other = t.tensor([1.0, 0.0, 2.0]), t.ones(3)
        v, apart = view(c), view(other)
        c.requires_grad_()
        try:
            result = write(t, v)
        except RuntimeError:
            result = "refused"
        found = [None if isinstance(result, t.Tensor) else result, c.grad is not None and c.grad.tolist()]
        return [*found, v.requires_grad, c.requires_grad, c.is_leaf, apart.requires_grad]

    assert played(tt) == played(torch)


def test_a_view_of_a_leaf_that_was_a_constant_passes_its_gradient_on() -> None:
    """PyTorch loses it, until the next write to the memory tells it that the view is one of a leaf."""
    c = tt.tensor([1.0, 0.0, 2.0])
    v, w = c[1:], c.view(3, 1).expand(3, 2)
    c.requires_grad_()
    ((v * tt.tensor([3.0, 4.0])).sum() + w.sum()).backward()
    assert c.grad.tolist() == [2, 5, 6]
    with pytest.raises(RuntimeError, match="can't detach views"):
        v.detach_()


def test_what_is_no_base_has_no_views() -> None:
    c = tt.ones(3)
    whole, part = c.view(3), c[:2]
    whole.requires_grad_()  # itself a view: the others are views of c
    assert not (c.requires_grad or part.requires_grad)
    p = tt.nn.Parameter(c)  # not c, though on its memory
    assert not (c.requires_grad or part.requires_grad) and p.requires_grad
    numbers = np.ones(3)
    x, y = tt.from_numpy(numbers), tt.from_numpy(numbers[:2])
    x.requires_grad_()
    assert not y.requires_grad


def test_a_leaf_without_views_is_not_noted() -> None:
    """Every call would look for the Tensors on its memory."""
    gc.collect()
    before = len(histories.rewritten)
    made = [tt.tensor([1.0], requires_grad=True), tt.tensor([1.0]).requires_grad_(), tt.nn.Linear(2, 2)]
    made += [tt.ones(3, requires_grad=True), tt.randn(3, requires_grad=True), tt.zeros(3).requires_grad_()]
    made += [tt.from_numpy(np.ones(3)).requires_grad_(), (tt.ones(3) * 2).requires_grad_()]
    made[2].requires_grad_(False).requires_grad_(True)
    assert len(histories.rewritten) == before
    c = tt.ones(3)
    v = c[:2]
    c.requires_grad_(False)
    assert len(histories.rewritten) == before
    c.requires_grad_()
    assert len(histories.rewritten) == before + 1
    del c, v
    assert len(histories.rewritten) == before
