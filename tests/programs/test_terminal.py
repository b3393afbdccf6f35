"""Every program on a terminal and in a pipe: Ctrl-C, a reader that left, closed streams, few characters, a full disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinytensor.ctrl_c import started
from tinytensor.terminal import program

sys.path.insert(0, str(Path(__file__).parent))
from interrupts import PROGRAMS, ROOT, environment, interrupted, listen, prepare

pytestmark = pytest.mark.programs

QUICK = {
    "gpt": "", "gpt.generate": "run --tokens 30", "gpt.evaluate": "run", "gpt.doctor": "run", "gpt.inspect": "run",
    "gpt.learn": "list",
    "tinytensor.gradcheck": "gelu",
    "gpt.museum": "", "tinytensor": "", "benchmarks.roofline": "--sizes 1,1,32,16,2",
}  # fmt: skip
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell and signals")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("programs")
    prepare(made)
    return made


def shell(folder, line, **variables):
    """The exit status of the first program of the line, and what was said on stderr and stdout."""
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"], cwd=folder, env={**environment(), **variables},
        capture_output=True, timeout=120, preexec_fn=listen,
    )  # fmt: skip
    return done.returncode, done.stderr.decode(), done.stdout


@posix
@pytest.mark.parametrize("name", QUICK)
def test_no_traceback_whatever_takes_the_output(name, folder):
    line = f"{sys.executable} -m {name} {QUICK[name]}"
    right = 2 if name == "tinytensor" else 0  # without a script it prints its help
    slow = name == "tinytensor.gradcheck"  # it imports PyTorch
    every = ({"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii:strict"}, {"PYTHONOPTIMIZE": "2"})
    for variables in every[: 1 if slow else None]:
        status, error, out = shell(folder, line, **variables)
        assert (status, "Traceback" in error, len(out) > 10) == (right, False, True), (variables, error)
    for reader, statuses in (("| true", (right, 141)), (">&-", (right,)), ("2>&-", (right,)), (">/dev/full", (2,)))[
        3 if slow else 0 :
    ]:
        status, error, _ = shell(folder, f"{line} {reader}")
        assert status in statuses and "Traceback" not in error and "Exception" not in error, (reader, status, error)
    assert error.splitlines()[-1] == f"{name}: standard output: No space left on device"


@posix
@pytest.mark.parametrize("name", ["gpt.generate", "gpt.prepare", "tinytensor.gradcheck"])
def test_ctrl_c_shows_no_traceback_from_the_first_import_on(name, folder):
    ends = [interrupted(name, folder, seconds) for seconds in (0.05, 0.1, 0.2, 0.4, 0.8)]
    assert "wrong" not in dict(ends), ends
    assert "quiet" in dict(ends)


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("python -m gpt.train --data m", "gpt.train"),
        ("python -W error -X dev -m gpt.train", "gpt.train"),
        ("python -Im gpt", "gpt"),
        ("python -mgpt.train", "gpt.train"),
        ("python script.py", ""),
        ("python", ""),
    ],
)
def test_which_module_python_runs(line, module):
    assert started(line.split()) == module


@posix
def test_other_programs_keep_their_ctrl_c(tmp_path):
    """Of somebody else's package, run with -m, and of a script on tinytensor."""
    (tmp_path / "theirs").mkdir()
    asks = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    (tmp_path / "theirs/__init__.py").write_text("import gpt, tinytensor")
    (tmp_path / "theirs/__main__.py").write_text(asks)
    for arguments in ("-m theirs", "-m tinytensor theirs/__main__.py"):
        status, error, out = shell(tmp_path, f"{sys.executable} {arguments}")
        assert (status, error, out) == (0, "", b"True\n")


def test_every_program_has_the_guard():
    """All files that `python -m` runs; benchmarks.child answers to the program that started it."""
    without = []
    for package in ("tinytensor", "gpt", "reference_torch", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text("utf-8")
            if '__name__ == "__main__"' in source and not any(
                guard in source for guard in ("@program(", "@command(", "@cli.command(", "BENCHMARK.main()", "command(")
            ):
                without.append(path.name)
    assert sorted(without) == ["child.py", "ranks_child.py"]
    assert len(PROGRAMS) >= 9


def test_a_package_lists_its_commands(folder):
    for package in ("gpt", "reference_torch"):
        status, error, out = shell(folder, f"{sys.executable} -m {package}")
        listed = re.findall(rf"python -m ({package}\.\w+)", out.decode())
        programs = {path.stem for path in (ROOT / package).glob("*.py") if "__main__" in path.read_text("utf-8")}
        programs |= {path.parent.name for path in (ROOT / package).glob("*/__main__.py")}
        assert {name.partition(".")[2] for name in listed} == programs - {"__main__"}
        assert (status, error) == (0, "")
    status, error, _ = shell(folder, f"{sys.executable} -m gpt generate RUN")
    assert (status, error.count("\n")) == (2, 1) and "python -m gpt.generate is one" in error


def test_an_error_of_the_system_names_its_file_and_ends_with_2(capsys):
    @program("x")
    def main(argv):
        return Path(argv[0]).read_text()

    assert main(["/nowhere"]) == 2
    assert capsys.readouterr().err == "x: /nowhere: No such file or directory\n"
