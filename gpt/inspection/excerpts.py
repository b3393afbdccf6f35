"""Excerpts of the source: the functions that a page shows, with the numbers of their lines."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import tinytensor

ROOT = Path(tinytensor.__file__).resolve().parents[1]  # where tinytensor and gpt are
LONGEST = 60  # lines of a function that is shown as a whole
AROUND = 8  # lines before and after a line of a longer one
Place: TypeAlias = tuple[str, int, int]  # file, first line, last line


def short(file: str) -> str:
    """The path of a file below the packages; of another file the name alone."""
    path = Path(file)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def around(file: str, number: int) -> Place:
    """The function in which a line stands, if it is not long; else the lines around it."""
    found = [(first, last) for first, last in functions(file) if first <= number <= last]
    first, last = max(found, default=(number - AROUND, number + AROUND))  # the innermost begins last
    if last - first >= LONGEST:
        first, last = max(first, number - AROUND), min(last, number + AROUND)
    return file, max(first, 1), min(last, len(linecache.getlines(file)))


@lru_cache
def functions(file: str) -> list[tuple[int, int]]:
    """The first and last lines of all functions of a file, decorators with them."""
    tree = ast.parse("".join(linecache.getlines(file)))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or node.lineno)
        for node in ast.walk(tree) if isinstance(node, kinds)
    ]  # fmt: skip


def collected(places: Iterable[Place]) -> dict[str, dict[int, str]]:
    """{short file: {first line: text}} of all places; those that touch are one."""
    excerpts: dict[str, dict[int, str]] = {}
    merged: list[list[Any]] = []
    for file, first, last in sorted(set(places)):
        if merged and merged[-1][0] == file and first <= merged[-1][2] + 1:
            merged[-1][2] = max(merged[-1][2], last)
        else:
            merged.append([file, first, last])
    for file, first, last in merged:
        text = "".join(linecache.getlines(file)[first - 1 : last])
        excerpts.setdefault(short(file), {})[first] = text
    return excerpts
