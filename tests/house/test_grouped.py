"""Tests that run many cases at once fail when one fails, and name it."""

from __future__ import annotations

import pytest
from grouped import over

CASES = {"a-0": (1, 2), "a-1": (2, 2), "b-0": (3, 2), "a-2": (4, 2)}
SEEN: list[int] = []


@over("number, limit", CASES, lambda case: case[0])
def small(number: int, limit: int) -> None:
    SEEN.append(number)
    assert number <= limit, f"{number} is large"
    if number == 2:
        pytest.fail("no twos")


def test_all_cases_run_and_each_that_fails_is_named() -> None:
    (mark,) = small.pytestmark
    assert list(mark.args[1]) == ["a", "b"]
    SEEN.clear()
    with pytest.raises(
        AssertionError, match=r"2 of 3 cases failed:\n(.|\n)*a-1: Failed: no twos\n(.|\n)*a-2: .*4 is large"
    ):
        small(group="a")
    assert SEEN == [1, 2, 4]
    with pytest.raises(AssertionError, match="1 of 1 cases failed"):
        small(group="b")


@over("word", {word: word for word in "abcdefg"}, 3)
def test_groups_of_a_number_of_cases(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    print(word)
    assert capsys.readouterr().out == f"{word}\n"
