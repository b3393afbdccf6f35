"""docs/exercises.md says what is true."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import table
from wrong import WRONG


def test_what_is_generated_is_up_to_date() -> None:
    assert table.PAGE.read_text("utf-8") == table.page(), "run python tests/learn/table.py"
    assert "usual cause: " in table.wrong() and "…" in table.survivors()


def test_its_counts_are_at_least_what_it_says() -> None:
    from test_hostile_files import BROKEN, FOOLING, WAYS

    text = table.PAGE.read_text("utf-8")
    assert "more than ninety usual mistakes" in text and sum(map(len, WRONG.values())) > 90
    assert "about a hundred hostile files" in text and 90 <= len(BROKEN) + len(FOOLING) + len(WAYS) <= 120


def test_its_limits_are_those_of_the_code() -> None:
    from gpt.learn.call import CENTRAL, EXACT, SINGLE
    from gpt.learn.limits import MEMORY
    from gpt.learn.testing import RUNS

    rows = re.findall(r"\| (1e-\d+)(?: of the largest element)? \|$", table.PAGE.read_text("utf-8"), re.MULTILINE)
    assert [float(row) for row in rows] == [EXACT, CENTRAL, EXACT, SINGLE]
    assert RUNS == 3 and MEMORY == 4 << 30
