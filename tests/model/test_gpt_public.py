"""gpt and reference_torch are clients of the engine without special rights: they use its public names alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("gpt", "reference_torch") for path in (ROOT / folder).rglob("*.py"))
PUBLIC = {"os._exit"}  # in spite of the underscore
INTERNAL = {"wrap"}  # of the engine: without an underscore, but not documented


def private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def trespasses(source: str) -> Iterator[str]:
    """Yield the imports of private names, and the uses of private attributes of anything but self."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            engine = (node.module or "").split(".")[0] == "tinytensor"
            yield from (f"import of {name}" for name in parts if private(name) or (engine and name in INTERNAL))
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
            yield from (f"import of {name}" for name in names if private(name))
        elif isinstance(node, ast.Attribute) and private(node.attr) and ast.unparse(node.value) != "self":
            if ast.unparse(node) in PUBLIC:
                continue
            yield f"use of {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_public_names_alone(path: Path) -> None:
    assert list(trespasses(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "from tinytensor.tensor import wrap",
        "from tinytensor import _core",
        "import tinytensor._core",
        "p._flat",
        "f(x)._x",
    ],
)
def test_the_test_sees_a_trespass(line: str) -> None:
    assert len(list(trespasses(line))) == 1
