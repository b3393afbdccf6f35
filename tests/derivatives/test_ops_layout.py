"""In every file of ops/ a primitive stands in one place: forward, backward, composed form if any, then its row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tinytensor import ops
from tinytensor.primitive import PRIMITIVES

FILES = sorted(Path(ops.__file__).parent.glob("*.py"))


def rows(body: list[ast.stmt]) -> dict[int, str]:
    """Where a file has `NAME = primitive("name", …)`: index of the statement, name of the primitive."""
    found = {}
    for i, statement in enumerate(body):
        match statement:
            case ast.Assign(value=ast.Call(func=ast.Name(id="primitive"), args=[ast.Constant(value=str(name)), *_])):
                found[i] = name
    return found


def misplaced(source: str) -> list[str]:
    """The primitives whose row does not directly follow its own forward, backward and composed form, in this order."""
    body = ast.parse(source).body
    wrong = []
    for i, name in rows(body).items():
        row = body[i]
        assert isinstance(row, ast.Assign)
        assert isinstance(row.value, ast.Call)
        functions = [
            ast.unparse(f) for f in (*row.value.args[1:], *(k.value for k in row.value.keywords if k.arg == "composed"))
        ]
        expected = [f"{name}_{part}" for part in ("forward", "backward", "composed")][: max(len(functions), 2)]
        above = [f.name if isinstance(f, ast.FunctionDef) else "" for f in body[max(i - len(expected), 0) : i]]
        wrong += [name] if not functions == expected == above else []
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_row_follows_its_own_pair(path: Path) -> None:
    assert misplaced(path.read_text(encoding="utf-8")) == []


def test_every_row_of_ops_is_found() -> None:
    ops.load_all()
    found = [name for path in FILES for name in rows(ast.parse(path.read_text(encoding="utf-8")).body).values()]
    entered = [name for name, row in PRIMITIVES.items() if row.forward.__module__.startswith("tinytensor.ops.")]
    assert sorted(found) == sorted(entered)


PAIR = "def neg_forward(x): ...\ndef neg_backward(dy): ...\n"
ROW = "NEG = primitive('neg', neg_forward, neg_backward, formula='')\n"


@pytest.mark.parametrize(
    "source, wrong",
    [
        (PAIR + ROW, []),
        (PAIR + "def helper(): ...\n" + ROW, ["neg"]),
        ("def neg_backward(dy): ...\ndef neg_forward(x): ...\n" + ROW, ["neg"]),
        (PAIR + "def neg_composed(x): ...\n" + ROW, ["neg"]),
        (PAIR + "def neg_composed(x): ...\n" + ROW.replace("formula=''", "composed=neg_composed"), []),
        (PAIR + ROW.replace("neg_backward", "abs_backward"), ["neg"]),
        (ROW, ["neg"]),
    ],
)
def test_what_stands_elsewhere_is_noticed(source: str, wrong: list[str]) -> None:
    assert misplaced(source) == wrong
