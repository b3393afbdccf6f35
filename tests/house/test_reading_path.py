"""The README's reading list is true, short enough, commented, and complete: nothing that a training step runs is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import budget
import pytest
from budget import COMMENTS, MOST_LINES, ROOT, Row, density, lines_of, listed, table

README = (ROOT / "README.md").read_text("utf-8")

# What a default training step runs besides the files of the list: the file, and why a reader may leave it out.
FAST = "fast path of "  # and its plain twin, which is on the list
CHECKS = "checks arguments and calls apply"  # one file of the kind is on the list
HOLDS = "returns what is there or what it is given: it computes nothing in a default step"
GUARD = "guard: notes, compares and refuses; it changes no number"
OFF_THE_LIST = {
    "gpt/fast/shards.py": FAST + "gpt/train.py",  # one shard: shard_gradient for the whole batch
    "tinytensor/ops/blockwise_attention.py": FAST + "tinytensor/ops/attention.py",
    "tinytensor/accumulate_base.py": FAST + "tinytensor/accumulate.py",  # buffers that the tape offers
    "tinytensor/nn/flat.py": FAST + "tinytensor/optim/adamw.py",  # all parameters in one buffer
    "tinytensor/sums.py": FAST + "tinytensor/ops/layer_norm.py",  # x.sum(0) and x.sum(1) by BLAS
    "tinytensor/buffers.py": FAST + "tinytensor/optim/adamw.py",
    "tinytensor/optim/adam.py": FAST + "tinytensor/optim/adamw.py",
    "tinytensor/optim/fused.py": FAST + "tinytensor/optim/adamw.py",
    "tinytensor/optim/moments.py": FAST + "tinytensor/optim/adamw.py",
    "tinytensor/optim/blocks.py": FAST + "tinytensor/optim/adamw.py",
    "tinytensor/nn/clip_base.py": FAST + "tinytensor/nn/clip.py",  # the norm of several vectors
    "tinytensor/functions/backward.py": CHECKS,
    "tinytensor/functions/dims.py": CHECKS,
    "tinytensor/functions/shape.py": CHECKS,
    "tinytensor/functions/arithmetic.py": CHECKS,
    "tinytensor/functions/operands.py": CHECKS,
    "tinytensor/functions/signature.py": CHECKS,
    "tinytensor/nn/functional/activations.py": CHECKS,
    "tinytensor/nn/functional/attention.py": CHECKS,
    "tinytensor/nn/functional/checks.py": CHECKS,
    "tinytensor/nn/functional/cross_entropy.py": CHECKS,
    "tinytensor/nn/functional/dropout.py": CHECKS,  # returns its input, as p is 0
    "tinytensor/nn/functional/embedding.py": CHECKS,
    "tinytensor/nn/functional/norms.py": CHECKS,
    "tinytensor/attributes.py": HOLDS,
    "tinytensor/creation.py": HOLDS,  # from_numpy
    "tinytensor/devices.py": HOLDS,
    "tinytensor/dtypes.py": HOLDS,
    "tinytensor/functions/convert.py": HOLDS,  # item, to
    "tinytensor/layout.py": HOLDS,  # arrays that are row-major
    "tinytensor/modes.py": HOLDS,  # whether the thread records, which it does
    "tinytensor/nn/containers.py": HOLDS,  # the blocks of the model, one after the other
    "gpt/cache.py": HOLDS,  # training has no cache
    "tinytensor/writes.py": GUARD,
}


# -------------------------------------------------------------------------------------------- the list


def test_the_counts_are_true_and_the_sum_is_within_the_budget(record_property: Callable[[str, object], None]) -> None:
    rows = listed(README)
    record_property("said", table(rows))
    assert rows, "the README has no heading that begins with Read, or no table under it"
    assert [Row(row.path, lines_of(ROOT / row.path)) for row in rows] == rows
    assert sum(row.lines for row in rows) <= MOST_LINES
    assert len({row.path for row in rows}) == len(rows)


def test_every_file_of_the_list_is_commented() -> None:
    few = {row.path: round(density(ROOT / row.path), 1) for row in listed(README) if row.path.endswith(".py")}
    assert not {path: each for path, each in few.items() if each < COMMENTS[0]}


def test_the_list_is_complete(record_property: Callable[[str, object], None]) -> None:
    done = subprocess.run([sys.executable, ROOT / "tests" / "house" / "executed.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ran: dict[str, list[str]] = json.loads(done.stdout)
    on = {row.path for row in listed(README)}
    off = {path: f"{OFF_THE_LIST.get(path, '?')}: {', '.join(names)}" for path, names in ran.items() if path not in on}
    record_property("said", "\n".join(["a step runs beside the list", *(f"{p}: {why}" for p, why in off.items())]))
    assert not set(off) - set(OFF_THE_LIST), "on the list, or in OFF_THE_LIST with a reason"
    assert not set(OFF_THE_LIST) - set(off), "these do not run, or are on the list"


@pytest.mark.parametrize("path, why", OFF_THE_LIST.items())
def test_what_is_not_on_the_list_has_a_reason(path: str, why: str) -> None:
    assert (ROOT / path).is_file()
    assert why in (CHECKS, HOLDS, GUARD) or why.removeprefix(FAST) in {row.path for row in listed(README)}


# ------------------------------------------------------------------------------------------ the reader


LIST = """
## Read it in an evening

| | read | for | lines |
|--:|---|---|--:|
| 1 | [`a.py`](a.py) | what a is | 3 |
| 2 | [b](pkg/b.py) | b | 1,004 |

Text with a [link](c.py).

## The map

| [x](x.py) | 7 |
"""


def test_the_list_is_the_table_under_its_heading() -> None:
    assert listed(LIST) == [Row("a.py", 3), Row("pkg/b.py", 1004)]
    assert listed("# Nothing\n") == []


def test_counts_are_corrected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(budget, "ROOT", tmp_path)
    (tmp_path / "pkg").mkdir()
    for name, lines in (("a.py", 5), ("pkg/b.py", 12)):
        (tmp_path / name).write_text("\n" * lines, "utf-8")
    assert listed(budget.corrected(LIST)) == [Row("a.py", 5), Row("pkg/b.py", 12)]
    assert budget.corrected(LIST).replace("| 5 |", "| 3 |").replace("| 12 |", "| 1,004 |") == LIST


@pytest.mark.parametrize("row", ["| [a](a.py) and [b](b.py) | 3 |", "| [a](a.py) | 3 + 4 |", "| [a](a.py) | |"])
def test_a_row_has_one_link_and_one_count(row: str) -> None:
    with pytest.raises(ValueError, match="one link and one count"):
        listed(f"## Read\n{row}\n")


def test_comments_are_counted_and_wrong_counts_are_shown(tmp_path: Path) -> None:
    code = '"""# no comment"""\nx = "#"  # one\n# two\ny = 1  # noqa: F401\nz = 1  # type: ignore[x]  # fmt: skip\n'
    code += "w = 1  # noqa: F401  (because: three)\n" + "v = 1\n" * 14
    file = tmp_path / "a.py"
    file.write_text(code, "utf-8")
    assert (lines_of(file), budget.comments_of(file), density(file)) == (20, 3, 15)
    text = table([Row("a.py", 20), Row("a.py", 21), Row("b.py", 1)], tmp_path)
    assert [line.partition("  ")[2].split()[-1] for line in text.split("\n")[1:]] == ["15", "count", "file", "1800"]
