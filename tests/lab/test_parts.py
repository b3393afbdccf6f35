"""The scripts of the laboratory's page: their pure parts under Node, and that none can make markup of a text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "docs" / "lab"
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|XMLHttpRequest|WebSocket|"
    r"sendBeacon|document\.cookie|srcdoc|https?:"
)


def test_the_pure_parts_under_node(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: apt-get install nodejs")
    for path in [*LAB.glob("*.js"), ROOT / "gpt" / "inspection" / "page" / "dom.js"]:
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    script = Path(__file__).parent / "parts.mjs"
    done = subprocess.run([node, script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in LAB.glob("*.js")))
def test_a_script_makes_no_markup(name: str) -> None:
    text = (LAB / name).read_text("utf-8")
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_lock_file_of_the_editor_names_no_host() -> None:
    """npm takes the packages from the registry that it is set to."""
    assert "http" not in (LAB / "package-lock.json").read_text("utf-8")
