"""python -m gpt.learn as a reader uses it: what it prints and returns, and which files it writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wrong import replaced, solution

from gpt.learn import exercises, start_text
from gpt.learn.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
HERE = ["--in-process"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit status, what was printed, and what on stderr."""
    status = main(list(words))
    out = capsys.readouterr()
    return status, out.out, out.err


def test_a_first_exercise_from_the_list_to_solved(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ran(capsys, "list")
    assert status == 0 and out.count("not started") == len(exercises())
    assert (
        out.splitlines()[-1]
        == f"{len(exercises())} exercises, 0 solved in exercises. Next: python -m gpt.learn start unbroadcast"
    )

    status, out, _ = ran(capsys, "start", "mul")
    assert status == 0 and "exercises/mul.py: the gradients of a product" in out and "check mul" in out
    file = Path("exercises/mul.py")
    assert file.read_text("utf-8") == start_text("mul")

    status, out, _ = ran(capsys, "check", "mul", *HERE)
    assert status == 1 and out.startswith("mul: not yet\n") and "nothing is written yet" in out and "--seed" in out

    file.write_text(solution("mul"), "utf-8")
    status, out, _ = ran(capsys, "check", *HERE)
    assert status == 0 and out.startswith("mul: right, in")
    assert out.endswith("\nNext: python -m gpt.learn start unbroadcast\n")
    assert sorted(path.name for path in Path("exercises").iterdir()) == [".solved.json", "mul.py"]
    assert " solved  " in next(line for line in ran(capsys, "list")[1].splitlines() if line.startswith("mul "))

    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))  # as an editor on Windows saves it
    assert "1 solved" in ran(capsys, "list")[1] and ran(capsys, "check", "mul", *HERE)[0] == 0
    file.write_text(solution("mul") + "x = 1\n", "utf-8")
    assert "changed" in ran(capsys, "list")[1]


def test_start_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("exercises").mkdir()
    file = Path("exercises/relu.py")
    file.write_text("mine")
    status, out, err = ran(capsys, "start", "relu")
    assert (status, out, err.count("\n")) == (2, "", 1) and "is there already, and stays as it is; --again" in err
    assert file.read_text() == "mine"
    for i in (1, 2):
        status, out, _ = ran(capsys, "start", "relu", "--again")
        assert status == 0 and f"exercises/relu.{i}.py: what you had written" in out
    assert Path("exercises/relu.1.py").read_text() == "mine" and file.read_text("utf-8") == start_text("relu")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_start_follows_no_link(capsys: pytest.CaptureFixture[str]) -> None:
    Path("exercises").mkdir()
    Path("exercises/relu.py").symlink_to("elsewhere")
    assert ran(capsys, "start", "relu")[0] == 2 and not Path("exercises/elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "the following arguments are required: NAME; see python -m gpt.learn start --help"),
        (["start", "mull"], "there is no exercise 'mull'; did you mean mul?"),
        (["check", "zzz"], "there is no exercise 'zzz'; python -m gpt.learn list shows all"),
        (["check", "mul"], "exercises/mul.py is not there; python -m gpt.learn start mul writes it"),
        (["check", "mul", "--folder", "my own"], "python -m gpt.learn start mul --folder 'my own' writes it"),
        (["check", "mul", "none.py"], "none.py is not there"),
        (["check", "mul", "."], ". is no file"),
        (["check"], "no exercise is started in exercises; python -m gpt.learn start unbroadcast"),
        (["check", "mul", "--seconds", "0"], "'0' is not a number of seconds above 0"),
        (["check", "mul", "--seconds", "x"], "'x' is not a number of seconds above 0"),
        (["check", "mul", "--seed", "-1"], "'-1' is not a whole number from 0"),
        (["check", "mul", "--sed", "1"], "unrecognized arguments: --sed 1; did you mean --seed?"),
        (["look"], "invalid choice: 'look'"),
        (["start", "mul", "--folder", "file"], "file: File exists"),
        (["check", "mul", "latin.py"], "latin.py, line 2: no UTF-8"),
        (["check", "mul", "large.py"], "large.py has 1,000,001 bytes; an exercise needs at most 1,000,000"),
    ],
)
def test_errors_are_a_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    Path("latin.py").write_bytes(b"# \n# \xe9\n")
    Path("large.py").write_bytes(b" " * 1_000_001)
    status, out, err = ran(capsys, *words)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert said in err


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["start", "--help"], ["check", "--help"]])
def test_help_teaches(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0 and len(capsys.readouterr().out.splitlines()) >= 8


def test_without_a_command_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ran(capsys)
    assert status == 2 and "Begin with: python -m gpt.learn list" in out


def test_a_file_elsewhere_and_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is in the folder, so neither counts as solved there."""
    Path("other.py").write_text(solution("relu"), "utf-8")
    assert ran(capsys, "check", "relu", "other.py", *HERE)[0] == 0

    class Typed:
        from io import BytesIO

        buffer = BytesIO(solution("relu").encode())

    monkeypatch.setattr(sys, "stdin", Typed)
    assert ran(capsys, "check", "relu", "-", *HERE)[0] == 0
    assert not Path("exercises").exists()


def test_json_and_a_seed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.py").write_text(replaced("softmax", "y * (dy - (dy * y).sum(-1, keepdims=True))", "dy * y"), "utf-8")
    found = [
        json.loads(ran(capsys, "check", "softmax", "wrong.py", "--json", "--seed", "7", *HERE)[1]) for _ in range(2)
    ]
    assert (
        found[0] == found[1] and found[0]["passed"] is False and found[0]["seed"] == 7 and found[0]["name"] == "softmax"
    )
    assert any("the term of the sum is missing" in line for line in found[0]["lines"])


def test_a_spoilt_record_is_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    Path("exercises").mkdir()
    Path("exercises/relu.py").write_text(solution("relu"), "utf-8")
    for content in ("", "[]", '{"relu": 3}', "\0"):
        Path("exercises/.solved.json").write_text(content)
        assert ran(capsys, "list")[0] == 0
    assert ran(capsys, "check", "relu", *HERE)[0] == 0 and "1 solved" in ran(capsys, "list")[1]


# --------------------------------------------------------------------------------- in a process of its own


def started(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """python -m gpt.learn check relu FILE …, with the text in the file."""
    if text is not None:
        Path("relu.py").write_text(text, "utf-8")
    return subprocess.run([sys.executable, "-m", "gpt.learn", *words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip


BODY = "import numpy as np\n\n\ndef backward(dy, x):\n"


@pytest.mark.programs
def test_right_and_wrong_in_a_process_of_its_own() -> None:
    done = started("check", "relu", "relu.py", text=solution("relu"))
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("relu: right, in")
    done = started("check", "relu", "relu.py", text=f"print('hello')\n{BODY}    return dy\n")
    assert (done.returncode, done.stderr) == (1, "") and "hello" in done.stdout and "this is dy itself" in done.stdout


@pytest.mark.programs
def test_an_endless_loop_is_stopped_and_its_line_named() -> None:
    for lines in (
        "    while True:\n        dy = dy + 1\n",
        "    while True:\n        try:\n            dy = dy + 1\n        except BaseException:\n            pass\n",
    ):
        done = started("check", "relu", "relu.py", "--seconds", "2", text=f"{BODY}{lines}")
        assert (done.returncode, done.stderr) == (1, "")
        said = done.stdout.splitlines()
        number = int(re.fullmatch(r"  stopped after 2 seconds, in line (\d+): does a loop never end\? .*", said[1])[1])  # type: ignore[index]
        text = f"{BODY}{lines}".splitlines()
        assert number > len(BODY.splitlines()) and said[2] == f"      {text[number - 1].strip()}"  # a line of the loop


@pytest.mark.programs
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit of memory as Linux keeps it")
def test_a_file_that_eats_all_memory_is_stopped() -> None:
    done = started(
        "check", "relu", "relu.py", text=f"{BODY}    kept = []\n    while True:\n        kept.append(np.empty(10**8))\n"
    )
    assert done.returncode == 1 and re.search(r"^    line 7: \w*MemoryError", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.programs
def test_a_file_that_ends_its_process_is_told_so() -> None:
    """By a way that nothing refuses: too much recursion in C, here by ctypes that a test puts in place, is a signal."""
    from gpt.learn.limits import ended

    assert ended("relu", "", "", -11, 20) == ["the file ended its process by signal 11, without a result"]
    assert ended("relu", "", "a\nlast words\n", 3, 20) == [
        "the file ended its process with status 3, without a result",
        "    last words",
    ]
    assert "stopped after 20 seconds; --seconds" in ended("relu", "", "Timeout (0:00:20)!\n", 1, 20)[0]


@pytest.mark.programs
def test_many_are_checked_one_after_the_other(tmp_path: Path) -> None:
    Path("exercises").mkdir()
    for name in ("relu", "softmax"):
        Path(f"exercises/{name}.py").write_text(solution(name) if name == "relu" else start_text(name), "utf-8")
    done = started("check")
    assert done.returncode == 1 and "relu: right" in done.stdout and "softmax: not yet" in done.stdout
    assert done.stdout.endswith("1 of 2 are right\n")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_file_that_cannot_be_read_does_not_keep_others_from_their_check(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said on stderr, between the reports; the exit status is 2 at the end, also if one of the others is wrong."""
    Path("exercises").mkdir()
    Path("exercises/unbroadcast.py").write_bytes(b"# \n# \xe9\n")  # the first of all
    Path("exercises/relu.py").write_text(solution("relu"), "utf-8")
    Path("exercises/softmax.py").write_bytes(b" " * 1_000_001)
    Path("exercises/dropout.py").write_text(start_text("dropout"), "utf-8")  # the last of these
    status, out, err = ran(capsys, "check", *HERE, *flags)
    assert status == 2 and [line.split(":")[1].split(" ")[1] for line in err.splitlines()] == [
        "exercises/unbroadcast.py,",
        "exercises/softmax.py",
    ]
    if flags:
        found = [json.loads(line) for line in out.splitlines()]
        assert [(each["name"], each["passed"]) for each in found] == [("relu", True), ("dropout", False)]
    else:
        assert "relu: right" in out and "dropout: not yet" in out
        assert out.endswith("\n1 of 4 are right, and 2 could not be read\n")
    assert "1 solved" in ran(capsys, "list")[1]


@pytest.mark.programs
def test_no_module_of_the_folder_is_imported() -> None:
    """In a folder with files of these names, the ones that are imported by Python are none of them."""
    for name in ("relu", "softmax", "tape", "attention"):
        Path(f"{name}.py").write_text("raise SystemExit('imported')\n")
    assert started("list").returncode == 0
    done = started("check", "relu", "relu.py", text=solution("relu"))
    assert done.returncode == 0, done.stdout + done.stderr
