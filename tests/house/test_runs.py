"""Every script in runs/ is in its table, and the figures that the table promises stand where it says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"
TABLE = (RUNS / "README.md").read_text("utf-8")
SCRIPTS = sorted(RUNS.glob("*.sh"))
ROWS = {name: row for row in TABLE.splitlines() for name in re.findall(r"^\| \[`(\S+\.sh)`\]", row)}


def test_the_table_has_every_script() -> None:
    assert sorted(ROWS) == [path.name for path in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    text = script.read_text("utf-8")
    first = text.split("\n")[1].removeprefix("# ")
    assert first in ROWS[script.name], "the table says what the script says"
    for module in re.findall(r"-m ((?:gpt|benchmarks|tinytensor|reference_torch)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("figure, document", re.findall(r"`([^`]+)` in \[[^]]+\]\(\.\./([^)]+)\)", TABLE))
def test_a_figure_is_quoted_where_the_table_says(figure: str, document: str) -> None:
    assert figure in (ROOT / document).read_text("utf-8")
