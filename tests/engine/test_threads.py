"""Rule 7 of the tape: several threads run forward and backward at once, also into the same leaves, and nothing is lost."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor import accumulate, grad_hooks, tape, writes
from tinytensor.nn.flat import Flat
from tinytensor.primitive import Primitive


@pytest.fixture(autouse=True, scope="module")
def switching() -> Iterator[None]:
    """Threads take turns as often as Python can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """What they return, each run by a thread of its own; all begin together."""
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        start.wait(10)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(60) for future in [pool.submit(run, f) for f in functions]]


def parameters(count: int, flat: bool) -> list[Any]:
    found = [tt.nn.Parameter(tt.ones(3, i + 1, dtype=tt.float64)) for i in range(count)]
    if flat:
        Flat(found)
    return found


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("leaves, threads", [(1, 4), (5, 2), (3, 8)])
def test_no_gradient_of_a_leaf_is_lost(leaves: int, threads: int, flat: bool) -> None:
    for _ in range(10):
        ps = parameters(leaves, flat)

        def work(ps: Any = ps) -> None:
            for _ in range(25):
                sum((p * 2).sum() + (p @ tt.ones(p.shape[1], 2, dtype=tt.float64)).sum() for p in ps).backward()

        at_once(*[work] * threads)
        for p in ps:
            assert p.grad.tolist() == tt.full(p.shape, threads * 25 * 4).tolist()


def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but it waits a moment for a second thread to call it as well, where nothing keeps that one out."""
    both = threading.Barrier(2)

    def call(*args: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return function(*args)

    return call


def test_two_first_gradients_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of two threads that find no .grad puts its own over that of the other; of a leaf, and of a result."""
    for module in (accumulate, grad_hooks):
        monkeypatch.setattr(module, "wrap", waiting(module.wrap))
    w = tt.ones(2, requires_grad=True)
    y = w * 2
    at_once(*[lambda: (w * 3).sum().backward()] * 2)
    assert w.grad.tolist() == [6, 6]
    y.retain_grad()
    z = y.sum()
    at_once(*[lambda: z.backward(retain_graph=True)] * 2)
    assert y.grad.tolist() == [2, 2]


def test_additions_to_a_large_gradient_wait_for_each_other() -> None:
    w = tt.zeros(1_000_000, requires_grad=True)
    at_once(*[lambda: [w.sum().backward() for _ in range(10)]] * 4)  # NumPy lets other threads run while it adds
    assert w.grad.array.min() == w.grad.array.max() == 40


def test_a_buffer_is_offered_to_one_of_two_backwards() -> None:
    (p,) = parameters(1, flat=True)
    both, offered = threading.Barrier(2), []

    def backward(dy: Any, *, out: Any) -> Any:
        both.wait(10)
        offered.append(out[0])
        return (dy * 2 if out[0] is None else np.multiply(dy, 2, out=out[0]),)

    double = Primitive("double", lambda x: (x * 2, ()), backward, "y = 2x", "")
    at_once(*[lambda: tape.apply(double, p).sum().backward()] * 2)
    assert sorted(out is None for out in offered) == [False, True]
    assert p.grad.tolist() == [[4]] * 3


STEPS = [
    lambda x, y: x * y,
    lambda x, y: x @ y.T,
    lambda x, y: x + y,
    lambda x, y: x.tanh() - y,
    lambda x, _: x[[1, 0]],
]
programs = st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 5), st.integers(0, 5)), max_size=8)


@cases(15)
@given(st.lists(programs, min_size=2, max_size=4), st.booleans())
def test_graphs_of_several_threads_on_the_same_leaves(graphs: list[Any], flat: bool) -> None:
    """The gradients are those of one thread that plays the graphs one after the other."""

    def leaves() -> list[Any]:
        rng = np.random.default_rng(0)
        ps = [tt.nn.Parameter(tt.tensor(rng.standard_normal((2, 2)))) for _ in range(3)]
        if flat:
            Flat(ps)
        return ps

    def play(ps: list[Any], graph: Any) -> None:
        for _ in range(4):
            values = list(ps)
            for step, i, j in graph:
                values.append(STEPS[step](values[-1 - i % len(values)], values[-1 - j % len(values)]) * 0.5)
            sum(v.sum() for v in values).backward()

    alone, together = leaves(), leaves()
    for graph in graphs:
        play(alone, graph)
    at_once(*[lambda graph=graph: play(together, graph) for graph in graphs])
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(b.grad.array, a.grad.array, rtol=1e-12, atol=1e-12)  # another order of additions


def test_one_graph_played_by_many_threads() -> None:
    """With retain_graph all gradients arrive, also those that a result retains; autograd.grad disturbs nobody."""
    w = tt.ones(2, 2, dtype=tt.float64, requires_grad=True)
    y = (w * 3).exp()
    y.retain_grad()
    z = (y * 2).sum()
    expected = tt.autograd.grad(z, w, retain_graph=True)[0].array

    def play() -> None:
        for _ in range(20):
            z.backward(retain_graph=True)

    def ask() -> None:
        for _ in range(20):
            assert np.array_equal(tt.autograd.grad(z, w, retain_graph=True)[0].array, expected)

    at_once(play, play, play, ask, ask)
    np.testing.assert_allclose(w.grad.array, 60 * expected, rtol=1e-12)
    assert y.grad.tolist() == [[202, 202], [202, 202]]  # as in PyTorch, autograd.grad adds to it as well: 101 times 2


def test_one_graph_is_played_once_or_refused() -> None:
    for _ in range(30):
        w = tt.ones(2, dtype=tt.float64, requires_grad=True)
        z = w
        for _ in range(20):
            z = (z * 1.0).tanh()
        z = z.sum()

        def play(z: Any = z) -> str:
            try:
                z.backward()
            except RuntimeError as error:
                return str(error)
            return ""

        said = at_once(play, play)
        assert all(not text or "a second time" in text for text in said)
        assert (w.grad is None) == all(said)


def test_writes_of_many_threads_are_all_dated() -> None:
    """A later date is not replaced by an earlier one, and the dates can be read meanwhile."""
    x, w = tt.zeros(4), tt.ones(4, requires_grad=True)

    def write() -> None:
        for _ in range(200):
            x.add_(1)
            tt.zeros(1).add_(1)  # its date goes with it

    def check() -> None:
        for _ in range(200):
            (w * tt.ones(4)).sum().backward()

    at_once(write, write, check, check)
    y = (w * x).sum()
    at_once(lambda: x.add_(1), lambda: x.add_(1))
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()


def test_a_date_is_taken_and_noted_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is interrupted between both must not put its date over a later one."""
    x, inside, other = tt.zeros(2), threading.Event(), threading.Event()
    tick = writes.tick

    def slow() -> int:
        date = tick()
        if not inside.is_set():
            inside.set()
            other.wait(0.2)  # for the other thread, which has to wait for this one
        return date

    def later() -> None:
        inside.wait(10)
        x.add_(1)
        other.set()

    monkeypatch.setattr(writes, "tick", slow)
    at_once(lambda: x.add_(1), later)
    _, date = writes._written[id(writes.owner(x.array))]
    assert date == max(date, tick() - 1)


def test_random_numbers_and_modes_belong_to_the_thread() -> None:
    def draw(seed: int) -> Callable[[], Any]:
        def run() -> Any:
            tt.manual_seed(seed)
            with tt.no_grad() if seed % 2 else tt.enable_grad():
                drawn = [tt.rand(3).tolist() for _ in range(50)]
                return drawn, (tt.ones(1, requires_grad=True) * 2).requires_grad

        return run

    alone = [draw(seed)() for seed in range(4)]
    assert at_once(*map(draw, range(4))) == alone
