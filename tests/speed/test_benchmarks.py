"""The benchmarks measure what they say, take turns, and keep their rows; how long anything takes is never asked."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import (
    __main__,
    calls,
    cards,
    cli,
    cpu_vs_gpu,
    environment,
    generate,
    harness,
    ladder,
    memory,
    ops,
    overhead,
    plots,
    pretrained,
    results,
    roofline,
    scaling,
    time_to_loss,
    train_step,
)
from benchmarks.harness import Case, Row, Size
from gpt.build import build
from gpt.errors import UserError
from tinytensor import Tensor, buffers, devices, from_numpy, manual_seed, tape
from tinytensor.nn import functional

torch = pytest.importorskip("torch")
SMALL, FIELDS = (
    "1,2,8,4,2",
    {"benchmark", "size", "engine", "threads", "dtype", "median_ms", "min_ms", "ratio_to_torch"},
)
ALL = [train_step, ladder, generate, memory, ops, overhead, scaling, time_to_loss, cpu_vs_gpu, pretrained]


@pytest.fixture
def _one_call(monkeypatch: pytest.MonkeyPatch, one_torch_thread: None) -> None:
    """A step instead of seconds of them, and memory as it was for the tests that follow."""

    def once(step: Callable[[], object], **_: float) -> list[float]:
        step()
        return [1.0, 2.0]

    for module in (train_step, generate, scaling, overhead):
        monkeypatch.setattr(module, "timed", once)
    monkeypatch.setattr(ops, "SECONDS", 0.0)
    monkeypatch.setattr(buffers, "keep_freed_memory", lambda: False)


def answer(ms: Sequence[float], peak: float = 100.0, what: str = "time_step", **more: Any) -> dict[str, Any]:
    where = {"commit": "abc", "cpu": "a CPU"}
    return {"results": {what: {"ms": list(ms), **more}}, "peak_mib": peak, "environment": where}


def rows_of(benchmark: str, engines: Sequence[str], sizes: Sequence[str], **more: Any) -> list[Row]:
    """Rows as `compare` makes them, of made-up samples."""
    rows = []
    for n, size in enumerate(sizes, 1):
        cases = [Case(benchmark, size, engine, 1) for engine in engines]
        rows += harness.summarize(cases, [[answer([10.0 * n + i], **more) for i, _ in enumerate(cases)]])
    return rows


# ---------------------------------------------------------------------------------------------- turns and rows


def test_engines_take_turns_and_a_ratio_is_the_median_of_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"tinytensor": [[1.0, 3.0], [40.0], [2.0]], "torch": [[4.0], [20.0], [2.5]]}
    order: list[str] = []

    def child(case: Case) -> dict[str, Any]:
        order.append(case.engine)
        return answer(times[case.engine][(len(order) - 1) // 2], peak=100.0 + len(order), tokens=[len(order)])

    monkeypatch.setattr(harness, "child", child)
    heard: list[Case] = []
    cases = [Case("train_step", SMALL, engine, 2) for engine in times]
    ours, theirs = harness.compare(cases, 3, heard.append)
    assert order == ["tinytensor", "torch"] * 3 == [case.engine for case in heard]
    assert ours.keys() >= FIELDS | {"peak_mib", "environment", "load"}
    assert (ours["median_ms"], ours["min_ms"], ours["samples"], ours["rounds"]) == (2.5, 1.0, 4, 3)
    assert ours["ratio_to_torch"] == ours["ratios"]["torch"] == 0.8  # of 0.5, 2 and 0.8
    assert theirs["ratio_to_torch"] is None
    assert theirs["ratios"] == {"tinytensor": 1.25}
    assert (ours["peak_mib"], theirs["peak_mib"]) == (105.0, 106.0)
    assert (ours["tokens"], theirs["tokens"]) == (3, 4)  # a list beside the samples: its median
    assert ours["name"] == "train_step.time_step(1,2,8,4,2, 2 threads, tinytensor)"


def test_without_pytorch_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    monkeypatch.setattr(harness, "child", lambda case: answer([1.0]))
    with pytest.raises(UserError, match="PyTorch is not installed: pip install torch"):
        harness.compare([Case("ops", SMALL, "tinytensor", 1), Case("ops", SMALL, "torch", 1)], 1, print)
    assert len(harness.compare([Case("ops", SMALL, "tinytensor", 1)], 1, lambda case: None)) == 1


def test_without_times_the_ratio_is_of_peaks() -> None:
    cases = [Case("memory", SMALL, "tinytensor", 1), Case("memory", SMALL, "torch", 1)]
    rows = harness.summarize(cases, [[answer([], 90.0), answer([], 300.0)]])
    assert [row["ratio_to_torch"] for row in rows] == [0.3, None]
    assert rows[0]["median_ms"] is None
    unknown = harness.summarize(cases, [[{**answer([]), "peak_mib": None}] * 2])
    assert [row["ratio_to_torch"] for row in unknown] == [None, None]


def test_the_spread_has_half_of_the_samples() -> None:
    assert harness.spread([1, 2, 3, 4, 5, 6, 7]) == 4
    assert harness.spread([1.0]) == 0


def test_a_child_has_its_threads_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append((command, env))
        return subprocess.CompletedProcess(command, 0, 'warning\n{"results": {}}\n', "")

    monkeypatch.setattr(harness.subprocess, "run", run)
    engines = [("train_step", "tinytensor", "1"), ("train_step", "matmul", "1"), ("train_step", "torch", "3"),
               ("ops", "tinytensor", "3")]  # fmt: skip
    for benchmark, engine, threads in engines:
        assert harness.child(Case(benchmark, SMALL, engine, 3)) == {"results": {}}
        command, env = seen.pop()
        assert command[1:3] == ["-m", "benchmarks.child"]
        assert {env[name] for name in harness.BLAS_THREADS} == {threads}
        assert env["PATH"] == os.environ["PATH"]


def test_a_child_that_fails_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"train_step.measure\(1,2,8,4,2, 1 thread, nobody\) failed: KeyError: 'nobody'"
    ):
        harness.child(Case("train_step", SMALL, "nobody", 1))


@pytest.mark.programs
def test_fresh_processes_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, plot = tmp_path / "rows.jsonl", tmp_path / "plot.svg"
    flags = ["--sizes", SMALL, "--threads", "2", "--engines", "tinytensor", "matmul", "--repeats", "1"]
    assert train_step.BENCHMARK.main([*flags, "--json", str(file), "--plot", str(plot)]) == 0
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [row["engine"] for row in rows] == ["tinytensor", "matmul"]
    for row in rows:
        assert row.keys() >= FIELDS | {"peak_mib", "spread_ms", "tokens", "flops"}
        assert 0 < row["min_ms"] <= row["median_ms"]
        assert row["peak_mib"] is None or 10 < row["peak_mib"] < 10_000
        assert row["environment"].keys() >= {"cpu", "cores", "blas", "python", "numpy", "torch", "tinytensor", "commit"}
        assert {pool["num_threads"] for pool in row["environment"]["blas"]} == {1}
        assert row["environment"]["cores"] == environment.cores()
    assert plot.read_text("utf-8").startswith("<?xml")
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert table[1].split()[:3] == [SMALL, "2", "tinytensor"]


def test_a_program_has_as_many_cores_as_it_may_use() -> None:
    before = environment.cores()
    code = "from benchmarks.environment import cores; print(cores())"
    assert int(harness.run([sys.executable, "-c", code], 1, "cores")) == (
        1 if hasattr(os, "sched_setaffinity") else before
    )
    assert environment.cores() == before


def test_the_environment_names_no_folder() -> None:
    found = json.dumps(environment.environment())
    assert str(environment.ROOT) not in found
    assert str(Path.home()) + os.sep not in found


# ------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("module", "arguments", "line"),
    [
        (train_step, ["--sizes", "4,4,128"], "--sizes 4,4,128: a size is layers,heads,width,context,batch, such as"),
        (train_step, ["--sizes", "4,4,128,64,0"], "--sizes 4,4,128,64,0: a size is layers"),
        (train_step, ["--sizes", "4,3,128,64,2"], "--sizes 4,3,128,64,2: 3 heads do not divide a width of 128"),
        (generate, ["--sizes", "4,4,128,64,12"], "--sizes 4,4,128,64,12: a size is layers,heads,width,context, such as"),
        (overhead, ["--sizes", "0"], "--sizes 0: a size is a number of elements"),
        (train_step, ["--repeats", "0"], "--repeats 0: it must be a whole number of at least 1"),
        (ops, ["--threads", "two"], "--threads two: it must be a whole number of at least 1"),
        (memory, ["--engines", "jax"], "--engines: invalid choice: 'jax'"),
        (train_step, ["--plot", "a.gif"], "--plot a.gif: the name must end in .png or .svg"),
        (time_to_loss, ["--sizes", "1"], "unrecognized arguments: --sizes"),
        (time_to_loss, ["--engines", "tinytensor-same-time"], "--engines tinytensor-same-time takes the time of torch"),
        (__main__, ["--repeats", "x"], "--repeats x: it must be"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line(
    module: Any, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = module.main if module is __main__ else module.BENCHMARK.main
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("module", ALL)
def test_help_teaches(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module.BENCHMARK.main(["--help"])
    out = capsys.readouterr().out
    assert module.__doc__.strip() in out
    assert f"python -m benchmarks.{module.BENCHMARK.name}" in out
    assert {"--engines", "--threads", "--repeats", "--json", "--plot"} <= set(out.split())


def test_each_choice_is_measured_once() -> None:
    options = cli.parse(train_step.BENCHMARK, ["--threads", "2", "1", "2", "--sizes", SMALL, SMALL, "--repeats", "2"])
    assert (options.threads, options.sizes) == ((2, 1), (SMALL,))
    assert train_step.BENCHMARK.processes(options) == 3 * 2 * 1 * 2


@pytest.mark.programs
def test_all_of_the_quick_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def compare(cases: Sequence[Case], repeats: int, tick: Callable[[Case], None]) -> list[Row]:
        ran.append((cases[0].benchmark, cases[0].threads, repeats))
        more = {"primitive": "add", "calls_in_step": 1, "tokens_per_second": 5.0}
        return harness.summarize(cases, [[answer([1.0], what="time_import", **more) for _ in cases]])

    monkeypatch.setattr(cli, "compare", compare)
    file = tmp_path / "rows.jsonl"
    assert __main__.main(["--threads", "1", "--json", str(file), "--plots", str(tmp_path)]) == 0
    assert set(ran) == {(name, 1, 1) for name in __main__.QUICK}
    out = capsys.readouterr().out
    for name in __main__.QUICK:
        assert f"{name}: " in out
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert {row["benchmark"] for row in results.read(file)} == set(__main__.QUICK)


def test_without_a_gpu_one_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Any:
        raise RuntimeError("device 'cuda' needs CuPy")

    monkeypatch.setattr(devices, "cupy", missing)
    assert cpu_vs_gpu.BENCHMARK.main([]) == 2
    assert capsys.readouterr().err == "benchmarks.cpu_vs_gpu: device 'cuda' needs CuPy\n"


# ------------------------------------------------------------------------------------------------------- files


def test_rows_replace_the_same_measurement_of_the_same_commit_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.jsonl"
    first = rows_of("train_step", ["tinytensor", "torch"], [SMALL])
    results.merge(file, first)
    results.merge(file, [{**first[0], "median_ms": 5.0}])
    other = {**first[0], "environment": {**first[0]["environment"], "commit": "def"}}
    on_gpu = {**first[0], "environment": {**first[0]["environment"], "gpu": {"name": "T4"}}}
    results.merge(file, [other, on_gpu])
    assert results.read(file) == [{**first[0], "median_ms": 5.0}, first[1], other, on_gpu]


@pytest.mark.parametrize("line", ["{", "[]", '{"name": "x"}'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, line: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 is not the row of a benchmark"):
        results.merge(file, [])
    assert file.read_text() == line + "\n"


def test_a_bar_of_speed_has_the_inverse_ratio(tmp_path: Path) -> None:
    rows = rows_of("generate", ["torch", "tinytensor"], ["1,1,8,8"], tokens_per_second=[50.0])
    plots.bars("characters per second", "tokens_per_second", faster=True)(rows, tmp_path / "a.svg")
    plots.bars("ms")(rows, tmp_path / "b.svg")
    assert "0.91 × torch" in (tmp_path / "a.svg").read_text("utf-8")
    assert "1.10 × torch" in (tmp_path / "b.svg").read_text("utf-8")


# --------------------------------------------------------------------------------------------- what is measured


@pytest.mark.parametrize("engine", train_step.ENGINES)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("_one_call")
def test_a_training_step(engine: str, threads: int) -> None:
    found = train_step.measure(Case("train_step", SMALL, engine, threads))
    assert found == {"time_step": {"ms": [1.0, 2.0], "tokens": 8, "flops": Size.parse(SMALL).flops()}}


@pytest.mark.usefixtures("one_torch_thread")
def test_the_steps_learn() -> None:
    torch.manual_seed(0)
    for engine in ("tinytensor", "torch"):
        with train_step.ENGINES[engine](Size(1, 2, 16, 8, 32), 1) as step:
            losses: list[Any] = [step() for _ in range(60)]
        assert (
            losses[0] - losses[-1] > 0.2
        )  # towards the ln 65 of random characters: about 4.6 to 4.2, whatever the seed


def test_every_rung_of_the_ladder_computes_the_same() -> None:
    losses = {}
    for rung in ladder.RUNGS:
        manual_seed(0)
        with ladder.rung_step(rung, Size(2, 2, 16, 8, 4), 2) as step:
            losses[rung] = [step() for _ in range(5)]
    for rung in ladder.RUNGS:
        np.testing.assert_allclose(losses[rung], losses["plain"], rtol=1e-4)  # another order of sums
    assert sys.modules["tinytensor.nn.functional.linear"].apply is tape.apply


def test_the_plain_rung_has_smaller_operations_in_place_of_the_fused() -> None:
    ids = from_numpy(train_step.random_ids()[None, :8])
    model = build(train_step.config_of(Size(2, 2, 16, 8, 4), 1))
    with ladder.one_by_one():
        plain = operations(functional.cross_entropy(model(ids)[0].view(8, -1), ids.view(8)))
    fused = operations(functional.cross_entropy(model(ids)[0].view(8, -1), ids.view(8)))
    names = {"LayerNormBackward0", "LinearBackward0", "AttentionBackward0", "CrossEntropyBackward0"}
    assert names <= fused.keys()
    assert not names & plain.keys()
    assert plain.total() > 2 * fused.total()


def operations(loss: Tensor) -> Counter[str]:
    """How often each backward is in the graph of the loss."""
    found, todo = {}, [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found[node] = node.name()
            todo += [below for below, _ in node.next_functions]
    return Counter(found.values())


def test_flops_are_those_of_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0

    class Counting(np.ndarray):
        def __matmul__(self, other: Any) -> Any:
            nonlocal counted
            y = np.matmul(np.asarray(self), np.asarray(other))
            counted += 2 * y.size * self.shape[-1]
            return y

    class Random:
        def standard_normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
            return np.ones(shape, dtype).view(Counting)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Random())
    size = Size(3, 2, 12, 5, 4)
    train_step.products(size)()
    assert counted == size.flops(train_step.VOCABULARY)


@pytest.mark.parametrize("engine", generate.ENGINES)
@pytest.mark.usefixtures("_one_call")
def test_generation(engine: str) -> None:
    found = generate.measure(Case("generate", "1,2,8,6", engine, 1))["time_token"]
    texts = generate.TEXTS.get(engine, 1)
    assert found["ms"] == [1 / 6 / texts, 2 / 6 / texts]
    assert found["tokens_per_second"] == pytest.approx([6000 * texts, 3000 * texts])
    text = generate.ENGINES[engine](Size(1, 2, 8, 6, 1))()
    ids = [int(i) for i in np.asarray(text).ravel()]
    assert len(ids) == 6 * texts + (engine == "nanogpt")  # which returns the prompt as well
    assert set(ids) <= set(range(65))


def test_generation_without_a_cache_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cached = []
    monkeypatch.setattr(buffers, "keep_freed_memory", lambda: False)
    monkeypatch.setattr("gpt.sampling.sample", lambda *_, use_cache, **__: [cached.append(use_cache)])
    for engine in ("tinytensor", "tinytensor-no-cache"):
        generate.ENGINES[engine](Size(1, 2, 8, 6, 1))()
    assert cached == [True, False]


@pytest.mark.parametrize("engine", ["tinytensor", "torch"])
@pytest.mark.usefixtures("_one_call")
def test_memory_runs_the_real_program(engine: str) -> None:
    found = memory.measure(Case("memory", SMALL, engine, 1))
    assert found["peak_training"]["growth_mib"] is None or found["peak_training"]["growth_mib"] >= 0


@pytest.mark.parametrize("engine", overhead.BENCHMARK.engines)
@pytest.mark.usefixtures("_one_call")
def test_overhead(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "repeated", lambda run: [run()])
    monkeypatch.setattr(overhead, "imports", lambda module: [100.0])
    found = overhead.measure(Case("overhead", "1", engine, 1))
    kinds: dict[str, set[str]] = {
        "numpy": set(),
        "torch": {"time_operation"},
        "tinytensor": {"time_operation", "time_tape"},
    }
    assert found.keys() == {"time_import"} | kinds[engine]


def test_the_tape_is_what_the_pairs_alone_do_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "repeated": lambda run: [run()],
        "imports": lambda module: [],
        "chain": lambda torch, elements: lambda: 5.0,
        "pairs_by_hand": lambda elements: lambda: 2.0,
    }.items():
        monkeypatch.setattr(overhead, name, value)
    found = overhead.measure(Case("overhead", "1", "tinytensor", 1))
    assert (found["time_operation"]["ms"], found["time_tape"]["ms"]) == ([5.0], [3.0])


def test_an_import_is_timed_in_new_interpreters() -> None:
    times = overhead.imports("json", times=2)
    assert len(times) == 1
    assert times[0] > 0


@pytest.mark.parametrize("engine", ["tinytensor", "torch"])
@pytest.mark.usefixtures("_one_call")
def test_scaling_measures_what_is_more_than_almost_nothing(engine: str) -> None:
    found = scaling.measure(Case("scaling", SMALL, engine, 1))["time_step"]
    assert found["ms"] == [1.0, 2.0]
    assert found["growth_mib"] is None or found["growth_mib"] >= 0


def test_exponents(tmp_path: Path) -> None:
    assert scaling.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    sizes = [Size(4, 4, 128, 64, 12), *(Size(4, 4, width, 64, 12) for width in (64, 256)), Size(8, 4, 256, 64, 12)]
    rows = rows_of("scaling", ["tinytensor", "torch"], list(map(str, sizes)), growth_mib=7.0)
    for row in rows:
        row["min_ms"] = Size.parse(row["size"]).width ** 1.5
    fits = {(fit["number"], fit["engine"], fit["cost"]): fit for fit in scaling.fits(rows)}
    assert fits.keys() == {("width", engine, cost) for engine in ("tinytensor", "torch") for cost in scaling.COSTS}
    assert fits["width", "torch", "time"]["fitted"] == pytest.approx(1.5)
    assert 1.8 < fits["width", "torch", "time"]["expected"] < 2
    assert fits["width", "torch", "memory"]["fitted"] == pytest.approx(0)
    scaling.draw(rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


# --------------------------------------------------------------------------------------------------- primitives


def test_every_primitive_has_a_row() -> None:
    assert calls.table().keys() == calls.calls(Size.parse(SMALL), 8).keys()


def test_a_primitive_without_a_row_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = calls.calls(Size.parse(SMALL), 8)
    del rows["gelu"]
    monkeypatch.setattr(calls, "calls", lambda size: rows)
    monkeypatch.setattr(ops, "measure_limits", lambda: None)
    monkeypatch.setattr(ops, "recorded_step", lambda size: {})
    with pytest.raises(UserError, match=r"no call of gelu: add a row"):
        ops.measure_tinytensor(Size.parse(SMALL), 1)


@pytest.mark.parametrize("name", calls.table())
@pytest.mark.usefixtures("one_torch_thread")
def test_both_sides_of_a_row_compute_the_same(name: str) -> None:
    call = calls.calls(Size.parse(SMALL), 8)[name]
    y, _ = calls.table()[name].forward(*call.arrays, **call.static)
    xs = [None if a is None else torch.from_numpy(a.copy()) for a in call.arrays]
    expected = call.torch(torch, *xs)
    ours, theirs = (part if isinstance(part, tuple) else (part,) for part in (y, expected))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("_one_call")
def test_ops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = calls.calls(Size.parse(SMALL), 8)
    monkeypatch.setattr(calls, "calls", lambda size: small)
    limits = ops.Limits({1000: 1e9, 10**6: 2e9}, 1e8)
    monkeypatch.setattr(ops, "measure_limits", lambda: limits)
    cases = [Case("ops", SMALL, engine, 1) for engine in ("tinytensor", "torch")]
    answers = [{**answer([]), "results": ops.measure(case)} for case in cases]
    rows = harness.summarize(cases, [answers])
    ours = {row["primitive"]: row for row in rows if row["engine"] == "tinytensor"}
    assert ours.keys() == calls.table().keys() | {"tape, batch, clipping, AdamW"}
    assert sum(row["share_of_step"] for row in ours.values()) == pytest.approx(1, abs=1e-3)
    assert (ours["gelu_tanh"]["calls_in_step"], ours["gelu"]["calls_in_step"]) == (1, 0)
    assert all(row["ratio_to_torch"] > 0 for name, row in ours.items() if name in calls.table())
    assert ours["sub"]["bytes"] == 8 * 8 * 4 * 5  # a, b and y; dy, −dy: a's gradient is dy itself
    assert ours["reshape"]["bytes"] == 0
    assert ours["matmul"]["limit_ms"] == pytest.approx(1e3 * 3 * 2 * 4**3 / 1e8)  # products, at so many a second
    assert ours["sub"]["limit_ms"] == pytest.approx(1e3 * 8 * 8 * 4 * 5 / 1e9)  # bytes, at the speed of about as many
    ops.draw(rows, tmp_path / "ops.png")
    assert "gelu_tanh" in cli.table(list(ours.values()), ops.BENCHMARK.columns)


def test_the_pairs_are_as_they_were_after_a_step_was_recorded() -> None:
    before = {name: (p.forward, p.backward) for name, p in calls.table().items()}
    assert ops.recorded_step(Size.parse(SMALL), steps=1)["attention"][0] == 1
    assert {name: (p.forward, p.backward) for name, p in calls.table().items()} == before


# ------------------------------------------------------------------------------------------------- the CPU and a GPU


@pytest.mark.parametrize(
    ("cpu", "gpu", "expected"),
    [
        ([1, 4, 16], [2, 2, 2], 2.0),  # ratios ½, 2, 8 at 1, 4, 16: equal half-way between 1 and 4
        ([1, 1, 1], [8, 2, 0.5], 8.0),
        ([4, 1, 4], [2, 2, 1], 4 ** (1 + 1 / 3)),  # wins, loses, wins: what counts is from where on it goes on winning
        ([2, 2, 2], [1, 1, 1], 0.0),
        ([2, 2, 1], [1, 1, 1], math.inf),  # as fast is not faster
        ([1, 1, 1], [2, 2, 2], math.inf),
    ],
)
def test_where_the_gpu_begins_to_win(cpu: list[float], gpu: list[float], expected: float) -> None:
    assert cpu_vs_gpu.crossover(list(zip([1, 4, 16], cpu, gpu, strict=True))) == pytest.approx(expected)


def gpu_rows(sizes: Sequence[Size]) -> list[Row]:
    """Rows of the step and of GELU: the CPU's time grows with the width, the GPU's is 3 ms."""
    rows = []
    for size in sizes:
        cases = [Case("cpu_vs_gpu", str(size), engine, 2) for engine in ("cpu", "gpu")]
        for what, factor in (("time_step", 0.1), ("time_gelu", 0.001)):
            answers = [answer([factor * size.width], what=what), answer([3.0], what=what)]
            rows += harness.summarize(cases, [answers])
    return rows


def test_crossovers_are_found_along_one_number_and_drawn(tmp_path: Path) -> None:
    base = Size(4, 4, 128, 64, 12)
    sizes = [base, *(replace(base, width=width) for width in (8, 16, 32)), replace(base, batch=24)]
    found = {(row["what"], row["number"]): row for row in cpu_vs_gpu.crossovers(gpu_rows(sizes))}
    assert found["step", "width"]["from"] == pytest.approx(30)
    assert found["step", "width"]["faster"] == pytest.approx(12.8 / 3)
    assert [cpu_vs_gpu.from_cell(found[key]) for key in (("step", "width"), ("step", "batch"), ("gelu", "width"))] == [
        "30", "all", "> 128",
    ]  # fmt: skip
    cpu_vs_gpu.draw(gpu_rows(sizes), tmp_path / "plot.svg")
    assert "gelu (from &gt; 128)" in (tmp_path / "plot.svg").read_text("utf-8")
    table = cpu_vs_gpu.BENCHMARK.tables(gpu_rows(sizes))
    assert "gelu  width    > 128  0.04 times as fast" in table
    assert "launches and products of a step of 4 layers" in table


def test_a_gpu_is_timed_between_the_ends_of_calls() -> None:
    clock = [0.0]

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = clock[0]

        def elapsed_time(self, end: Event) -> float:
            assert waited[-1] >= end.at, "read before the GPU had come so far"
            return end.at - self.at

    def step() -> None:
        clock[0] += 5.0

    waited: list[float] = []
    cuda = SimpleNamespace(Event=Event, synchronize=lambda: waited.append(clock[0]))
    samples = cpu_vs_gpu.timed_on_gpu(step, cuda, seconds=0.0, warmup=3)
    assert samples == [5.0] * cpu_vs_gpu.GROUP
    assert waited == [15.0, 15.0 + 5.0 * cpu_vs_gpu.GROUP]


@pytest.mark.usefixtures("_one_call", "one_torch_thread")
def test_the_cpu_of_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_vs_gpu, "timed", lambda call, seconds: [call() and 1.0])
    found = cpu_vs_gpu.measure(Case("cpu_vs_gpu", SMALL, "cpu", 1))
    assert found.keys() == {"time_step", *(f"time_{name}" for name in calls.table())}
    assert cpu_vs_gpu.numbers(Size(4, 4, 128, 64, 12)) == 312  # 312² is about 12 · 64 · 128


def test_a_comparison_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, str]] = []

    def compare(cases: Sequence[Case], repeats: int, tick: Callable[[Case], None]) -> list[Row]:
        ran.extend((case.size, case.engine) for case in cases)
        return harness.summarize(cases, [[answer([1.0]) for _ in cases]])

    monkeypatch.setattr(cli, "compare", compare)
    monkeypatch.setattr(devices, "cupy", lambda: None)
    monkeypatch.setattr(environment, "gpu", lambda: {"name": "T4", "cupy": "14"})
    assert cpu_vs_gpu.BENCHMARK.main(["--quick"]) == 0
    assert ran == [(size, engine) for size in cpu_vs_gpu.QUICK for engine in ("cpu", "gpu", "graph")]
    out = capsys.readouterr().out
    assert "gpu: name T4, cupy 14\n" in out
    assert "torch: left out" in out
    monkeypatch.setattr(environment, "gpu", lambda: {"name": cpu_vs_gpu.EMULATED})
    assert cpu_vs_gpu.BENCHMARK.main([f"--json={tmp_path / 'rows.jsonl'}"]) == 2
    assert "not of a GPU" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- roofline


@pytest.mark.parametrize("text", ["2,2,8,4,3", "1,4,16,128,2"])  # attention whole, and in blocks
def test_the_roofline_counts_the_products_of_a_step(text: str) -> None:
    size = Size.parse(text)
    L, C, T, B = size.layers, size.width, size.context, size.batch
    works, optimizer = roofline.work_of(size)
    flops = {name: sum(w.flops for w in works if w.name == name) for name in {w.name for w in works}}
    assert flops["linear"] == 3 * 2 * B * T * (L * 12 * C * C + 65 * C)
    attention = flops.get("attention", 0) + flops.get("blockwise_attention", 0)
    assert attention == 3.5 * L * 2 * B * T * T * C  # half of the square; forward 1, backward 2.5
    assert sum(flops.values()) == flops["linear"] + attention
    parameters = L * (12 * C * C + 13 * C) + 65 * C * 2 + T * C + 2 * C
    assert optimizer == 40 * parameters


def test_the_roofline_counts_bytes_once() -> None:
    from tinytensor import rand
    from tinytensor.nn import functional as F

    x = rand(4, 6, 8, requires_grad=True)
    with roofline.counted() as works:
        first, second = F.gelu(x, approximate="tanh").split(2)
        (first.reshape(2, 48) + second.reshape(2, 48)).backward(rand(2, 48))
    n = 4 * 6 * 8 * 4  # bytes of x
    assert [(w.name, w.bytes) for w in works if w.bytes] == [
        ("gelu_tanh", 2 * n),  # x, y; then views
        ("add", 1.5 * n),
        ("split", 1.5 * n),  # both gradients are the same dy; dx
        ("gelu_tanh", 3 * n),  # dy, the derivative, dx
    ]


def test_a_backward_belongs_to_its_own_forward() -> None:
    from tinytensor import rand

    x, v, w = (rand(*shape, requires_grad=True) for shape in ((3, 8), (16, 8), (4, 16)))
    with roofline.counted() as works:
        functional.linear(functional.linear(x, v), w).sum().backward()
    flops = [w.flops for w in works if w.name == "linear"]
    assert flops == [2 * 3 * 8 * 16, 2 * 3 * 16 * 4, 2 * 2 * 3 * 16 * 4, 2 * 2 * 3 * 8 * 16]


def test_a_step_takes_the_longer_of_work_and_launches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    works = [roofline.Work("linear", 2e12, 1e9), roofline.Work("gelu", 0.0, 4e9)]
    card = cards.card("a card", 1000, "a page", float32=10, float16=100)
    assert roofline.work_seconds(card, "float32", works, 1e9) == pytest.approx(0.2 + 0.004 + 0.001)
    assert roofline.work_seconds(card, "float16", works, 1e9) == pytest.approx(0.02 + 0.002 + 0.001)
    assert roofline.work_seconds(card, "tf32", works, 0.0) is None
    file = tmp_path / "launches.json"
    file.write_text('{"plain": {"1": 50, "2": 90}, "fused": {"1": 30, "2": 50}}')
    assert roofline.launches_of(4, file) == {"plain": 170, "fused": 90}
    with pytest.raises(UserError, match=r"missing: python tests/cuda/launches.py --emulated --write makes it"):
        roofline.launches_of(4, tmp_path / "none.json")
    rows = roofline.estimates(Size.parse(SMALL))
    assert {row["CuPy_bound"] for row in rows} == {"launches"}
    assert rows[0]["CuPy_ms"] == pytest.approx(1e3 * rows[0]["launches"] * cards.LAUNCH["CuPy"])
    monkeypatch.setattr(cards, "LAUNCH", {})
    monkeypatch.setattr(roofline, "LAUNCH", {"CuPy": 0.0, "graph": 0.0})
    assert {row["graph_bound"] for row in roofline.estimates(Size.parse(SMALL))} == {"work"}


def test_the_roofline_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(roofline.draw, "__defaults__", (Size(1, 2, 8, 4, 2), (8, 16)))
    assert roofline.main(["--sizes", SMALL, "--plot", str(tmp_path / "plot.png")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("estimated, not measured")
    assert "H100 SXM" in out
    assert "1 layers: launches and products of a step" in out
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert roofline.main(["--plot", "a.gif"]) == 2
    assert roofline.main(["--sizes", SMALL, "--markdown"]) == 0
    launches, estimates = capsys.readouterr().out.split("\n\n")
    assert "| 1, 2, 8, 4, 2 | T4 | 0.00 | – | 0.00 |" in estimates
    assert launches in (environment.ROOT / "docs/gpu.md").read_text("utf-8"), (
        "python -m benchmarks.roofline --markdown has new tables"
    )
    assert all(card.source.startswith("http") for card in cards.CARDS)
    lines = roofline.measured(Size(4, 4, 128, 64, 12))
    assert [label for _, label, _ in lines] == ["CPU, 1 core, tinytensor", "CPU, 1 core, torch"]
    assert {64, 128, 256, 512} <= {width for width, _ in lines[0][0]}


# ------------------------------------------------------------------------------------------------- time to a loss


def test_the_third_program_runs_as_long_as_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raced: list[tuple[str, list[str]]] = []

    def race(engine: str, flags: list[str], threads: int, folder: Path) -> dict[str, Any]:
        raced.append((engine, [*flags, str(threads)]))
        seconds = 60.0 if engine == "torch" else 20.0
        result: dict[str, Any] = {"ms": [1e3 * seconds], "seconds": [seconds], "loss": [1.9], "flags": " ".join(flags)}
        result |= {} if engine == "torch" else {"steps": 100, "training_seconds": 10.0}
        return {"results": {"time_to_loss": result}, "peak_mib": None, "environment": {"commit": "a", "cpu": "b"}}

    monkeypatch.setattr(time_to_loss, "race", race)
    heard: list[Case] = []
    text = tmp_path / "text"
    options = cli.parse(time_to_loss.BENCHMARK, ["--data", str(text), "--fast", "--steps 100", "--threads", "1"])
    rows = time_to_loss.BENCHMARK.run(options, heard.append)
    shared = ["--data", str(text)]
    steps = int((0.97 * 60 - 10) / 0.1)  # what is left after 10 s of start-up and evaluation, at 0.1 s a step
    assert raced == [
        ("torch", [*shared, "1"]),
        ("tinytensor", [*shared, "--steps", "100", "1"]),
        ("tinytensor-same-time", [*shared, "--steps", str(steps), "1"]),
    ]
    assert [row["ratio_to_torch"] for row in rows] == [None, 0.33333, 0.33333]
    assert len(heard) == 3 == time_to_loss.BENCHMARK.processes(options)
    assert "1.9000" in time_to_loss.BENCHMARK.tables(rows)
    time_to_loss.BENCHMARK.draw(rows, tmp_path / "plot.png")


@pytest.mark.programs
def test_a_program_is_timed_whole_and_its_text_is_not_told(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("to be or not to be, that is the question\n" * 40)
    small = "--steps 2 --context 4 --batch-size 2 --width 8"
    flags = ["--data", str(text), *small.split()]
    result = time_to_loss.race("tinytensor", flags, 1, tmp_path / "run")["results"]["time_to_loss"]
    assert result["steps"] == 2
    assert 0 < result["training_seconds"] < result["ms"][0] / 1e3
    assert 2 < result["loss"][0] < 5
    assert result["flags"] == small
    with pytest.raises(UserError, match=r"gpt.train .* failed: gpt.train: --steps 0"):
        time_to_loss.race("tinytensor", ["--steps", "0"], 1, tmp_path / "other")


@pytest.mark.parametrize("engine", ["tinytensor", "tinytensor-no-cache"])
def test_a_pretrained_model_is_loaded_and_writes(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "timed", lambda step, **_: [float(len(step())), 2.0])
    found = pretrained.measure(Case("pretrained", "1,2,8,64,40", engine, 1))
    count = {"tinytensor": pretrained.TOKENS, "tinytensor-no-cache": pretrained.WITHOUT_CACHE}[engine]
    assert found["time_token"]["ms"] == [1.0, 2.0 / count]
    assert found["load"]["ms"][0] > 0
    with pytest.raises(UserError, match="a size is layers,heads,width,context,vocabulary"):
        pretrained.config_of("1,2,8,64")


def test_options_have_defaults_for_running_all() -> None:
    for module in ALL:
        options = module.BENCHMARK.defaults()
        assert module.BENCHMARK.processes(replace(options, repeats=1)) >= 1
        for size in options.sizes:
            module.BENCHMARK.check_size(size)
