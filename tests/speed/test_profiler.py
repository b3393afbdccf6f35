"""The profiler: its rows add up, name what was called, change no bit, and leave nothing behind."""

from __future__ import annotations

import gc
import importlib
import itertools
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from gpt.config import GPTConfig
from gpt.model import GPT
from tinytensor import nn, tape
from tinytensor.primitive import PRIMITIVES
from tinytensor.profiler import profile, profiler, record_function, track
from tinytensor.profiler.events import EventList
from tinytensor.profiler.track import Scope


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one second whenever it is read: a span lasts one more than the readings inside it."""
    clock = SimpleNamespace(perf_counter=map(float, itertools.count()).__next__)
    monkeypatch.setattr(track, "time", clock)
    monkeypatch.setattr(profiler, "time", clock)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.GELU(), nn.Linear(8, 4)), nn.LayerNorm(4))


def step(model: Any, x: Any) -> None:
    model(x).sum().backward()


def row(events: EventList, key: str) -> Any:
    (event,) = [event for event in events if event.key == key]
    return event


def in_place() -> list[Any]:
    """What a profile swaps."""
    return [
        nn.Module.__call__,
        tape.backward,
        "step" in vars(tt.optim.AdamW),
        *((p.forward, p.backward) for row in PRIMITIVES.values() for p in (row, row.half) if p),
    ]


@pytest.fixture(autouse=True)
def _off_afterwards() -> Iterator[None]:
    before = in_place()
    yield
    assert in_place() == before


# -------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("threads", [1, 3])
def test_the_rows_add_up_to_the_time_of_all_threads(threads: int) -> None:
    models, x = [small() for _ in range(threads)], tt.ones(5, 8)
    with profile(profile_memory=True) as prof, ThreadPoolExecutor(threads) as pool:
        step(models[0], x)
        list(pool.map(lambda model: step(model, x), models[1:], timeout=60))
    assert 1 <= prof.threads <= threads
    assert (prof.threads > 1) == (threads > 1)
    whole = pytest.approx(1e6 * prof.seconds * prof.threads, rel=1e-9)
    assert prof.key_averages().self_cpu_time_total == whole
    assert prof.by_module().self_cpu_time_total == whole
    assert row(prof.key_averages(), "linear").count == 2 * threads
    assert row(prof.by_module(), "1.0").count == threads  # of copies with the same names
    assert all(event.own >= 0 for event in [*prof.key_averages(), *prof.by_module()])


@pytest.mark.usefixtures("ticks")
def test_primitives_have_their_calls_and_times() -> None:
    model, x = small(), tt.ones(5, 8)
    with profile() as prof:
        for _ in range(2):
            step(model, x)
    found = {e.key: (e.count, e.forward, e.backward, e.own, e.cpu_time_total) for e in prof.key_averages()}
    assert found["linear"] == (4, 4, 4, 8, 8e6)
    for name in ("gelu", "layer_norm", "sum"):
        assert found[name] == (2, 2, 2, 4, 4e6)
    assert found["profiler"][0] == 10  # every forward
    assert found.keys() == {
        "linear",
        "gelu",
        "layer_norm",
        "sum",
        "tape and Python",
        "profiler",
        "everything else",
    }
    assert next(iter(found)) == "linear"
    _, forward, backward, own, _ = found["tape and Python"]
    assert forward > 0 < backward and own == forward + backward


@pytest.mark.usefixtures("ticks")
def test_modules_have_their_names_and_the_backwards_of_what_they_called() -> None:
    model, x = small(), tt.ones(5, 8)
    with profile() as prof:
        step(model, x)
    events = prof.by_module()
    assert [e.key for e in events][:6] == ["Sequential", "0", "1", "1.0", "1.1", "2"]
    assert {e.key: e.backward for e in events[:6]} == {"Sequential": 4, "0": 1, "1": 2, "1.0": 1, "1.1": 1, "2": 1}
    # a module of one kernel: begin, its kernel's begin and end, the profiler's, end: three ticks of its own, one of the kernel
    assert {e.forward for e in events if e.key in ("0", "1.0", "1.1", "2")} == {5}
    assert row(events, "0").own == 3 + 1 + 1
    assert row(events, "1").forward == 5 + 5 + 3  # its own ticks lie before, between and after
    assert row(events, "1").own == 3
    assert row(events, "Sequential").total == row(events, "Sequential").forward + 4
    assert row(events, "everything else").backward == 1  # the sum, which no module called


def test_calls_in_float16_appear() -> None:
    """Some pairs have others in their place there."""
    with profile() as prof:
        tt.ones(3, dtype=tt.float16, requires_grad=True).tanh().exp().sum().backward()
    assert {"tanh", "exp", "sum"} <= {e.key for e in prof.key_averages()}
    assert row(prof.key_averages(), "tanh").count == 1


def test_every_primitive_of_a_models_step_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    config = GPTConfig(vocab_size=11, context=8, width=8, layers=2, heads=2, dropout=0.1)
    model, ids = GPT(config), tt.zeros(2, 8, dtype=tt.int64)
    called: list[str] = []

    def counted(name: str, forward: Any) -> Any:
        return lambda *arrays, **static: (called.append(name), forward(*arrays, **static))[1]

    for p in PRIMITIVES.values():
        monkeypatch.setattr(p, "forward", counted(p.name, p.forward))
    with profile() as prof:
        model(ids, ids)[1].backward()
    primitives = {e.key: e for e in prof.key_averages() if e.key in PRIMITIVES}
    assert {"attention", "rotary", "linear", "gelu_tanh", "layer_norm", "embedding", "dropout"} <= set(called)
    assert {key: event.count for key, event in primitives.items()} == {name: called.count(name) for name in called}
    assert all(event.forward > 0 and event.backward > 0 for event in primitives.values())
    named = {e.key for e in prof.by_module()}
    assert {"GPT", "blocks.0.attention.qkv", "blocks.1.feed_forward.activation", "head"} <= named


def test_a_name_that_begins_like_another_is_not_below_it() -> None:
    root, one, ten, below = (Scope("module", "Model", path) for path in ("", "1", "10", "1.0"))
    assert root.holds(one) and one.holds(one) and one.holds(below)
    assert not one.holds(ten) and not below.holds(one)
    assert not root.holds(Scope("module", "Other")) and not root.holds(Scope("range", "Model"))


def test_a_module_without_a_name_and_one_called_alone() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Tanh()]  # no child: a list is no ModuleList
            self.shown = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.hidden[0](self.shown(x))

    model = Hidden()
    with profile() as prof:
        model(tt.ones(1, 2))
        model.shown(tt.ones(1, 2))
    assert [(e.key, e.count) for e in prof.by_module()][:3] == [("Hidden", 1), ("shown", 2), ("Tanh", 1)]


@pytest.mark.usefixtures("ticks")
def test_ranges() -> None:
    @record_function("decorated")
    def double(x: Any) -> Any:
        return x * 2

    model, x = small(), tt.ones(5, 8)
    with record_function("nobody listens"):
        double(x)
    with profile() as prof:
        with record_function("inference"):
            model(double(x))
        double(x)
    for events in (prof.key_averages(), prof.by_module()):
        assert "nobody listens" not in {e.key for e in events}
        assert row(events, "decorated").count == 2
        inference = row(events, "inference")
        assert inference.count == 1
        assert inference.cpu_time_total > inference.self_cpu_time_total > 0
    assert row(prof.by_module(), "decorated").own - row(prof.key_averages(), "decorated").own == 2  # its kernels


@pytest.mark.usefixtures("ticks")
def test_work_that_a_range_gives_to_another_thread_is_its_own() -> None:
    x = tt.ones(3)
    with profile() as prof, ThreadPoolExecutor(1) as pool, record_function("range"):
        work = prof.carry(lambda: x * 2)
        work()
        pool.submit(work).result(timeout=60)
    assert prof.threads == 2
    work()
    (_, other) = prof._tracks
    assert {str(call.scope) for call in other.spans} == {"range", "profiler"}
    events = prof.by_module()
    assert row(events, "range").count == 1
    # here eleven ticks around and while it waits, there five, less a tick of the profiler's in each
    assert row(events, "range").own == (11 - 1) + (5 - 1)
    assert events.self_cpu_time_total == 2e6 * prof.seconds


def test_watching_a_function_and_leaving_one_out() -> None:
    home = SimpleNamespace(known=lambda n: tt.ones(n) * 2, left_out=lambda n: step(small(), tt.ones(n, 8)))
    known, left_out = home.known, home.left_out
    model = small()
    optimizer = tt.optim.AdamW(model.parameters())
    with profile() as prof:
        prof.watch(home, "known", "a range")
        prof.watch(home, "left_out", None)
        prof.watch(tt.optim.AdamW, "step", "optimizer")
        assert home.known(3).sum() == 6
        home.left_out(4)
        optimizer.step()
    assert (home.known, home.left_out) == (known, left_out)
    events = prof.key_averages()
    assert {"a range", "optimizer", "mul_scalar"} <= {e.key for e in events}
    assert {"linear", "paused"}.isdisjoint(e.key for e in events)
    assert events.self_cpu_time_total == pytest.approx(1e6 * prof.seconds, rel=1e-9)
    with pytest.raises(RuntimeError, match="start it"):
        prof.watch(home, "known", "too late")


@pytest.mark.usefixtures("ticks")
def test_what_is_left_out_takes_no_time() -> None:
    home = SimpleNamespace(left_out=lambda: step(small(), tt.ones(2, 8)))
    took = []
    for _ in range(2):
        with profile() as prof:
            prof.watch(home, "left_out", None)
            for _ in took:
                home.left_out()
        took.append(prof.seconds)
    assert took == [1, 1 + 1]  # the readings before and after


def test_a_graph_from_before_and_one_for_afterwards() -> None:
    model, x = small(), tt.ones(5, 8)
    before = model(x).sum()
    with profile(profile_memory=True) as prof:
        before.backward()
        afterwards = model(x).sum()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    afterwards.backward()
    assert all(tt.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))
    linear = row(prof.key_averages(), "linear")
    assert linear.count == 2 and linear.backward > 0
    assert row(prof.by_module(), "0").backward == 0  # nobody knows where the graph from before was made


# ------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_the_ledger_agrees_with_tracemalloc(positions: str) -> None:
    config = GPTConfig(vocab_size=65, context=64, width=64, layers=3, heads=4, dropout=0.1, positions=positions)
    model, ids = GPT(config), tt.randint(0, 65, (8, 64))
    model(ids, ids)[1].backward()  # what is kept from one step to the next is there now
    gc.collect()
    tracemalloc.start()
    try:
        with profile(profile_memory=True) as prof:
            before, _ = tracemalloc.get_traced_memory()
            loss = model(ids, ids)[1]
            grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert prof.memory().nbytes == pytest.approx(grown, rel=0.05)
    assert loss.item() > 0


def test_what_is_held_by_hand() -> None:
    layer, x = nn.Linear(16, 32, bias=False), tt.ones(8, 16)
    with profile(profile_memory=True) as prof:
        y = layer(x)  # saves x, and its weight, which is not counted
        a, b = y[:4], y[4:]  # views save no array
        (a * b).sum().backward()  # saves two views of y: its memory once
    held = [(h.primitive, h.module, h.shape, h.dtype, h.count, h.nbytes) for h in prof.memory()]
    assert held == [
        ("mul", "everything else", "(4, 32)", "float32", 2, 8 * 32 * 4),
        ("linear", "Linear", "(8, 16)", "float32", 1, 8 * 16 * 4),
    ]
    assert prof.memory().nbytes == 8 * 32 * 4 + 8 * 16 * 4


def test_the_peak_is_that_of_the_largest_graph_and_of_two_at_once() -> None:
    def graph(n: int) -> Any:
        return tt.ones(n, requires_grad=True).exp().sum()  # saves n numbers

    with profile(profile_memory=True) as prof:
        for n in (10, 1000, 100):
            graph(n).backward()
        with tt.no_grad():
            graph(5000)
    assert prof.memory().nbytes == 4 * 1000
    with profile(profile_memory=True) as prof:
        first, second = graph(10), graph(20)
        first.backward(retain_graph=True)
        second.backward()
        third = graph(15)
    assert prof.memory().nbytes == 4 * 30
    assert third.item() > 0


def test_memory_that_is_saved_many_times_does_not_hide_the_peak() -> None:
    with profile(profile_memory=True) as prof:
        y = tt.ones(100, requires_grad=True).exp()
        for _ in range(3):
            y = y * y.detach().sigmoid()  # saves both
        y.sum().backward()
        x = tt.ones(60, requires_grad=True).exp()
        (x * x * x * x * x * x * x).sum().backward()  # x seven times, its powers once
    assert prof.memory().nbytes == 4 * 100 * 6
    assert sum(held.count for held in prof.memory()) == 7


def test_memory_has_to_be_asked_for() -> None:
    with profile() as prof:
        pass
    with pytest.raises(RuntimeError, match="profile_memory=True"):
        prof.memory()


# ------------------------------------------------------------------------------- it is not noticed


def test_it_changes_no_bit() -> None:
    def train() -> list[Any]:
        tt.manual_seed(1)
        model = GPT(GPTConfig(vocab_size=11, context=8, width=8, layers=1, heads=2, dropout=0.2))
        optimizer = tt.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(3):
            ids = tt.randint(0, 11, (2, 8))
            optimizer.zero_grad()
            loss = model(ids, ids)[1]
            loss.backward(retain_graph=True)
            loss.backward()
            optimizer.step()
        return [p.detach().numpy() for p in model.parameters()]

    plain = train()
    with profile(profile_memory=True):
        profiled = train()
    assert all(np.array_equal(a, b) for a, b in zip(plain, profiled, strict=True))


def test_mistakes_are_reported_as_always_and_leave_it_off() -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyError("in a module")

    def run(prof: profile) -> None:
        with prof:
            with pytest.raises(RuntimeError, match="do not fit"):
                small()(tt.ones(5, 9))  # in a kernel
            nn.Sequential(Broken())(tt.ones(1))

    prof = profile()
    with pytest.raises(KeyError, match="in a module"):
        run(prof)
    assert row(prof.by_module(), "0").count == 2  # Linear and Broken
    assert prof.by_module().self_cpu_time_total == pytest.approx(1e6 * prof.seconds, rel=1e-9)


def test_only_one_at_a_time() -> None:
    with profile() as outer:
        with pytest.raises(RuntimeError, match="on already"):
            profile().start()
        outer.stop()
        outer.stop()
        with profile() as inner:
            tt.ones(1).exp()
    assert {e.key for e in inner.key_averages()} > {"exp"}
    assert "exp" not in {e.key for e in outer.key_averages()}


# ------------------------------------------------------------------------------- PyTorch, and printing


@pytest.mark.parametrize("engine, linear", [("tinytensor", "linear"), ("torch", "aten::linear")])
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_it_is_called_as_pytorchs(engine: str, linear: str) -> None:
    torch: Any = pytest.importorskip(engine)
    importlib.import_module(f"{engine}.profiler")
    activities = [torch.profiler.ProfilerActivity.CPU]
    model, x = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)), torch.ones(2, 4)
    with torch.profiler.profile(activities=activities, profile_memory=True) as prof:
        with torch.profiler.record_function("inference"):
            model(x)
        model(x)
    found = {event.key: event for event in prof.key_averages()}
    assert (found[linear].count, found["inference"].count) == (4, 1)
    for name in (linear, "inference"):
        assert found[name].cpu_time_total >= found[name].self_cpu_time_total > 0
    text = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=20)
    assert linear in text and "inference" in text


def test_what_is_outside_of_the_subset_says_so() -> None:
    with pytest.raises(ValueError, match="of the CPU"):
        profile(activities=[])
    with pytest.raises(AttributeError, match="subset"):
        tt.profiler.schedule  # noqa: B018


@pytest.mark.usefixtures("ticks")
def test_tables() -> None:
    model, x = small(), tt.ones(5, 8)
    with profile(profile_memory=True) as prof:
        for _ in range(4):
            step(model, x)
    text = prof.key_averages().table(per=4, row_limit=2).split("\n")
    assert text[0].split() == ["by", "primitive", "calls", "forward", "ms", "backward", "ms", "own", "ms", "share"]
    assert text[2].split()[:5] == ["linear", "2", "2,000.000", "2,000.000", "4,000.000"]
    assert text[4].startswith("… 5 more") and text[-1].endswith("100.0%")
    by_count = prof.key_averages().table(sort_by="count").split("\n")
    assert by_count[2].startswith("profiler")
    assert prof.by_module().table().split("\n")[2].startswith("Sequential")
    held = prof.memory().table(row_limit=1).split("\n")
    assert held[2].split()[0] in PRIMITIVES and held[3].startswith("… ") and held[4].startswith("total")
    assert len({len(line) for line in held}) <= 2
    with pytest.raises(ValueError, match="cpu_time_total"):
        prof.key_averages().table(sort_by="cuda_time_total")


def test_a_profile_of_nothing_prints() -> None:
    with profile(profile_memory=True) as prof:
        pass
    assert "everything else" in prof.key_averages().table()
    assert "total" in prof.memory().table()
