"""docs/build_lab.py: the editor's packages are installed whole or not at all, and what is missing is told."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import served
from site_build import load_build_lab

ROOT = Path(__file__).resolve().parents[2]
LOCK = "the packages of today"


@pytest.fixture
def build_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with a folder of its own in place of docs/lab, where npm is something that is called."""
    module = load_build_lab()
    lab = tmp_path / "lab"
    lab.mkdir()
    for name, text in (("package.json", "{}"), ("package-lock.json", LOCK), (".npmrc", "")):
        (lab / name).write_text(text)
    monkeypatch.setattr(module, "LAB", lab)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")
    return module


def made(folder: Path, by: str, lock: str = LOCK) -> None:
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "by").write_text(by)
    (folder / "node_modules" / ".of").write_text(lock)


def test_the_package_is_packed_with_all_its_modules_and_the_same_each_time(build_lab: Any, tmp_path: Path) -> None:
    """Its hash is pinned in lab.json: it has to depend on the modules alone, not on when they were written."""
    copy = tmp_path / build_lab.PYTHON.name
    shutil.copytree(build_lab.PYTHON, copy)
    for path in copy.glob("*.py"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    (copy / "__pycache__").mkdir(exist_ok=True)
    archives = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for package, archive in zip((build_lab.PYTHON, copy), archives, strict=True):
        build_lab.pack(package, archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    names = zipfile.ZipFile(archives[0]).namelist()
    assert names == sorted(f"laboratory/{path.name}" for path in build_lab.PYTHON.glob("*.py")) and len(names) > 8
    assert "laboratory.zip" in build_lab.BESIDE


def test_packages_are_installed_once(build_lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(command: list[str], folder: Path) -> None:
        calls.append(command[1:])
        assert folder.parent == build_lab.LAB and (folder / "package-lock.json").read_text() == LOCK
        made(folder, "npm", "")

    monkeypatch.setattr(build_lab, "run", run)
    made(build_lab.LAB, "an old one", "the packages of yesterday")
    build_lab.packages()
    build_lab.packages()
    assert calls == [["ci", "--silent"]]
    assert (build_lab.LAB / "node_modules" / "by").read_text() == "npm"
    assert not list(build_lab.LAB.glob(".install-*"))


def test_two_builds_at_once_do_not_mix_their_packages(build_lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While npm works, the other build is done, and bundles from its folder already."""

    def run(command: list[str], folder: Path) -> None:
        made(build_lab.LAB, "the other")
        made(folder, "npm", "")

    monkeypatch.setattr(build_lab, "run", run)
    build_lab.packages()
    assert (build_lab.LAB / "node_modules" / "by").read_text() == "the other"
    assert not list(build_lab.LAB.glob(".install-*"))


def test_an_install_that_fails_leaves_what_was_there(build_lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], folder: Path) -> None:
        (folder / "node_modules").mkdir()
        raise build_lab.Missing("npm ci failed: no network")

    monkeypatch.setattr(build_lab, "run", run)
    made(build_lab.LAB, "an old one", "the packages of yesterday")
    with pytest.raises(build_lab.Missing, match="no network"):
        build_lab.packages()
    assert (build_lab.LAB / "node_modules" / "by").read_text() == "an old one"
    assert not list(build_lab.LAB.glob(".install-*"))


def test_without_node_the_build_says_so(build_lab: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The line is a warning of Sphinx, lab.editor, which LAB_EDITOR=plain alone takes away."""
    monkeypatch.setattr(build_lab.shutil, "which", lambda name: None)
    (line,) = build_lab.with_node(tmp_path)
    assert "a plain text field in place of its editor" in line and "apt-get install nodejs npm" in line
    for value, wanted in (("plain", ["lab.editor"]), ("", []), ("1", [])):
        script = "import runpy; print(runpy.run_path('docs/conf.py')['suppress_warnings'])"
        environment = {**os.environ, "LAB_EDITOR": value}
        said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert said.stdout.strip() == str(wanted), said.stderr


@pytest.mark.site
def test_a_site_without_node_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -W a warning ends the build with an error."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_extensions"))
    chapters = importlib.import_module("chapters")
    said: list[tuple[str, str, str]] = []
    monkeypatch.setattr(
        chapters.LOGGER, "warning", lambda text, *given, type, subtype: said.append((text % given, type, subtype))
    )
    monkeypatch.setenv("PATH", "")
    config = SimpleNamespace(html_baseurl="")
    chapters.finish(SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path, config=config), None)
    ((line, *kind),) = said
    assert "a plain text field in place of its editor" in line and kind == ["lab", "editor"]
    assert (tmp_path / "lab" / "index.html").exists() and not (tmp_path / "lab" / "codemirror.js").exists()


@pytest.mark.parametrize("ci, outcome", [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_failed_download_of_pyodide_fails_under_ci(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere the browser's tests are skipped."""
    monkeypatch.setattr(served, "CACHE", tmp_path / "cache" / "pyodide")
    monkeypatch.setattr(served.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="Pyodide cannot be downloaded"):
        served.pyodide()
