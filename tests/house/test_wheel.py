"""What is installed works without the checkout: from an empty folder, with nothing but the wheel's files on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinytensor.compat import HOMES

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a wheel of a copy of the source was installed."""
    pytest.importorskip("setuptools", "70.1")
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    for name in ("tinytensor", "gpt"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip(["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)])
    pip(["install", "--no-deps", "--target", str(target), *map(str, wheels.iterdir())])
    return target


def pip(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def printed(installed: Path, empty: Path, *arguments: str) -> str:
    """What python prints in an empty folder."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, *arguments], cwd=empty, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_wheel_that_is_tested(installed: Path, tmp_path: Path) -> None:
    where = printed(installed, tmp_path, "-c", "import tinytensor; print(tinytensor.__file__)")
    assert where.strip() == str(installed / "tinytensor" / "__init__.py")


def test_gradcheck_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    assert "1 primitives, 10 sample calls" in printed(installed, tmp_path, "-m", "tinytensor.gradcheck", "gelu")


def test_the_page_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    """Template, style and scripts are in the wheel, and a page is made of them."""
    code = "from gpt.inspection import write; print(len(write.page({}, '')), *sorted(e.name for e in write.PAGE.iterdir()))"
    size, *names = printed(installed, tmp_path, "-c", code).split()
    page = ROOT / "gpt" / "inspection" / "page"
    assert names == sorted(each.name for each in page.iterdir())
    assert int(size) > sum(len(each.read_text("utf-8")) for each in page.glob("*.css"))


def test_exercises_need_no_checkout(installed: Path, tmp_path: Path) -> None:
    """What readers start from and PyTorch's numbers are in the wheel, solutions are not."""
    assert "exercises/relu.py" in printed(installed, tmp_path, "-m", "gpt.learn", "start", "relu")
    file = tmp_path / "exercises" / "relu.py"
    file.write_text("import numpy as np\n\n\ndef backward(dy, x):\n    return np.where(x > 0, dy, 0)\n")
    assert printed(installed, tmp_path, "-m", "gpt.learn", "check", "relu").startswith("relu: right, in")
    assert len(list((installed / "gpt" / "learn" / "stubs").iterdir())) == 24
    assert len(list((installed / "gpt" / "learn" / "subjects").glob("*.txt"))) == 8
    assert not list(installed.rglob("solutions"))


def test_the_museum_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    assert "+    return np.ascontiguousarray" in printed(
        installed, tmp_path, "-m", "gpt.museum", "not-shifted", "--no-run"
    )
    assert "question 1 of 5" in printed(installed, tmp_path, "-m", "gpt.museum", "quiz")


def test_public_paths_lead_into_the_wheel(installed: Path, tmp_path: Path) -> None:
    names = [name for name in HOMES if "tensorboard" not in name]
    code = f"import {', '.join(names)}\nfor module in ({', '.join(names)}): print(module.__file__)"
    files = printed(installed, tmp_path, "-c", code).split()
    assert [Path(file).parent for file in files] == [installed / "tinytensor" / "compat"] * len(names)


def test_a_script_for_pytorch_runs(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import torch, torch.distributed as dist\nprint(torch.__name__, dist.is_initialized())"
    )
    assert printed(installed, tmp_path, "-m", "tinytensor", "script.py") == "tinytensor False\n"
