"""Training under mpiexec: the same curve as without it, files that go on in any number of ranks, errors in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import equal
import lost
import numpy as np
import pytest
from mpi import BOTH, MPI, MPICH, OPENMPI, ROOT

pytest.importorskip("mpi4py", reason="pip install -e '.[mpi-test]'")
pytestmark = pytest.mark.mpi


SIZES = "--layers 1 --width 16 --heads 2 --context 16 --eval-windows 9 --eval-every 10"
TINY = ["--data", "python-docs", *SIZES.split()]


@pytest.fixture(params=BOTH, ids=lambda mpi: mpi.name)
def mpi(request: pytest.FixtureRequest) -> MPI:
    if not request.param.is_there():
        pytest.skip(f"no mpiexec of {request.param.name}: docs/distributed.md says how to install it beside the other")
    return request.param


CURVES = {MPICH: ("float64", "dropout", [2, 4], 7), OPENMPI: ("float32", "accumulation", [2], 5)}


def test_many_ranks_follow_the_curve_of_one(mpi: MPI, tmp_path: Path) -> None:
    """`python tests/ranks/equal.py` compares all kinds in both precisions."""
    dtype, kind, sizes, count = CURVES[mpi]
    flags = [*equal.SMALL, "--steps", "200"]
    table = list(equal.compared(tmp_path, flags, [dtype], [kind], sizes, [mpi], with_threads=False))
    assert len(table) == count
    assert all(row.right for row in table), "\n".join(map(str, table))
    values = [row["train_loss"] for row in equal.rows(tmp_path / f"{dtype}-{kind}" / "alone")]
    assert values[0] - values[-1] > 1  # it learns: a curve that stays where it is proves little


def test_a_run_goes_on_in_another_number_of_ranks(mpi: MPI, tmp_path: Path) -> None:
    flags = [*TINY, "--dtype", "float64", "--dropout", "0.1", "--steps", "30"]
    whole = equal.train([*flags, "--threads", "1"], tmp_path / "whole")
    run = tmp_path / "run"
    # 2 ranks make 10 steps, 3 ranks with a shared-out optimizer 10 more, one process the rest
    train = ["-m", "gpt.train", "--no-plot", "--threads", "1"]
    out = mpi.run(2, *train, *flags[:-1], "10", "--out", run)
    assert "ranks: 2 on 1 host, threads: 1 each" in out
    assert out.count("step 10/10") == 1  # the first rank alone prints
    out = mpi.run(3, *train, "--resume", run, "--steps", "20", "--shard-optimizer")
    assert "another number of ranks sums in another order" in out
    subprocess.run(
        [sys.executable, *train, "--resume", str(run), "--steps", "30", "--quiet"], check=True, env=mpi.environment()
    )
    # the schedule of a run depends on its last step, so the curve is compared with one that went on in one process
    other = tmp_path / "other"
    for steps in ("10", "20", "30"):
        again = (
            ["--resume", str(other), "--steps", steps] if steps != "10" else [*flags[:-1], "10", "--out", str(other)]
        )
        subprocess.run([sys.executable, *train, "--quiet", *again], check=True, env=mpi.environment())
    found = equal.difference(run, other)
    assert found.loss < 1e-10, found
    assert len(equal.rows(whole)) == len(equal.rows(run))
    assert json.loads((run / "checkpoint" / "metadata.json").read_text())["ranks"] == 1


def test_an_evaluation_is_one_number(mpi: MPI, tmp_path: Path) -> None:
    run = equal.train([*TINY, "--steps", "10"], tmp_path / "run")
    command = ["-m", "gpt.evaluate", "--json", run]
    alone = subprocess.run(
        [sys.executable, *map(str, command)], check=True, env=mpi.environment(), capture_output=True, text=True
    ).stdout
    assert [mpi.run(size, *command) for size in (2, 3)] == [alone, alone]


def test_a_prepared_corpus_is_read_by_each_rank(mpi: MPI, tmp_path: Path) -> None:
    """Of the windows of a batch a rank reads its own, and no other byte after the checks of the blocks."""
    text = tmp_path / "text.txt"
    text.write_text("".join(chr(97 + (i * i) % 26) for i in range(60_000)), "utf-8")
    env = mpi.environment()
    prepare = [sys.executable, "-m", "gpt.prepare", str(text), "--out", str(tmp_path / "corpus")]
    subprocess.run(prepare, check=True, env=env, capture_output=True)
    flags = [*TINY, "--dtype", "float64", "--steps", "20", "--data", str(tmp_path / "corpus")]
    alone = equal.train([*flags, "--threads", "1"], tmp_path / "alone")
    many = equal.train([*flags, "--threads", "1"], tmp_path / "many", 2, mpi)
    assert equal.difference(alone, many).loss < 1e-10


def test_the_profile_has_waiting_and_adding_up(mpi: MPI, tmp_path: Path) -> None:
    flags = [*TINY, "--steps", "10", "--profile", "--threads", "1"]
    run = equal.train(flags, tmp_path / "run", 2, mpi)
    profile = json.loads((run / "profile.json").read_text())
    calls = {event["key"]: event["count"] for event in profile["by_primitive"]}
    assert calls["waiting for ranks"] == calls["adding up over ranks"] == 10


def test_a_signal_saves_and_stops_all_ranks(mpi: MPI, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = [*TINY, "--steps", "5000", "--eval-every", "5000", "--quiet", "--no-plot", "--threads", "1"]
    process = mpi.start(2, "-m", "gpt.train", *flags, "--out", run)
    try:
        until(lambda: (run / "metrics.jsonl").exists() and len(equal.rows(run)) > 20)
        os.kill(lost.processes(run)[1], signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    steps = [row["step"] for row in equal.rows(run)]
    saved = json.loads((run / "checkpoint" / "metadata.json").read_text())["step"]
    assert steps == list(range(1, saved + 1))
    assert err.count(f"step {saved} saved; go on with") == 1, out + err
    assert process.returncode != 0


def until(holds: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "it has not begun"
        time.sleep(0.05)


@pytest.mark.parametrize(("flags", "said"), [
    (["--heads", "3"], "--heads 3 does not divide --width 16"),
    (["--nonsense"], "unrecognized arguments: --nonsense"),
    (["--data", "/nowhere"], "cannot read /nowhere"),
    (["--batch-size", "1"], "2 ranks cannot share --batch-size 1"),
    (["--shard-optimizer", "--dtype", "float16"], "--shard-optimizer is for --dtype float32 or float64"),
    (["--shard-optimizer", "--record"], "--record shows AdamW's state"),
    (["--answer-within", "0"], "--answer-within: '0' is not a number of seconds from 1"),
    (["--compare-every", "no"], "--compare-every: 'no' is not a whole number from 1"),
])  # fmt: skip
def test_what_is_wrong_is_said_once(flags: list[str], said: str, tmp_path: Path) -> None:
    out = MPICH.run(2, "-m", "gpt.train", *TINY, *flags, "--out", tmp_path / "run", status=2)
    assert out.count(said) == 1, out
    assert not (tmp_path / "run").exists()


def test_a_film_is_not_gone_on_with_where_the_state_is_shared_out(tmp_path: Path) -> None:
    run = equal.train([*TINY, "--steps", "10", "--record", "--threads", "1"], tmp_path / "run", 2)
    again = ["-m", "gpt.train", "--resume", run, "--steps", "20", "--threads", "1"]
    assert "--record shows AdamW's state" in MPICH.run(2, *again, "--shard-optimizer", status=2)
    MPICH.run(2, *again)


def test_a_program_that_a_rank_starts_is_no_rank(mpi: MPI) -> None:
    size = "from tinytensor.distributed.ranks import found; size = found().size"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{size}; print(size)'])"
    code = f"{size}; {start}"
    assert "".join(mpi.run(2, "-c", code).split()) == "11"  # the end of a line may come after the other's number


def test_calls_of_mpi_in_a_training(mpi: MPI, tmp_path: Path) -> None:
    """One Allreduce a step; all else is of the opening, evaluations, saves and the end: none of it grows with the steps."""
    counts = []
    for steps in ("20", "40"):
        flags = [*TINY, "--steps", steps, "--eval-every", "1000", "--threads", "1", "--quiet", "--no-plot"]
        out = mpi.run(2, Path(__file__).with_name("counted.py"), *flags, "--out", tmp_path / steps)
        counts.append(json.loads(out.splitlines()[-1]))
    assert [count["Allreduce"] for count in counts] == [20, 40]
    assert [count.pop("large") for count in counts] == [20, 40]  # in each the whole buffer, in place
    assert {**counts[0], "Allreduce": 0} == {**counts[1], "Allreduce": 0}


def test_every_rank_keeps_freed_memory(mpi: MPI, tmp_path: Path) -> None:
    flags = [*TINY, "--steps", "1", "--threads", "1", "--quiet", "--no-plot"]
    out = mpi.run(2, Path(__file__).with_name("counted.py"), *flags, "--out", tmp_path / "run")
    assert json.loads(out.splitlines()[-1])["kept on ranks"] == [True, True]


def test_help_is_printed_once() -> None:
    assert MPICH.run(2, "-m", "gpt.train", "--help").count("usage:") == 1


def test_bit_identical_to_no_mpiexec_where_there_is_one_rank(mpi: MPI, tmp_path: Path) -> None:
    flags = [*TINY, "--steps", "10"]
    one = equal.train(flags, tmp_path / "one", 1, mpi)
    alone = equal.train(flags, tmp_path / "alone")
    assert equal.difference(one, alone).same
    assert np.all([a["train_loss"] == b["train_loss"] for a, b in zip(equal.rows(one), equal.rows(alone), strict=True)])


def test_the_project_is_the_one_that_is_tested() -> None:
    code = "import gpt; print(gpt.__file__)"
    assert Path(MPICH.run(1, "-c", code).strip()).is_relative_to(ROOT)
