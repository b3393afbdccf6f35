"""The package laboratory without a browser: two engines, edits and errors, trainings that repeat, weights in a file."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_build import load_build_lab

pytestmark = pytest.mark.site
ROOT = Path(__file__).resolve().parents[2]
GELU = "tinytensor/ops/gelu.py"
TEXT = "The tape plays the backwards. A shard is a part of the batch, and a step is one round. " * 20


def edited(before: str, after: str, path: str = GELU) -> dict[str, str]:
    text = (ROOT / path).read_text("utf-8")
    assert text.count(before) == 1
    return {path: text.replace(before, after)}


WRONG = edited("return (dy * derivative,)", "return (-dy * derivative,)")


def test_two_engines_live_side_by_side(ask: Any, laboratory: Any) -> None:
    """The edited one is wrong where it was edited; the other, and that of this process, are not touched."""
    import tinytensor

    before = sys.modules["tinytensor"]
    assert ask("primitives", edits=WRONG)["edited"] == ["gelu_tanh"]
    assert ask("examine", name="gelu_tanh")["wrong"] == ["differences", "composed"]
    assert ask("examine", name="relu")["wrong"] == []
    assert sys.modules["tinytensor"] is before is tinytensor
    assert ask("primitives", edits={})["edited"] == []
    assert ask("examine", name="gelu_tanh")["wrong"] == []
    assert laboratory.engines.edited.folder.is_dir() and laboratory.engines.chosen is laboratory.engines.original


def test_an_edit_of_the_same_second_and_length_counts(ask: Any) -> None:
    """Python keeps compiled files by time and size; both may stay the same from one edit to the next."""
    other = edited("return (dy * derivative,)", "return (+dy * derivative,)")
    for edits, wrong in [(WRONG, True), (other, False), (WRONG, True), (other, False)]:
        ask("primitives", edits=edits)
        assert bool(ask("examine", name="gelu_tanh")["wrong"]) is wrong


def test_an_edit_of_a_file_without_primitives_concerns_all(ask: Any) -> None:
    edits = {"tinytensor/tape.py": (ROOT / "tinytensor/tape.py").read_text("utf-8") + "\n# a comment\n"}
    found = ask("primitives", edits=edits)
    assert found["edited"] == [] and found["shared"] == ["tinytensor/tape.py"] and len(found["rows"]) > 60


@pytest.mark.parametrize(
    "edits, kind, message, place",
    [
        ({GELU: "x = 1\ny = = 2\n"}, "SyntaxError", "invalid syntax", {"file": GELU, "line": 2, "text": "y = = 2"}),
        ({GELU: "x = 1\n\0"}, "SyntaxError", "null bytes", {"file": GELU}),
        ({GELU: "raise SystemExit(3)\n"}, "SystemExit", "3", {"file": GELU, "line": 1}),
        ({"gpt/none.py": "x = 1\n"}, "", "there is no file gpt/none.py in the project", None),
    ],
)
def test_errors_say_where(ask: Any, edits: Any, kind: str, message: str, place: Any) -> None:
    failed = ask("primitives", edits=edits)
    assert failed["kind"] == kind and message in failed["message"]
    assert failed["place"] is None if place is None else place.items() <= failed["place"].items()
    assert ask("primitives", edits={})["edited"] == []


def test_an_exception_names_the_edited_line(ask: Any) -> None:
    ask("primitives", edits=edited("np.tanh(s, out=s)", "np.tanhh(s, out=s)"))
    failed = ask("examine", name="gelu_tanh")["failed"]
    assert failed["kind"] == "AttributeError" and failed["place"]["file"] == GELU
    assert failed["place"]["text"] == "np.tanhh(s, out=s)"
    ask("primitives", edits=edited("np.tanh(s, out=s)", "raise SystemExit(3)"))
    found = ask("examine", name="gelu_tanh")
    assert found["wrong"] == ["failed"] and found["failed"]["kind"] == "SystemExit"


def test_trainings_of_equal_engines_are_equal_and_of_a_broken_one_not(ask: Any) -> None:
    same = {GELU: (ROOT / GELU).read_text("utf-8") + "\n"}
    losses = []
    for edits in (same, WRONG):
        assert ask("start", edits=edits, text=TEXT, steps=10, compare=True)["sides"] == ["edited", "original"]
        rows = ask("advance", count=4)["rows"] + ask("advance", count=100)["rows"]
        assert [row["step"] for row in rows] == list(range(1, 11))
        losses.append([(row["losses"]["edited"], row["losses"]["original"]) for row in rows])
        assert set(ask("samples")) == {"edited", "original"}
    assert all(mine == theirs for mine, theirs in losses[0])
    assert [theirs for _, theirs in losses[0]] == [theirs for _, theirs in losses[1]]
    assert losses[1][-1][0] != losses[1][-1][1] and losses[0][-1][0] < losses[0][0][0]


def test_flags_of_a_bug_are_those_of_the_training(ask: Any, laboratory: Any) -> None:
    """The steps among them replace those that were asked for: the last one has the least learning rate."""
    plain = ask("start", edits={}, text=TEXT, steps=10, compare=False)
    facts = ask("start", edits={}, text=TEXT, steps=10, compare=False, flags={"steps": 14, "heads": 1, "layers": 3})
    assert facts["steps"] == 14 and facts["parameters"] > plain["parameters"]
    answer = ask("advance", count=100)
    assert [row["step"] for row in answer["rows"]] == list(range(1, 15)) and answer["left"] == 0
    trainer = laboratory.trainings.trained()
    assert trainer.config.steps == 14 and trainer.config.heads == 1
    assert trainer.rate(13, trainer.config) < trainer.rate(9, trainer.config) < trainer.config.learning_rate
    assert ask("start", edits={}, text=TEXT, steps=10, compare=False)["steps"] == 10


def test_the_bugs_are_those_of_the_museum(ask: Any) -> None:
    """Each is one line of a file, and the laboratory trains with the flags of each that it can switch on."""
    from gpt.museum import BUGS

    bugs = {bug["name"]: bug for bug in ask("bugs")}
    assert set(bugs) == set(BUGS) and len(bugs) > 20
    for name, bug in bugs.items():
        assert (ROOT / bug["file"]).read_text("utf-8").count(bug["right"]) == 1 and bug["wrong"] != bug["right"]
        assert bug["why"] == BUGS[name].why != "" and bug["title"] and bug["flags"] == dict(BUGS[name].flags)
        assert bug["recipe"] == BUGS[name].recipe and bool(bug["recipe"]) >= bool(bug["flags"])  # it says why
        assert bug["chapter"] == BUGS[name].chapter
    build_lab = load_build_lab()
    absent = {name for name, bug in bugs.items() if bug["file"] not in build_lab.sources()}
    said = re.search(
        r"(\d+) of the (\d+) bugs .* switches one on\. (.*) are not among them", (ROOT / "docs/lab.md").read_text()
    )
    assert said is not None and (int(said[1]), int(said[2])) == (len(bugs) - len(absent), len(bugs))
    assert {*re.findall("`(.+?)`", said[3])} == absent
    bug = bugs["finite-mask"]
    edits = edited(bug["right"], bug["wrong"], bug["file"])
    assert ask("start", edits=edits, text=TEXT, steps=10, compare=True, flags=bug["flags"])["steps"] == 500
    (row,) = ask("advance", count=1)["rows"]
    assert set(row["losses"]) == {"edited", "original"}


FITTED = """

def fitted(d, x):
    d = d.sum(tuple(range(d.ndim - x.ndim)))
    return d.sum(tuple(i for i, n in enumerate(x.shape) if n == 1), keepdims=True)
"""


def test_an_exercise_begins_unsolved_and_is_solved_by_its_solution(ask: Any) -> None:
    from gpt.learn import exercises

    found = {each["name"]: each for each in ask("exercises")}
    assert list(found) == [each.name for each in exercises()] and {"mul", "tape", "test_tape"} <= set(found)
    mul = found["mul"]
    assert [each["chapter"] for each in found.values()] == [each.chapter for each in exercises()]
    assert mul["kind"] == "derivative" and mul["title"] and "def backward(dy, a, b)" in mul["start"]
    begun = ask("check_exercise", name="mul", text=mul["start"])
    assert begun["passed"] is False and begun["lines"]
    todo = 'raise NotImplementedError("write backward, and take this line out")'
    text = mul["start"].replace(todo, "return fitted(dy * b, a), fitted(dy * a, b)") + FITTED
    solved = ask("check_exercise", name="mul", text=text)
    assert solved["passed"] is True, solved
    assert ask("check_exercise", name="mul", text=text.replace("dy * a", "dy * b"))["passed"] is False
    failed = ask("check_exercise", name="mul", text="def (:\n")
    assert failed["kind"] == "SyntaxError" and failed["place"] == {"file": "mul.py", "line": 1, "text": "def (:"}


def test_weights_go_through_a_file(ask: Any, laboratory: Any, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    ask("start", edits={}, text=TEXT, steps=10, compare=False)
    ask("advance", count=5)
    sample = ask("samples")["original"]
    content = ask("save")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(base64.b64decode(content))
    arrays = safetensors.load_file(path)
    assert all(array.dtype == np.float32 for array in arrays.values()) and "embedding.weight" in arrays
    assert ask("load", edits={}, content=content, text=TEXT, steps=10)["step"] == 5
    assert ask("samples")["original"] == sample
    assert len(ask("advance", count=100)["rows"]) == 10
    flags = {"layers": 4, "heads": 1}  # of a bug of the museum: its model has other weights
    assert (
        "these weights fit another model"
        in ask("load", edits={}, content=content, text=TEXT, steps=10, flags=flags)["message"]
    )
    ask("start", edits={}, text=TEXT, steps=10, compare=False, flags=flags)
    content = ask("save")
    assert ask("load", edits={}, content=content, text=TEXT, steps=10, flags=flags)["step"] == 0
    assert laboratory.trainings.trained().config.heads == 1


def damaged() -> list[bytes]:
    header = json.dumps({"__metadata__": {"laboratory": json.dumps({"made": "x", "characters": "ab"})}}).encode()
    return [b"", b"\xff" * 40, (len(header)).to_bytes(8, "little") + header, (2).to_bytes(8, "little") + b"[]"]


@pytest.mark.parametrize("content", damaged(), ids=len)
def test_a_file_of_another_kind_is_refused(ask: Any, content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    failed = ask("load", edits={}, content=encoded, text=TEXT, steps=10)
    assert failed["kind"] == "" and failed["message"].startswith("this file has no weights of the laboratory")


def test_a_text_that_is_too_short_is_refused(ask: Any) -> None:
    assert "it needs at least 650" in ask("start", edits={}, text="short", steps=10, compare=False)["message"]


def test_cells_share_names_until_the_engine_changes(ask: Any) -> None:
    assert ask("cell", edits={}, chapter="a", code="x = 3\nprint('hi')\nx + 1", number=1)["value"] == "4"
    assert ask("cell", edits={}, chapter="a", code="x;", number=2)["value"] is None
    assert ask("cell", edits={}, chapter="b", code="x", number=1)["failed"]["kind"] == "NameError"
    assert ask("cell", edits=WRONG, chapter="a", code="x", number=2)["failed"]["kind"] == "NameError"
    failed = ask("cell", edits={}, chapter="a", code="def f():\n    1 / 0\nf()", number=3)["failed"]
    assert failed["place"]["file"] == "cell 3" and failed["place"]["line"] == 2


def test_a_figure_becomes_a_png(ask: Any) -> None:
    pytest.importorskip("matplotlib")
    code = "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    (png,) = ask("cell", edits={}, chapter="c", code=code, number=1)["figures"]
    assert png.startswith("iVBOR")


def test_an_unknown_name_is_refused(ask: Any) -> None:
    assert ask("described")["message"] == "the laboratory has no described"


def test_the_page_shows_the_model(ask: Any) -> None:
    ask("start", edits={}, text=TEXT, steps=10, compare=False)
    assert "<title>Inside the model</title>" in ask("page", text="The tape")
    failed = ask("page", text="Ω")
    said = f"the character 'Ω' at offset 0, which the model's vocabulary of {len(set(TEXT))} characters does not have"
    assert failed["kind"] == "" and failed["message"] == f"the text has {said}; leave it out"
