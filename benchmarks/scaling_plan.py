"""The tables of docs/scaling.md, from a file of measurements: the model beside what was measured, and far beyond.

The model has five numbers for the machine: the time of a shard, fixed + per_window b, and how far it spreads; how much
longer two ranks take beside each other than one alone; the update; and α and β of its memory as a link, one pair for ranks
that have a core each, one where they share cores. Steps are what it predicts: no measured step goes into it.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import networks, step_model
from benchmarks.collectives import Cluster, Link, all_gather, all_reduce, reduce_scatter, rounds
from benchmarks.environment import ROOT
from benchmarks.harness import Row, Size
from benchmarks.networks import NETWORKS, Network
from benchmarks.step_model import BASE, COUNTS, Job, Plan
from gpt.errors import UserError

MEASURED = ROOT / "benchmarks" / "results" / "many_ranks.json"
EXCHANGES: dict[str, Callable[[int, float, Link], float]] = {
    "all_reduce": all_reduce, "reduce_scatter": reduce_scatter, "all_gather": all_gather,
}  # fmt: skip
HALFWAY = 1000  # steps of the default training, at which its noise scale is taken for B_crit
SHORT = 2048  # bytes up to which MPICH's all-reduce takes recursive doubling (MPIR_CVAR_ALLREDUCE_SHORT_MSG_SIZE)


def read(path: Path = MEASURED) -> Row:
    """The measurements; UserError if there are none."""
    try:
        found: Row = json.loads(path.read_text("utf-8"))
    except OSError:
        raise UserError(f"{path} is missing: python -m benchmarks.many_ranks measure makes it") from None
    return found


# ------------------------------------------------------------------------------------ the model of this machine


def line(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """a and b of y = a + b x, by least squares of the relative errors."""
    import numpy as np

    xs, ys = np.array(list(points), float).T
    b, a = np.polyfit(xs, ys, 1, w=1 / ys)
    return float(a), float(b)


def link_of(n: int, points: Iterable[tuple[float, float]], addition: float) -> Link:
    """α and β from the seconds of all-reduces of some sizes, by least squares of the relative errors.

    Each size is taken as the algorithm that MPICH chooses for it: rounds times α, and bytes that a rank sends.
    """
    import numpy as np

    sizes, seconds = np.array(list(points), float).T
    messages = np.where(sizes <= SHORT, 1, 2) * rounds(n)
    sent = np.where(sizes <= SHORT, sizes * rounds(n), 2 * sizes * (n - 1) / n)
    added = np.where(sizes <= SHORT, sizes * rounds(n), sizes * (n - 1) / n) * addition
    terms = np.stack([messages, sent]).T / seconds[:, None]
    (latency, inverse), *_ = np.linalg.lstsq(terms, (seconds - added) / seconds)
    return Link(max(float(latency), 0.0), 1 / max(float(inverse), 1e-15), addition)


@dataclass(frozen=True)
class Machine:
    """The fitted numbers; `beside` is the time of two ranks at once over that of one alone."""

    cores: int
    parameters: int
    fixed: float
    per_window: float
    update: float
    spread: float
    beside: float
    links: dict[int, Link]

    def shared(self, ranks: int) -> float:
        """How much longer a rank computes beside the others. Ranks beyond the cores share them evenly."""
        return (self.beside if ranks > 1 else 1.0) * max(1.0, ranks / self.cores)

    def step(self, ranks: int, windows: float) -> float:
        """The predicted seconds of a step with so many windows on each rank."""
        compute = (self.fixed + self.per_window * windows) * step_model.slowest(ranks, self.spread)
        exchange = all_reduce(ranks, 4.0 * self.parameters, self.links[ranks]) if ranks > 1 else 0.0
        return self.shared(ranks) * (compute + self.update) + exchange


def median(rounds: Sequence[Any]) -> Any:
    """One value of the same shape as each of these: dictionaries and lists by their items, of numbers the median."""
    first = rounds[0]
    if isinstance(first, dict):
        return {key: median([each[key] for each in rounds]) for key in first}
    if isinstance(first, list):
        return [median(items) for items in zip(*rounds, strict=True)]
    return statistics.median(rounds)


def fitted(measured: Row, found: Row) -> Machine:
    """The model, fitted to the shards, updates and exchanges of a round, or of the median of some."""
    shards = {ranks: dict(map(tuple, points)) for ranks, points in found["shards"].items()}
    fixed, per_window = line(shards["1"].items())
    size, seconds = found["addition"]
    links = {
        int(n): link_of(int(n), operations["all_reduce"], seconds / size)
        for n, operations in found["exchanges"].items()
    }
    beside = statistics.median(shards["2"][b] / shards["1"][b] for b in shards["1"])
    return Machine(
        measured["cores"], measured["parameters"], fixed, per_window, found["update"]["1"], found["spread"], beside, links
    )  # fmt: skip


def pooled(rounds: Sequence[Row]) -> Row:
    """The medians of these rounds."""
    kept = ("shards", "update", "exchanges", "steps", "addition", "spread")
    found: Row = median([{key: each[key] for key in kept} for each in rounds])
    return found


def quiet(measured: Row) -> list[Row]:
    """The third of the rounds in which other programs took least: where shards of one and two ranks were fastest.

    Neither exchanges nor steps decide, so the errors of the model do not.
    """

    def taken(each: Row) -> float:
        return math.fsum(seconds for ranks in ("1", "2") for _, seconds in each["shards"][ranks])

    return sorted(measured["rounds"], key=taken)[: max(1, len(measured["rounds"]) // 3)]


def machine(measured: Row) -> Machine:
    """The model of the medians of the quiet rounds."""
    return fitted(measured, pooled(quiet(measured)))


# ------------------------------------------------------------------------------------------- jobs on named networks


def parameters_of(size: Size, vocabulary: int) -> int:
    """The parameters of GPT-2: 12 C² + 13 C a layer, the last norm, embeddings of tokens and positions."""
    L, C, T = size.layers, size.width, size.context
    return L * (12 * C * C + 13 * C) + 2 * C + (vocabulary + T) * C


def critical_tokens(loss: float) -> float:
    """B_crit at that loss in nats: 2·10⁸ / loss^(1/0.21) tokens (Kaplan et al. 2020, arXiv:2001.08361, section 5.1)."""
    return float(2e8 / loss ** (1 / 0.21))


def on_gpu(name: str, size: Size, windows: int, loss: float) -> Job:
    """GPT-2 on an H100: bfloat16 gradients, float32 optimizer; 16 windows of a rank in weak scaling."""
    parameters = parameters_of(size, 50257)
    per_window = size.flops(50257) / (networks.UTILISATION * networks.GPU.peaks["float16"])
    update = 40.0 * parameters / networks.GPU.bandwidth  # norm, clipping, AdamW: ten float32 numbers each
    return Job(
        name, parameters, 2.0 * parameters, 0.0, per_window, update, networks.GPU_SPREAD, size.context, windows, 16,
        critical_tokens(loss) / size.context, size.layers, 2.0 * size.context * size.width,
    )  # fmt: skip


def jobs(measured: Row) -> list[tuple[Job, list[Cluster]]]:
    """The three models, each with its clusters. A core as measured here trains the default model, a GPU the others."""
    here = machine(measured)
    busy = here.shared(here.cores) if here.cores > 1 else 1.0
    critical = next(row["windows"] for row in measured["noise"] if row["step"] == HALFWAY)
    default = Job(
        "default, CPU", here.parameters, 4.0 * here.parameters, busy * here.fixed, busy * here.per_window,
        busy * here.update, here.spread, measured["context"], measured["batch"], measured["batch"],
        critical, measured["layers"], 4.0 * measured["context"] * measured["width"],
    )  # fmt: skip
    cpus = [networks.of_cpus(network, here.cores, here.links[2]) for network in NETWORKS]
    gpus = [networks.of_gpus(network) for network in NETWORKS]
    # Batches of 2^19 and 2^20 tokens: GPT-3's for 125M and 1.3B parameters (Brown et al. 2020, table 2.1: 0.5M and 1M).
    # Losses of the two on OpenWebText: the README of nanoGPT.
    small = on_gpu("GPT-2 124M, H100", Size(12, 12, 768, 1024, 1), 512, 3.12)
    large = on_gpu("GPT-2 1.5B, H100", Size(48, 25, 1600, 1024, 1), 1024, 2.54)
    return [(default, cpus), (small, gpus), (large, gpus)]


def why(job: Job, cluster: Cluster, n: int, windows: float) -> str:
    """What takes most of a step beside the computing that n ranks share, with its share."""
    shares = step_model.parts(job, cluster, n, windows)
    whole = sum(shares.values())
    del shares["computing"]
    name = max(shares, key=lambda part: shares[part])
    return f"{name}, {100 * shares[name] / whole:.0f} % of a step"


def strong_cell(job: Job, cluster: Cluster) -> str:
    """Where the same batch stops scaling, how many times as fast as one rank it is there, and what is in the way."""
    seconds = [t for n in COUNTS if (t := step_model.strong(job, cluster, n)) is not None]
    at, fastest = step_model.stop(seconds), min(range(len(seconds)), key=seconds.__getitem__)
    n, more = COUNTS[at], COUNTS[min(at + 1, len(seconds) - 1)]
    reason = why(job, cluster, more, job.windows / more)
    if n == more:
        reason = f"one window a rank, then {reason}"
    best = "" if at == fastest else f" (fastest with {COUNTS[fastest]:,}: {shown(seconds[0] / seconds[fastest])})"
    return f"**{n:,}**: {shown(seconds[0] / seconds[at])}{best}; {reason}"


def weak_cell(job: Job, cluster: Cluster) -> str:
    """Where a batch that grows with the ranks stops to shorten the time to a loss, and the efficiency of steps."""

    def efficiency(n: int) -> float:
        one = step_model.step(job, cluster, 1, job.per_rank)
        return one / step_model.step(job, cluster, n, job.per_rank)

    seconds = [step_model.to_loss(job, cluster, n) for n in COUNTS]
    at = step_model.stop(seconds)
    n, more = COUNTS[at], COUNTS[min(at + 1, len(COUNTS) - 1)]
    fewer = step_model.steps_of(job, job.per_rank) / step_model.steps_of(job, job.per_rank * more)  # more at best
    reason = "the batch" if fewer / more < efficiency(more) else why(job, cluster, more, job.per_rank)
    steps = ", ".join(f"{100 * efficiency(each):.0f}" for each in (8, 64, 4096))
    return f"{steps} %; **{n:,}**: {shown(seconds[0] / seconds[at])}; {reason}"


# ------------------------------------------------------------------------------------------------------ tables


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, right: int = 0) -> str:
    """A table in Markdown; the first `left` columns and the last `right` are words, the others numbers."""
    sides = ["---" if i < left or i >= len(titles) - right else "--:" for i in range(len(titles))]
    lines = [titles, sides, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines).replace("| --- |", "|---|")


def check_rows(measured: Row, rounds: Sequence[Row]) -> list[Row]:
    """A row for each measured kind of step: predicted and measured seconds, error, and both as ratios to 1 rank.

    Each round is fitted and predicted on its own, since the machine is not equally busy in all; these are the medians.
    """
    rows = []
    for kind, ranks in itertools.product(("strong", "weak"), rounds[0]["steps"]["weak"]):
        n = int(ranks)
        windows = measured["batch"] / n if kind == "strong" else measured["batch"]
        found = []
        for each in rounds:
            here = fitted(measured, each)
            predicted, took = here.step(n, windows), each["steps"][kind][ranks]
            found.append({
                "predicted": predicted, "measured": took, "error": predicted / took - 1,
                "predicted_ratio": predicted / here.step(1, measured["batch"]),
                "ratio": took / each["steps"][kind]["1"],
            })  # fmt: skip
        spread = [each["error"] for each in found]
        rows.append(
            {"kind": kind, "ranks": n, "windows": windows, **median(found), "least": min(spread), "most": max(spread)}
        )
    return rows


def check_table(measured: Row) -> str:
    """Predicted beside measured steps of the quiet rounds, in milliseconds and as multiples of one rank's; all errors."""
    titles = ["scaling", "ranks", "windows a rank", "predicted, ms", "measured, ms", "error", "of single rounds",
              "÷ 1 rank, predicted", "measured", "error in all rounds"]  # fmt: skip
    every = check_rows(measured, measured["rounds"])
    rows = [
        (
            row["kind"], str(row["ranks"]), f"{row['windows']:g}", f"{1e3 * row['predicted']:.1f}",
            f"{1e3 * row['measured']:.1f}", f"{100 * row['error']:+.0f} %",
            f"{100 * row['least']:+.0f} to {100 * row['most']:+.0f} %", f"{row['predicted_ratio']:.2f}",
            f"{row['ratio']:.2f}", f"{100 * other['error']:+.0f} %",
        )
        for row, other in zip(check_rows(measured, quiet(measured)), every, strict=True)
    ]  # fmt: skip
    return markdown(titles, rows)


def errors(rows: Sequence[Row], cores: int) -> tuple[float, float]:
    """The largest error of ranks that have a core each, and the largest of ranks that share cores."""
    own, shared = ([abs(row["error"]) for row in rows if (row["ranks"] <= cores) == has] for has in (True, False))
    return max(own), max(shared, default=0.0)


def error_sentence(measured: Row) -> str:
    """What docs/scaling.md says of the errors."""
    chosen = quiet(measured)
    rows = check_rows(measured, chosen)
    own, shared = errors(rows, measured["cores"])
    ratio = max(abs(row["predicted_ratio"] / row["ratio"] - 1) for row in rows)
    all_own, all_shared = errors(check_rows(measured, measured["rounds"]), measured["cores"])
    return (
        f"The largest median error is **{100 * own:.0f} %** where each rank has a core, and **{100 * shared:.0f} %** where "
        f"four share two.\nThat is in the {len(chosen)} quiet rounds of {len(measured['rounds'])}; in all it is "
        f"{100 * all_own:.0f} and {100 * all_shared:.0f} %.\nAn error is predicted ÷ measured − 1 in one round, and the column "
        "has the median over the rounds: it is not the ratio of the two columns beside it, which are medians of their own.\n"
        f"The ratio to one rank, which has the errors of two steps, is off by up to **{100 * ratio:.0f} %**."
    )


def machine_table(measured: Row) -> str:
    """The fitted numbers, in one row."""
    here = machine(measured)
    cells = {
        "a shard of b windows": f"{1e3 * here.fixed:.2f} + {1e3 * here.per_window:.2f} b ms",
        "its spread v, from the quartiles": f"{100 * here.spread:.1f} %",
        "two at once over one alone": f"{here.beside:.2f}",
        "U: clip, AdamW": f"{1e3 * here.update:.2f} ms",
        "1/γ": f"{1e-9 / here.links[2].addition:.1f} GB/s",
    }
    for n, link in here.links.items():
        cells[f"α, 1/β of {n} ranks"] = f"{1e6 * link.latency:,.0f} µs, {1e-9 * link.bandwidth:.1f} GB/s"
    steps = ", ".join(f"{row['step']:,}" for row in measured["noise"])
    cells[f"noise scale after {steps} steps"] = (
        ", ".join(shown(row["windows"]) for row in measured["noise"]) + " windows"
    )
    return markdown(list(cells), [list(cells.values())], len(cells))


def exchange_table(measured: Row) -> str:
    """Milliseconds of the three operations by size, measured and by the formulas with the fitted α and β."""
    here, rows = machine(measured), []
    exchanges = pooled(quiet(measured))["exchanges"]
    for i, (size, _) in enumerate(exchanges["2"]["all_reduce"]):
        if i % 2:  # every other size is enough to see
            continue
        cells = [f"{size:,.0f}"]
        for ranks, (name, cost) in itertools.product(exchanges, EXCHANGES.items()):
            bytes_, seconds = exchanges[ranks][name][i]
            cells.append(f"{shown(1e3 * seconds)}, {shown(1e3 * cost(int(ranks), bytes_, here.links[int(ranks)]))}")
        rows.append(tuple(cells))
    titles = [f"{name.replace('_', '-')}, {ranks} ranks" for ranks, name in itertools.product(exchanges, EXCHANGES)]
    return markdown(["bytes", *titles], rows, 0)


def network_table(networks_: Sequence[Network] = NETWORKS) -> str:
    """Latency, bandwidth, adapters, source."""
    rows = [
        (each.name, f"{1e6 * each.latency:g} µs", f"{1e-9 * each.bandwidth:g} GB/s", str(each.adapters), each.source)
        for each in networks_
    ]
    return markdown(["network", "α", "1/β", "adapters", "source"], rows, 1, 1)


def by_network(measured: Row, cell: Callable[[Job, Cluster], str], critical: bool = False) -> str:
    """A row for each network, a column for each model, perhaps with B_crit in its title."""
    found = jobs(measured)
    rows = [(network.name, *(cell(job, clusters[i]) for job, clusters in found)) for i, network in enumerate(NETWORKS)]
    titles = [
        f"{job.name} (B_crit: {job.critical / job.per_rank:.0f} ranks)" if critical else job.name for job, _ in found
    ]
    return markdown(["network", *titles], rows, 4)


def scenarios(measured: Row) -> list[tuple[Job, Cluster, int]]:
    """Where each model is at its end in strong scaling: one window a rank, on a network of its size."""
    kinds = zip(jobs(measured), ("1 GbE", "100 GbE RoCE", "NDR 400"), strict=True)
    return [(job, next(each for each in clusters if each.name == name), job.windows) for (job, clusters), name in kinds]


def remedies(per_node: int) -> dict[str, Plan]:
    """What could come next, each of the first five on top of the ones before."""
    both = Plan(hierarchical=True, overlap=True)
    return {
        "one all-reduce after the backward": BASE,
        "hierarchical": Plan(hierarchical=True),
        "and overlap": both,
        "and a sharded optimizer (ZeRO 1)": replace(both, zero=1),
        "the same with ZeRO 3": replace(both, zero=3),
        "hierarchical, overlap, gradients of a quarter of the bytes": replace(both, compression=4),
        "hierarchical, overlap, tensor parallel in a node": replace(both, tensor=per_node),
        "hierarchical, overlap, pipeline in a node": replace(both, pipeline=per_node),
    }


def next_table(measured: Row) -> str:
    """Milliseconds of a step where strong scaling ends, with each remedy, and how many times as fast it becomes."""
    places = scenarios(measured)
    rows: dict[str, list[str]] = {}
    for job, cluster, n in places:
        base = step_model.strong(job, cluster, n)
        assert base is not None
        for name, plan in remedies(cluster.per_node).items():
            seconds = step_model.strong(job, cluster, n, plan)
            assert seconds is not None
            rows.setdefault(name, [name]).append(f"{shown(1e3 * seconds)} ({base / seconds:.2f})")
        both = Plan(hierarchical=True, overlap=True, tensor=cluster.per_node)
        wider = step_model.strong(job, cluster, n * cluster.per_node, both)
        assert wider is not None
        name = "tensor parallel, as many times the ranks as a node has"
        rows.setdefault(name, [name]).append(f"{shown(1e3 * wider)} ({base / wider:.2f})")
        steps = step_model.steps_of(job, job.windows) / step_model.steps_of(job, 4 * job.windows)
        larger = base / step_model.step(job, cluster, 4 * n, 1) * steps
        name = "4 times the batch on 4 times the ranks: time to a loss"
        rows.setdefault(name, [name]).append(f"({larger:.2f})")
    titles = ["ms (times as fast)", *(f"{job.name}, {cluster.name}, {n:,} ranks" for job, cluster, n in places)]
    return markdown(titles, rows.values())


def memory_table(measured: Row) -> str:
    """Gigabytes of weights, gradients and optimizer on a rank, by stage of ZeRO, for the 1.5B model."""
    job = jobs(measured)[-1][0]
    rows = [
        (f"{n:,}", *(f"{shown(1e-9 * step_model.zero_bytes(job.parameters, n, stage))}" for stage in range(4)))
        for n in (8, 1024)
    ]
    return markdown(["ranks", "replicated", "ZeRO 1", "ZeRO 2", "ZeRO 3"], rows, 0)


def simulated_table(measured: Row) -> str:
    """Steps of weak scaling on paper and simulated, in milliseconds, on each model's network of `scenarios`."""
    rows = []
    for job, cluster, _ in scenarios(measured):
        cells = [f"{job.name}, {cluster.name}"]
        for n in (8, 64, 4096):
            paper = step_model.step(job, cluster, n, job.per_rank)
            simulated = statistics.fmean(step_model.simulate(job, cluster, n, job.per_rank))
            cells.append(f"{shown(1e3 * paper)}, {shown(1e3 * simulated)} ({100 * (simulated / paper - 1):+.1f} %)")
        rows.append(tuple(cells))
    return markdown(["ms on paper, simulated", "8 ranks", "64", "4,096"], rows)


def shown(x: float) -> str:
    """Three digits, or all before the point."""
    return f"{x:,.{max(0, 2 - math.floor(math.log10(x)))}f}"


TABLES: dict[str, Callable[[Row], str]] = {
    "machine": machine_table, "exchanges": exchange_table, "check": check_table, "errors": error_sentence,
    "networks": lambda _: network_table(), "strong": lambda measured: by_network(measured, strong_cell),
    "weak": lambda measured: by_network(measured, weak_cell, critical=True), "next": next_table,
    "memory": memory_table, "simulated": simulated_table,
}  # fmt: skip


def with_tables(text: str, measured: Row) -> str:
    """The text with every table between its two comments made again: <!-- table NAME --> … <!-- /table -->."""
    for name, make in TABLES.items():
        begin, end = f"<!-- table {name} -->\n", "<!-- /table -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise UserError(f"the document has no {begin.strip()}")
        text = before + begin + make(measured) + "\n" + end + rest.partition(end)[2]
    return text


# ------------------------------------------------------------------------------------------------------- plots


def draw(measured: Row, path: Path, kind: str) -> None:
    """How many times as fast n ranks are as one, for each model and network: a step of one batch ("strong"), or the time
    to a loss with a batch that grows ("weak")."""
    from benchmarks import plots

    made = plots.figure(11, 4.2)
    colours = ("#999999", *plots.OTHERS[:3], plots.COLOURS["tinytensor"])
    for axes, (job, clusters) in zip(made.subplots(1, 3), jobs(measured), strict=True):
        for cluster, colour in zip(clusters, colours, strict=True):
            seconds = [(step_model.strong if kind == "strong" else step_model.to_loss)(job, cluster, n) for n in COUNTS]
            points = [(n, seconds[0] / s) for n, s in zip(COUNTS, seconds) if s is not None and seconds[0] is not None]
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=cluster.name, markersize=3)
        most = max(n for n, _ in points)
        axes.plot((1, most), (1, most), ":", color="black", linewidth=0.8, label="as many times as ranks")
        axes.set(xscale="log", yscale="log", xlabel="ranks", title=job.name)
        if kind == "weak":
            axes.axvline(job.critical / job.per_rank, color="black", linewidth=0.8, linestyle="--")
            axes.annotate(" batch = B_crit", (job.critical / job.per_rank, axes.get_ylim()[0]), fontsize=8,
                          xytext=(0, 4), textcoords="offset points")  # fmt: skip
        axes.set_xticks(COUNTS[: most.bit_length() : 1 if most < 16 else 3])
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_major_formatter("{x:g}")
        if most < 16:
            axes.set_yticks(COUNTS[: most.bit_length()])
        axes.spines[["top", "right"]].set_visible(False)
    made.axes[0].set_ylabel("times as fast: " + ("a step of the same batch" if kind == "strong" else "time to a loss"))
    made.axes[0].legend(frameon=False, fontsize=8)
    plots.save(made, path)
