"""The examples run with NumPy alone, and show what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.programs
WITHOUT = """
import runpy, sys
class OnlyNumPy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "matplotlib", "tqdm", "threadpoolctl", "pooch", "gpt", "cupy"):
            raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, OnlyNumPy())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def printed(name: str, *arguments: str) -> str:
    """What an example prints, where no package but NumPy can be imported."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    return [float(n) for n in re.findall(pattern, text)]


def test_xor_is_learned() -> None:
    text = printed("xor.py")
    assert [round(p) for p in numbers(r"probability ([\d.]+)", text)] == [0, 1, 1, 0]
    losses = numbers(r"loss ([\d.]+)", text)
    assert losses[-1] < 0.05 < losses[0]


def test_bigram_comes_close_to_counting() -> None:
    text = printed("bigram.py", "60")
    learned, counted, guessed = (numbers(rf"{name} +([\d.]+)", text)[0] for name in ("learned", "counted", "guessed"))
    assert counted < learned < counted + 0.1 < guessed
    assert " qu " in text, "u is what follows q"


def test_a_primitive_of_ones_own_is_checked() -> None:
    text = printed("primitive.py")
    assert "central differences: True" in text
    assert "12 of 144 derivatives are wrong" in text


def test_it_passes_the_checks_of_the_engines_own_primitives() -> None:
    command = [sys.executable, "-m", "tinytensor.gradcheck", "--samples", str(EXAMPLES / "primitive.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n")[1].startswith("softsign ")


def test_microgpt_learns_and_invents() -> None:
    text = printed("microgpt.py", "60")
    losses = numbers(r"never saw ([\d.]+)", text)
    assert losses[-1] < 2.6 < losses[0]
    assert len(text.rpartition("invented:")[2].split()) > 12


@pytest.mark.parametrize(
    "example, lines", [("xor.py", 22), ("bigram.py", 70), ("primitive.py", 70), ("microgpt.py", 120)]
)
def test_an_example_is_short(example: str, lines: int) -> None:
    assert len((EXAMPLES / example).read_text("utf-8").splitlines()) <= lines


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"xor.py", "bigram.py", "primitive.py", "microgpt.py"}
