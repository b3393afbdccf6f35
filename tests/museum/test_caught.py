"""What a bug is caught by does catch it: with the wrong line the test fails, with the right one it passes.

Each runs in a process of its own, in which the plugin museum_bug (tests/helpers) has switched the bug on.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpt.museum import BUGS
from gpt.museum.text import ROOT

pytestmark = pytest.mark.programs
FAILED = 1  # pytest's exit status where tests ran and one failed
EACH = [bug for bug in BUGS.values() if bug.test]


def run_tests(name: str, *tests: str) -> tuple[int, str]:
    """Run the tests with that bug; return pytest's exit status, and what it printed."""
    path = os.pathsep.join([str(ROOT / "tests" / "helpers"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "MUSEUM_BUG": name, "OMP_NUM_THREADS": "1"}
    for variable in [each for each in environment if each.startswith("PYTEST_")]:
        del environment[variable]
    line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "museum_bug", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run([*line, *tests], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("bug", EACH, ids=lambda bug: bug.name)
def test_the_test_fails_with_the_wrong_line(bug):
    pytest.importorskip("torch", reason="some of them compare with PyTorch")
    status, printed = run_tests(bug.name, bug.test)
    assert status == FAILED, printed
    assert f"FAILED {bug.test}" in printed


def test_all_of_them_pass_with_the_right_lines():
    status, printed = run_tests("", *sorted({bug.test for bug in EACH}))
    assert status == 0, printed
    assert "skipped" not in printed
