"""What goes wrong in what the reader writes is told in words; the engine, the edits and the names are there after it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grouped import over

pytestmark = pytest.mark.site
ROOT = Path(__file__).resolve().parents[2]
GELU, TRAIN = "tinytensor/ops/gelu.py", "gpt/train.py"
TEXT = "The tape plays the backwards. A shard is a part of the batch, and a step is one round. " * 20
Ask = Callable[..., Any]


def source(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


CELLS = {
    "a recursion": ("def f():\n    return f()\nf()", "RecursionError", "maximum recursion depth", 2),
    "a recursion of __repr__": (
        "class A:\n    def __repr__(self):\n        return repr(self)\nA()",
        "RecursionError",
        "maximum recursion depth",
        3,
    ),
    "no memory": ("raise MemoryError", "MemoryError", "Python has no memory left for this", 1),
    "no memory for an array": ("import numpy as np\nnp.empty(2**61, 'b')", "MemoryError", "Unable to allocate", 2),
    "a null character": ("x = 1\ny = '\0'", "SyntaxError", "null bytes", None),
    "half a character": ("x = 1\ny = '\ud800'", "SyntaxError", "the character U+D800 is none of a text", 2),
    "parentheses": ("(" * 10_000 + ")" * 10_000, "SyntaxError", "", None),
    "signs": ("x = " + "-" * 300_000 + "1", "SyntaxError", "nested too deeply", None),
    "a sum": ("x = " + "+".join(["1"] * 100_000), "SyntaxError", "nested too deeply", None),
    "an error without words": (
        "class E(Exception):\n    def __str__(self):\n        raise SystemExit\nraise E",
        "E",
        "its message cannot be shown",
        4,
    ),
    "a long error": ("raise ValueError('x' * 10**7)", "ValueError", "x… (10,000,000 characters)", 1),
    "a repr that is none": ("class E:\n    __repr__ = lambda self: 3\nE()", "TypeError", "__repr__ returned", None),
    "an exit": ("import sys\nsys.exit(3)", "SystemExit", "3", 2),
    "a signal": ("raise KeyboardInterrupt", "KeyboardInterrupt", "", 1),
    "no output": ("import sys\nsys.stdout = None\n1 / 0", "ZeroDivisionError", "division by zero", 3),
    "no paths": ("import sys\nsys.path = []\n1 / 0", "ZeroDivisionError", "division by zero", 3),
    "no modules": ("import sys\nsys.modules.clear()\n1 / 0", "ZeroDivisionError", "division by zero", 3),
}


@over("code, kind, message, line", CELLS, 100)
def test_a_cell_that_fails_is_told_and_the_next_one_runs(
    code: str, kind: str, message: str, line: int | None, ask: Ask
) -> None:
    ask("cell", edits={}, chapter="a", code="kept = 'kept'", number=1)
    failed = ask("cell", edits={}, chapter="a", code=code, number=2)["failed"]
    assert failed["kind"] == kind and message in failed["message"] and len(failed["message"]) < 3000
    assert len(failed["lines"]) <= 31
    if line is not None:
        assert (failed["place"]["file"], failed["place"]["line"]) == ("cell 2", line)
    after = "import tinytensor as tt, gpt.model\nprint(kept)\ntt.tensor(1.0).item()"
    found = ask("cell", edits={}, chapter="a", code=after, number=3)
    assert found == {"printed": "kept\n", "value": "1.0", "figures": [], "failed": None}


def test_much_output_keeps_its_beginning_and_end(ask: Ask) -> None:
    """100 MB in pieces, then in one piece, then as a value; and in an exercise."""
    begins, ends = "begins\n", "\nends\n"
    loop = "for _ in range(1000):\n    print('x' * 100_000, end='')"
    lines = "for _ in range(300_000):\n    print()"
    for middle in (loop, "print('x' * 10**8, end='')", lines):
        found = ask("cell", edits={}, chapter="b", code=f"print('begins')\n{middle}\nprint('\\nends')", number=1)
        printed = found["printed"]
        assert printed.startswith(begins) and printed.endswith(ends) and len(printed) < 50_000
        said = "characters are not shown"
        assert said in printed and found["failed"] is None
        size = len(begins) + len(ends) + (300_000 if middle is lines else 10**8)
        (shown,) = (line.split()[1] for line in printed.splitlines() if said in line)
        assert int(shown.replace(",", "")) == size - 40_000
    value = ask("cell", edits={}, chapter="b", code="'x' * 10**8", number=1)["value"]
    assert len(value) < 50_000 and value.startswith("'x") and value.endswith("x'")
    assert ask("cell", edits={}, chapter="b", code="print('x' * 40_000)", number=1)["printed"].count("x") == 40_000 - 1
    assert ask("cell", edits={}, chapter="b", code="print('x' * 39_999)", number=1)["printed"] == "x" * 39_999 + "\n"


EDITS = {
    "the end of a kernel": (GELU, "\nraise OSError('broken')\n", "primitives", "OSError", "broken"),
    "an exit of a kernel": (GELU, "\nraise SystemExit\n", "primitives", "SystemExit", ""),
    "a name that is not there": (
        GELU,
        "\nfrom tinytensor.tape import nothing\n",
        "primitives",
        "ImportError",
        "nothing",
    ),
    "the end of the training": (TRAIN, "\nraise OSError('broken')\n", "start", "OSError", "broken"),
    "the product": ("tinytensor/without_blas.py", "\n1 / 0\n", "primitives", "ZeroDivisionError", "division by zero"),
}


@over("path, more, call, kind, message", EDITS, 100)
def test_an_engine_that_cannot_be_imported_says_so_each_time(
    path: str, more: str, call: str, kind: str, message: str, ask: Ask
) -> None:
    """The second import is told like the first: what the first one left half done is gone. The unedited engine works."""
    edits = {path: source(path) + more}
    given = {"edits": edits} if call == "primitives" else {"edits": edits, "text": TEXT, "steps": 5, "compare": True}
    for _ in range(2):
        failed = ask(call, **given)
        assert failed["kind"] == kind and message in failed["message"]
        assert failed["place"]["file"] == path and failed["place"]["line"] > source(path).count("\n")
    assert ask("primitives", edits={})["edited"] == []
    assert ask("examine", name="gelu_tanh")["wrong"] == []


def test_an_edit_that_breaks_the_second_import_alone(ask: Ask) -> None:
    """It counts how often it was imported; a comment makes the engine import it again."""
    more = "\nimport sys\nsys.counted = getattr(sys, 'counted', 0) + 1\nassert sys.counted == 1, 'again'\n"
    edits = {GELU: source(GELU) + more}
    assert "rows" in ask("primitives", edits=edits)
    assert "rows" in ask("primitives", edits=edits)  # the modules of the first import
    for comment in ("# a\n", "# b\n"):
        failed = ask("primitives", edits={GELU: edits[GELU] + comment})
        assert (failed["kind"], failed["message"], failed["place"]["file"]) == ("AssertionError", "again", GELU)
    assert ask("primitives", edits={})["edited"] == []


def test_edits_that_are_refused_change_nothing(ask: Ask, laboratory: Any) -> None:
    """Not even the other files of the same call."""
    right = {GELU: source(GELU) + "\n# mine\n"}
    ask("primitives", edits=right)
    for bad in ({"gpt/none.py": "x = 1\n"}, {TRAIN: "x = = 1\n"}, {TRAIN: "\0"}):
        failed = ask("primitives", edits={GELU: source(GELU) + "\n# other\n", **bad})
        assert "rows" not in failed and laboratory.engines.edits == right
        assert (laboratory.engines.edited.folder / GELU).read_text("utf-8") == right[GELU]
    large = {GELU: source(GELU) + "# a line of a large file\n" * 400_000}  # 10 MB
    assert ask("primitives", edits=large)["edited"]
    assert ask("primitives", edits={})["edited"] == []


def test_losses_that_are_no_numbers_are_told(ask: Ask) -> None:
    """The training goes on; the sample and the page say why there is none."""
    flags = {"learning_rate": 1e30, "grad_clip": 0.0}
    ask("start", edits={}, text=TEXT, steps=8, compare=False, flags=flags)
    rows = ask("advance", count=8)["rows"]
    assert len(rows) == 8 and rows[-1]["losses"]["original"] in ("nan", "inf")
    said = "the loss of this model is not a finite number"
    look = ask("samples")["original"]
    assert look["loss"] in ("nan", "inf") and look["text"] == f"(no sample: {said})"
    failed = ask("page", text="The tape")
    assert (failed["kind"], failed["lines"]) == ("", []) and failed["message"].startswith(said)


def changed(content: bytes, **about: Any) -> str:
    """The file of weights with other facts, in base 64."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["laboratory"] = json.dumps({**json.loads(header["__metadata__"]["laboratory"]), **about})
    text = json.dumps(header).encode()
    return base64.b64encode(len(text).to_bytes(8, "little") + text + content[8 + length :]).decode()


def test_weights_of_something_else_are_refused(ask: Ask) -> None:
    """Those of another model by what differs; those whose file is no longer that of the laboratory as no such file."""
    ask("start", edits={}, text=TEXT, steps=5, compare=False, flags={"layers": 1})
    other = ask("save")
    ask("start", edits={}, text=TEXT, steps=5, compare=False)
    content = base64.b64decode(ask("save"))
    load = {"edits": {}, "text": TEXT, "steps": 5}
    failed = ask("load", content=other, **load)
    assert failed["kind"] == "" and failed["message"].startswith("these weights fit another model: blocks.1")
    failed = ask("load", content=changed(content), **{**load, "text": TEXT + "Ω"})
    assert failed["kind"] == "" and "'Ω'" in failed["message"] and "which the model's vocabulary" in failed["message"]
    characters = "".join(sorted({*TEXT}))
    for about in (
        {"step": -1}, {"step": 10**12}, {"step": "x"}, {"step": 1.5}, {"made": "y"}, {"more": 1},
        {"characters": characters[::-1]}, {"characters": ""}, {"characters": 3},
    ):  # fmt: skip
        failed = ask("load", content=changed(content, **about), **load)
        assert failed.get("message", "").startswith("this file has no weights of the laboratory"), about
    assert ask("load", content=changed(content), **load)["step"] == 0


@pytest.mark.parametrize("steps", [1, 2])
def test_any_number_of_steps_is_trained(steps: int, ask: Ask) -> None:
    assert ask("start", edits={}, text=TEXT, steps=steps, compare=False)["steps"] == steps
    answer = ask("advance", count=100)
    assert len(answer["rows"]) == steps and answer["left"] == 0


def test_a_text_that_cannot_be_learnt_is_told(ask: Ask) -> None:
    for text in ("", "short", "x" * 649):
        failed = ask("start", edits={}, text=text, steps=5, compare=False)
        assert failed["message"] == f"the text has {len(text)} characters; it needs at least 650"
        assert ask("samples") == {} and "train one first" in ask("save")["message"]
    facts = ask("start", edits={}, text="x" * 650, steps=1, compare=False)
    assert facts["different"] == 1 and ask("advance", count=1)["rows"][0]["losses"]["original"] == 0
