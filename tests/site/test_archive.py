"""The archive of the code that the site serves: it has the repository's files, it runs, and builds of it are equal."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from site_build import ROOT

from gpt import learn

pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")

import archive
import checkout


def git(folder: Path, *command: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def unpacked(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    with zipfile.ZipFile(site / "_downloads" / "tinytensor.zip") as file:
        file.extractall(folder)
    (one,) = folder.iterdir()  # so that it litters no folder
    return one


def test_it_has_the_files_that_git_tracks(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    if (ROOT / ".git").exists():
        assert names == {name for name in git(ROOT, "ls-files", "-z").split("\0") if name and (ROOT / name).is_file()}
    assert len(names) > 900


def test_it_runs_where_it_is_not_installed(unpacked: Path, tmp_path: Path) -> None:
    """The packages that it needs are there; it is not, since Python without `site` follows no editable installation."""

    def python(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        packages = os.pathsep.join(each for each in sys.path if each.endswith("-packages"))
        env = {**os.environ, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, "-S", *command], cwd=folder, env=env, capture_output=True, text=True)

    assert "No module named 'tinytensor'" in python(tmp_path, "-c", "import numpy, tinytensor").stderr
    done = python(unpacked, "-m", "gpt.learn", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(each.name in done.stdout for each in learn.exercises())


def test_two_builds_are_equal_and_have_each_file_as_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive.write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as file:
        assert all(file.read(f"tinytensor/{name}") == (ROOT / name).read_bytes() for name in checkout.tracked())
        programs = {each.filename for each in file.infolist() if each.external_attr >> 16 == 0o100755}
    assert programs == {f"tinytensor/{name}" for name in checkout.tracked() if os.access(ROOT / name, os.X_OK)}


IGNORED = (
    "a.pyc", "x.egg-info/b", "runs/one/c", "docs/notebooks/d", "site/e", "mutants/f", ".coverage.1", ".venv/g/h.py",
    "docs/lab/node_modules/i", "tests/lab/.cache/j", "gpt/__pycache__/k.py",
)  # fmt: skip
KEPT = ("b.py", "runs/d.sh", "notebooks/e", "docs/site/f", "tests/mutants/g", "gpt/run/h.py", "docs/site.md")


def test_without_git_it_leaves_out_what_gitignore_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*IGNORED, *KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", "utf-8")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert checkout.tracked.__wrapped__() == checkout.files.__wrapped__() == {".gitignore", *KEPT}
    git(tmp_path, "init", "--quiet")
    assert set(git(tmp_path, "ls-files", "--others", "--exclude-standard").split()) == {".gitignore", *KEPT}
    git(tmp_path, "add", "b.py")
    assert checkout.tracked.__wrapped__() == {"b.py"}
    assert checkout.files.__wrapped__() == {".gitignore", *KEPT}
