"""Which files the repository has: those that git knows, or in a folder without git those that .gitignore does not name.
And docs/build_lab.py, which is in no package, as a module.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked() -> frozenset[str]:
    """The files that git tracks."""
    return _existing(_git("ls-files", "-z", "--cached")) or not_ignored()


@cache
def files() -> frozenset[str]:
    """These, and those that git does not track yet."""
    return _existing(_git("ls-files", "-z", "--cached", "--others", "--exclude-standard")) or not_ignored()


@cache
def folders() -> frozenset[str]:
    """All folders that have a file, without a slash at their end; "" is the repository itself."""
    return frozenset(
        "" if parent == PurePosixPath(".") else parent.as_posix()
        for name in files()
        for parent in PurePosixPath(name).parents
    )


def commit_time() -> int | None:
    """When the last commit was made, in seconds; None without git."""
    found = _git("log", "-1", "--format=%ct").strip()
    return int(found) if found else None


def load_build_lab() -> Any:
    """docs/build_lab.py, which builds the laboratory; another module with each call."""
    spec = importlib.util.spec_from_file_location("build_lab", ROOT / "docs" / "build_lab.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _git(*command: str) -> str:
    """What git says about this folder; nothing if there is no git, or if the folder is no checkout of its own."""
    if not (ROOT / ".git").exists():  # a folder inside of another repository is not that repository
        return ""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _existing(listed: str) -> frozenset[str]:
    return frozenset(name for name in listed.split("\0") if name and (ROOT / name).is_file())


# ------------------------------------------------------------------------------------------ without git


def not_ignored() -> frozenset[str]:
    """The files of the folder that .gitignore does not name."""
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    return frozenset(_walk("", [line for line in lines if line and not line.startswith("#")]))


def _walk(folder: str, patterns: list[str]) -> Iterator[str]:
    with os.scandir(ROOT / folder) as found:
        for each in found:
            path = f"{folder}{each.name}"
            inner = each.is_dir(follow_symlinks=False)
            if each.name == ".git" or any(_matches(path, inner, pattern) for pattern in patterns):
                continue
            if inner:
                yield from _walk(f"{path}/", patterns)
            else:
                yield path


def _matches(path: str, folder: bool, pattern: str) -> bool:
    """Whether a line of .gitignore names the path: its last part, or all of it where the line has a slash within."""
    if pattern.endswith("/") and not folder:
        return False
    wanted = pattern.rstrip("/")
    parts = path.split("/") if "/" in wanted else [path.rpartition("/")[2]]
    names = wanted.lstrip("/").split("/")
    return len(parts) == len(names) and all(map(fnmatchcase, parts, names))
