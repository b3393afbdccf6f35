"""The costs of exchanges are those of their messages sent one by one; docs/scaling.md says what the model computes."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import collectives, many_ranks, networks, scaling_plan, step_model
from benchmarks.collectives import ALL_REDUCE, Cluster, Link, all_gather, all_reduce, reduce_scatter
from benchmarks.harness import Row, Size
from benchmarks.step_model import COUNTS, Job, Plan
from gpt.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LINK = Link(3e-6, 2e9, 1e-10)
COUNT = st.integers(1, 12)
LINKS = st.builds(Link, st.floats(1e-7, 1e-3), st.floats(1e6, 1e12), st.floats(0, 1e-8))
SIZES = st.floats(0, 1e10)


# ------------------------------------------------------------------- the algorithms, message by message


@dataclass
class Machine:
    """n ranks with a clock and an array of n numbers each. Every message moves numbers, and costs α + β bytes."""

    n: int
    size: float  # bytes of a whole array
    link: Link
    clock: list[float] = field(init=False)
    data: list[Any] = field(init=False)
    sent: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.clock, self.sent = [0.0] * self.n, [0.0] * self.n
        self.data = [np.arange(1.0, self.n + 1) * 10.0**rank for rank in range(self.n)]

    def round(self, messages: Sequence[tuple[int, int, slice, bool]]) -> None:
        """Messages (from, to, which numbers, whether they are added) that are on their way at the same time."""
        before, arrays = list(self.clock), [x.copy() for x in self.data]
        for source, target, part, add in messages:
            count = len(range(*part.indices(self.n)))
            size = self.size * count / self.n
            self.sent[source] += size
            # both have to be ready, since the sender's partner receives into the array that it sends from
            end = max(before[source], before[target]) + self.link.latency + size / self.link.bandwidth
            if add:
                self.data[target][part] += arrays[source][part]
                end += size * self.link.addition
            else:
                self.data[target][part] = arrays[source][part]
            self.clock[target] = max(self.clock[target], end)

    def seconds(self) -> float:
        return max(self.clock)

    def check_sums(self) -> None:
        whole = np.arange(1.0, self.n + 1) * sum(10.0**rank for rank in range(self.n))
        for x in self.data:
            np.testing.assert_allclose(x, whole)


def send_ring(machine: Machine, gather_only: bool = False) -> None:
    n = machine.n
    for phase, add in enumerate((True, False)[gather_only:]):
        for step in range(n - 1):
            shift = 1 if phase or gather_only else 0
            parts = [(rank + shift - step) % n for rank in range(n)]
            machine.round([(rank, (rank + 1) % n, slice(parts[rank], parts[rank] + 1), add) for rank in range(n)])


def folding(machine: Machine) -> Iterator[list[int]]:
    """Bring the ranks down to a power of two, yield them, and give the others the result."""
    p = 1 << (machine.n.bit_length() - 1)
    extra, everything = machine.n - p, slice(0, machine.n)
    if extra:
        machine.round([(2 * i, 2 * i + 1, everything, True) for i in range(extra)])
    yield [2 * i + 1 if i < extra else i + extra for i in range(p)]
    if extra:
        machine.round([(2 * i + 1, 2 * i, everything, False) for i in range(extra)])


def send_doubling(machine: Machine) -> None:
    for ranks in folding(machine):
        distance = 1
        while distance < len(ranks):
            machine.round([(r, ranks[i ^ distance], slice(0, machine.n), True) for i, r in enumerate(ranks)])
            distance *= 2


def send_halving_doubling(machine: Machine) -> None:
    """Rabenseifner's all-reduce. Parts have machine.n / p numbers each; only counts that p divides are exact."""
    for ranks in folding(machine):
        p = len(ranks)
        bounds = [machine.n * i // p for i in range(p + 1)]
        owned = [(0, p)] * p
        history = []
        distance = p // 2
        while distance:
            messages, kept = [], list(owned)
            for i, rank in enumerate(ranks):
                low, high = owned[i]
                middle = (low + high) // 2
                mine, theirs = ((low, middle), (middle, high)) if not i & distance else ((middle, high), (low, middle))
                messages.append((rank, ranks[i ^ distance], slice(bounds[theirs[0]], bounds[theirs[1]]), True))
                kept[i] = mine
            machine.round(messages)
            owned = kept
            history.append(distance)
            distance //= 2
        for distance in reversed(history):
            machine.round(
                [
                    (rank, ranks[i ^ distance], slice(bounds[owned[i][0]], bounds[owned[i][1]]), False)
                    for i, rank in enumerate(ranks)
                ]
            )
            owned = [
                (min(owned[i][0], owned[i ^ distance][0]), max(owned[i][1], owned[i ^ distance][1])) for i in range(p)
            ]


SENT: dict[str, Callable[[Machine], None]] = {
    "ring": send_ring, "recursive doubling": send_doubling, "Rabenseifner": send_halving_doubling,
}  # fmt: skip


@pytest.mark.parametrize("name", ALL_REDUCE)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("size", [0.0, 4096.0, 1e7])
def test_a_formula_is_the_sum_of_its_messages(name: str, n: int, size: float) -> None:
    p = 1 << (n.bit_length() - 1)
    if name == "Rabenseifner" and n % p:  # numbers of unequal parts: the formula has m/p, a message cannot
        size = 0.0
    machine = Machine(n, size, LINK)
    SENT[name](machine)
    machine.check_sums()
    assert machine.seconds() == pytest.approx(ALL_REDUCE[name](n, size, LINK), rel=1e-12)


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_two_algorithms_send_as_few_bytes_as_any_can(n: int) -> None:
    for name, send in SENT.items():
        machine = Machine(n, 1e6, LINK)
        send(machine)
        least = 2 * (n - 1) / n * 1e6
        assert (max(machine.sent) == pytest.approx(least)) == (name != "recursive doubling" or n == 2)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_half_of_a_ring_is_a_reduce_scatter(n: int) -> None:
    free = replace(LINK, addition=0.0)
    machine = Machine(n, 1e6, free)
    send_ring(machine, gather_only=True)
    ring = (n - 1) * (LINK.latency + 1e6 / n / LINK.bandwidth)
    assert machine.seconds() == pytest.approx(ring)
    if n & (n - 1):  # no power of two: a ring
        assert all_gather(n, 1e6, LINK) == pytest.approx(ring)
    assert reduce_scatter(n, 1e6, LINK) == pytest.approx(all_gather(n, 1e6, LINK) + LINK.addition * 1e6 * (n - 1) / n)


# ------------------------------------------------------------------------------------- properties of the costs


@given(COUNT, SIZES, SIZES, LINKS)
def test_more_bytes_take_longer(n: int, a: float, b: float, link: Link) -> None:
    small, large = sorted((a, b))
    costs = (*ALL_REDUCE.values(), all_reduce, reduce_scatter, all_gather)
    for cost in costs:
        assert cost(n, small, link) <= cost(n, large, link) * (1 + 1e-12)


@given(SIZES, LINKS)
def test_one_rank_needs_no_exchange(size: float, link: Link) -> None:
    for cost in (*ALL_REDUCE.values(), all_reduce, reduce_scatter, all_gather):
        assert cost(1, size, link) == 0
    cluster = Cluster("", 4, link, link)
    assert cluster.flat(1, size) == cluster.hierarchical(1, size) == 0


@given(st.integers(2, 5000), SIZES, LINKS)
def test_nothing_is_faster_than_the_bound(n: int, size: float, link: Link) -> None:
    bound = 2 * (n - 1) / n * size / link.bandwidth
    for name, cost in ALL_REDUCE.items():
        fewest = 0 if name == "recursive doubling" and n < 4 else bound
        assert cost(n, size, link) >= fewest * (1 - 1e-12)
    best = all_reduce(n, size, link)
    assert best == ALL_REDUCE[collectives.fastest(n, size, link)](n, size, link)
    assert best >= reduce_scatter(n, size, link) * (1 - 1e-12) or n & (n - 1)


@given(st.sampled_from([2, 4, 8, 64, 512]), SIZES, LINKS, st.sampled_from([1, 2, 8]))
def test_nodes_help_or_do_not_hurt(n: int, size: float, link: Link, adapters: int) -> None:
    inner = Link(link.latency / 10, link.bandwidth * 10, link.addition)
    cluster = Cluster("", 8, inner, link, adapters)
    assert cluster.all_reduce(n, size, hierarchical=True) <= cluster.all_reduce(n, size)
    if n <= 8:
        assert cluster.flat(n, size) == all_reduce(n, size, inner)
    # as many bytes leave a node as any algorithm needs, through all adapters
    nodes = n // 8
    if nodes > 1:
        least = 2 * (nodes - 1) / nodes * size / (link.bandwidth * adapters)
        assert cluster.hierarchical(n, size) >= least * (1 - 1e-12)


# --------------------------------------------------------------------------------------------- the step model

JOB = Job("a job", 10**6, 4e6, 1e-3, 2e-3, 5e-4, 0.05, 128, 64, 8, 100.0, 2, 1e5)
CLUSTER = Cluster("a network", 2, Link(1e-6, 1e10), Link(2e-5, 1e9))


def test_a_step_alone_is_computing_and_update() -> None:
    assert step_model.step(JOB, CLUSTER, 1, 8) == pytest.approx(1e-3 + 8 * 2e-3 + 5e-4)
    assert sum(step_model.parts(JOB, CLUSTER, 1, 8).values()) == pytest.approx(1e-3 + 8 * 2e-3 + 5e-4)


@pytest.mark.parametrize("n", COUNTS)
def test_the_parts_add_up_to_the_step(n: int) -> None:
    assert sum(step_model.parts(JOB, CLUSTER, n, 8).values()) == pytest.approx(step_model.step(JOB, CLUSTER, n, 8))


def test_the_expected_slowest_is_that_of_many_draws() -> None:
    draws = np.random.default_rng(0).normal(1, 0.1, (4000, 64)).max(1).mean()
    assert step_model.slowest(64, 0.1) == pytest.approx(draws, rel=0.005)
    assert step_model.slowest(1, 0.1) == 1


@pytest.mark.parametrize("plan", [Plan(), Plan(overlap=True, hierarchical=True, zero=1, tensor=2)])
def test_without_spread_the_simulation_is_the_formula(plan: Plan) -> None:
    job = replace(JOB, spread=0.0, bytes=1e8)
    simulated = step_model.simulate(job, CLUSTER, 16, 4, plan, steps=3)
    assert simulated == pytest.approx([step_model.step(job, CLUSTER, 16, 4, plan)] * 3)


def test_the_simulation_waits_for_the_slowest() -> None:
    simulated = step_model.simulate(JOB, CLUSTER, 256, 8, steps=300)
    assert statistics.fmean(simulated) == pytest.approx(step_model.step(JOB, CLUSTER, 256, 8), rel=0.03)
    assert simulated == step_model.simulate(JOB, CLUSTER, 256, 8, steps=300)
    assert simulated != step_model.simulate(JOB, CLUSTER, 256, 8, steps=300, seed=1)


def arrivals(compute: float, buckets: int, seconds: float) -> float:
    """The buckets as a loop over small moments of time."""
    moment, now, waiting, link = compute / 30000, 0.0, 0, 0.0
    done = made = 0
    while done < buckets:
        now += moment
        while made < buckets and now >= compute / 3 + compute * 2 / 3 * (made + 1) / buckets - 1e-12:
            made += 1
            waiting += 1
        if link > 0:
            link -= moment
            if link <= 0:
                done += 1
        if link <= 0 and waiting:
            waiting -= 1
            link += seconds
    return now


@pytest.mark.parametrize("buckets", [1, 3, 7])
@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.4])
def test_buckets_arrive_one_after_another(buckets: int, seconds: float) -> None:
    assert step_model.finished(1.0, buckets, seconds) == pytest.approx(arrivals(1.0, buckets, seconds), abs=2e-3)


@given(st.floats(0.001, 10), st.integers(1, 50), st.floats(0, 1))
def test_overlap_hides_all_but_a_bucket_or_what_does_not_fit(compute: float, buckets: int, seconds: float) -> None:
    end = step_model.finished(compute, buckets, seconds)
    assert max(compute, compute / 3 + buckets * seconds) <= end * (1 + 1e-9)
    assert end <= (compute + buckets * seconds) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("plan", "exchanged", "updated"),
    [
        (Plan(), 1, 1), (Plan(zero=1), 1, 1 / 64), (Plan(zero=2), 1, 1 / 64), (Plan(zero=3), 1.5, 1 / 64),
    ],
)  # fmt: skip
def test_a_sharded_optimizer_sends_as_much_and_updates_less(plan: Plan, exchanged: float, updated: float) -> None:
    job = replace(JOB, spread=0.0)
    whole = CLUSTER.flat(64, job.bytes)
    expected = job.compute(8) + exchanged * whole + updated * job.update
    assert step_model.step(job, CLUSTER, 64, 8, plan) == pytest.approx(expected)


def test_compressed_gradients_cost_as_fewer_bytes() -> None:
    fewer = replace(JOB, bytes=JOB.bytes / 4)
    assert step_model.step(JOB, CLUSTER, 64, 8, Plan(compression=4)) == step_model.step(fewer, CLUSTER, 64, 8)


def test_ranks_of_a_group_share_layers() -> None:
    job, cluster = replace(JOB, spread=0.0), replace(CLUSTER, per_node=4, adapters=4)
    shared = 4 * job.layers * all_reduce(4, 8 * 4 * job.activation, cluster.inner)  # of 32 windows
    exchange = Cluster("", 1, cluster.inner, cluster.outer).flat(16, job.bytes / 4)
    expected = job.fixed + 8 * job.per_window + shared + exchange + job.update / 4
    assert step_model.step(job, cluster, 64, 8, Plan(tensor=4)) == pytest.approx(expected)


def test_ranks_of_a_pipeline_wait_for_its_ends() -> None:
    job, cluster = replace(JOB, spread=0.0), replace(CLUSTER, per_node=4, adapters=4)
    computing = job.fixed + 8 * job.per_window * 35 / 32  # 32 windows on 4 stages
    hops = 2 * 35 * cluster.inner.message(job.activation)
    exchange = Cluster("", 1, cluster.inner, cluster.outer).flat(16, job.bytes / 4)
    expected = computing + hops + exchange + job.update / 4
    assert step_model.step(job, cluster, 64, 8, Plan(pipeline=4)) == pytest.approx(expected)


def test_zero_divides_what_it_shares() -> None:
    assert [step_model.zero_bytes(7.5e9, 64, stage) / 1e9 for stage in range(4)] == pytest.approx(
        [120, 31.4, 16.6, 1.9], abs=0.05  # figure 1 of Rajbhandari et al. 2020
    )  # fmt: skip


def test_a_pipeline_of_few_windows_waits() -> None:
    assert step_model.bubble(1, 3) == 1
    assert step_model.bubble(8, 8) == 15 / 8


def test_scaling_stops_where_half_of_the_ranks_would_be_lost() -> None:
    assert step_model.stop([8.0, 4.0, 2.0, 1.9]) == 3
    assert step_model.stop([8.0, 4.0, 3.0, 2.1]) == 2
    assert step_model.stop([8.0, 9.0]) == 0
    assert step_model.strong(JOB, CLUSTER, 128) is None
    assert step_model.strong(JOB, CLUSTER, 128, Plan(tensor=2)) is not None


def test_the_best_number_of_buckets_is_taken() -> None:
    large = replace(JOB, bytes=1e8, spread=0.0)
    one = step_model.step(large, CLUSTER, 64, 64)
    several = step_model.step(large, CLUSTER, 64, 64, Plan(overlap=True))
    compute = large.compute(64)
    costs = [step_model.finished(compute, k, CLUSTER.flat(64, 1e8 / k)) for k in (1, 2, 4, 8, 16, 32, 64)]
    assert several == pytest.approx(min(costs) + large.update)
    assert several < one


def test_gpt2_has_its_parameters() -> None:
    assert scaling_plan.parameters_of(Size(12, 12, 768, 1024, 1), 50257) == 124_439_808
    assert scaling_plan.parameters_of(Size(48, 25, 1600, 1024, 1), 50257) == 1_557_611_200


# ----------------------------------------------------------------------------------------- fits and measurements


def test_a_fit_finds_the_link_that_made_the_times() -> None:
    link = Link(5e-6, 3e9, 2e-10)
    sizes = [16.0, 1024.0, 65536.0, 1e6, 4e6]
    times = [
        collectives.recursive_doubling(4, m, link) if m <= scaling_plan.SHORT else collectives.rabenseifner(4, m, link)
        for m in sizes
    ]
    fitted = scaling_plan.link_of(4, zip(sizes, times, strict=True), link.addition)
    assert (fitted.latency, fitted.bandwidth) == pytest.approx((link.latency, link.bandwidth))
    assert scaling_plan.line([(1, 5.0), (2, 7.0), (4, 11.0)]) == pytest.approx((3, 2))


def test_ranks_beyond_the_cores_share_them() -> None:
    here = scaling_plan.machine(scaling_plan.read())
    two = replace(here, cores=2, beside=1.1, spread=0.0)
    assert [two.shared(n) for n in (1, 2, 4)] == [1, 1.1, 2.2]
    assert two.step(1, 8) == two.fixed + 8 * two.per_window + two.update


def test_ranks_take_turns_and_each_round_has_its_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def run(command: list[str], *_: object) -> str:
        n = int(command[2])
        asked.append(n)
        times: dict[str, list[list[float]]] = {
            name: [[float(len(asked))] * (n - 1) + [10.0 * len(asked)]] * 3
            for name in ("shard 1", "shard 8", "update", "steps strong", "steps weak", "addition 400")
        }
        if n > 1:
            times |= {f"{name} 400": [[1.0] * (n - 1) + [2.0]] for name in scaling_plan.EXCHANGES}
        return (
            "warning\n"
            + json.dumps({"ranks": n, "parameters": 7, "times": times, "environment": {"commit": "abc"}})
            + "\n"
        )

    monkeypatch.setattr(many_ranks, "run", run)
    found = many_ranks.measure(3, 1)
    assert asked == [1, 2, 4] * 3
    assert [each["steps"]["weak"] for each in found["rounds"]] == [
        {"1": 10, "2": 20, "4": 30}, {"1": 40, "2": 50, "4": 60}, {"1": 70, "2": 80, "4": 90},
    ]  # fmt: skip  # of the slowest rank
    assert found["rounds"][0]["shards"] == {"1": [[1, 10], [8, 10]], "2": [[1, 11], [8, 11]], "4": [[1, 3], [8, 3]]}
    assert found["rounds"][0]["exchanges"]["4"]["all_gather"] == [[400, 2.0]]
    assert scaling_plan.pooled(found["rounds"])["steps"]["strong"] == {"1": 40, "2": 50, "4": 60}


def test_a_machine_that_obeys_the_model_has_no_error() -> None:
    measured = scaling_plan.read()
    here = scaling_plan.machine(measured)
    each = scaling_plan.pooled(scaling_plan.quiet(measured))
    for kind, steps in each["steps"].items():
        for n in steps:
            steps[n] = here.step(int(n), measured["batch"] / (int(n) if kind == "strong" else 1))
    rows = scaling_plan.check_rows(measured, [each])
    assert [row["error"] for row in rows] == pytest.approx([0.0] * 6)
    each["steps"]["weak"]["4"] *= 2
    rows = scaling_plan.check_rows(measured, [each])
    assert scaling_plan.errors(rows, 2) == pytest.approx((0.0, 0.5))
    assert "**0 %** where each rank has a core, and **50 %**" in scaling_plan.error_sentence(
        {**measured, "rounds": [each]}
    )


def test_steps_do_not_decide_which_rounds_are_quiet() -> None:
    measured = scaling_plan.read()
    chosen = scaling_plan.quiet(measured)
    assert len(chosen) == len(measured["rounds"]) // 3
    other = {**measured, "rounds": [{**each, "steps": {}, "exchanges": {}} for each in measured["rounds"]]}
    assert [each["shards"] for each in scaling_plan.quiet(other)] == [each["shards"] for each in chosen]


def test_new_rounds_join_those_of_the_same_machine(tmp_path: Path) -> None:
    measured, file = scaling_plan.read(), tmp_path / "measured.json"
    many_ranks.write(file, {"noise": []})
    many_ranks.write(file, measured)
    assert file.read_text("utf-8") == scaling_plan.MEASURED.read_text("utf-8")
    many_ranks.write(file, {**measured, "rounds": measured["rounds"][:1]})
    assert scaling_plan.read(file)["rounds"] == [*measured["rounds"], measured["rounds"][0]]
    many_ranks.write(file, {**measured, "cores": 64, "rounds": measured["rounds"][:1]})
    assert scaling_plan.read(file)["rounds"] == measured["rounds"][:1]


def test_the_noise_scale_is_that_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(0.3, 2.0, (400, 16, 50))
    pairs = [many_ranks.noise_scale(float((g**2).sum(1).mean()), float((g.mean(0) ** 2).sum()), 16) for g in gradients]
    noise, signal = np.mean(pairs, 0)
    assert noise == pytest.approx(50 * 4.0, rel=0.02)
    assert signal == pytest.approx(50 * 0.09, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["measure", "--rounds", "0"], "--rounds 0: it must be a whole number of at least 1"),
        (["draw"], "invalid choice: 'draw'"),
        (["noise"], "noise trains on a text: --data PATH"),
        (["check", "--json", "nowhere.json"], "nowhere.json is missing: python -m benchmarks.many_ranks measure makes"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert many_ranks.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert line in err
    assert err.count("\n") == 1


def test_without_mpiexec_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_ranks, "mpiexec", lambda: "no-such-mpiexec")
    with pytest.raises(UserError, match=r"there is no mpiexec: pip install mpi4py mpich"):
        many_ranks.child(2, 1)
    one = json.dumps({"ranks": 1})
    monkeypatch.setattr(many_ranks, "run", lambda *_: one)
    with pytest.raises(UserError, match="mpiexec -n 2 started 1 ranks"):
        many_ranks.child(2, 1)


@pytest.mark.mpi
@pytest.mark.parametrize("n", [1, 2])
def test_ranks_measure_themselves(n: int) -> None:
    pytest.importorskip("mpi4py")
    found = many_ranks.child(n, 1)
    assert found["ranks"] == n
    assert found["parameters"] > 400_000
    assert {len(each) for times in found["times"].values() for each in times} == {n}
    assert sum(name.startswith("all_reduce") for name in found["times"]) == (len(many_ranks.SIZES) if n > 1 else 0)


# ------------------------------------------------------------------------------------------------ the document


def test_the_tables_of_the_document_are_those_of_the_measurements() -> None:
    text = many_ranks.DOCUMENT.read_text("utf-8")
    assert scaling_plan.with_tables(text, scaling_plan.read()) == text, "run python -m benchmarks.many_ranks plan"


def test_another_measurement_changes_the_document() -> None:
    measured: Row = scaling_plan.read()
    text = many_ranks.DOCUMENT.read_text("utf-8")
    slower = {**measured, "rounds": [{**each, "spread": 2 * each["spread"]} for each in measured["rounds"]]}
    assert scaling_plan.with_tables(text, slower) != text
    with pytest.raises(UserError, match="has no <!-- table machine -->"):
        scaling_plan.with_tables("nothing", measured)


def test_plots_are_small_and_drawn_again(tmp_path: Path) -> None:
    for kind, name in many_ranks.PLOTS.items():
        scaling_plan.draw(scaling_plan.read(), tmp_path / name, kind)
        assert 10_000 < (tmp_path / name).stat().st_size < 200_000
        assert 10_000 < (ROOT / "docs" / name).stat().st_size < 200_000


def test_every_network_says_where_its_numbers_are_from() -> None:
    for network in networks.NETWORKS:
        assert "http" in network.source
        assert math.isfinite(networks.of_gpus(network).all_reduce(64, 1e9))
    assert subprocess.run(["bash", "-n", ROOT / "runs" / "many_ranks.sh"]).returncode == 0
