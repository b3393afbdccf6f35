"""The page's scripts: they are valid together, and none of them can make markup of a text or reach a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGE, node, subject, written

pytestmark = pytest.mark.page
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|\bfetch\(|XMLHttpRequest|WebSocket|"
    r"sendBeacon|import\(\s*[^\"']|localStorage|document\.cookie|setAttribute\(\"on|srcdoc|https?:(?!//www\.w3\.org/2000/svg)"
)
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
METHOD = re.compile(r"^ +(?:async )?(\w+)\(.*\{$", re.MULTILINE)
SCRIPT = re.compile(r'<script type="module">(.*?)</script>', re.DOTALL)


def test_the_scripts_are_valid_as_one(tmp_path: Path) -> None:
    """Names at their top level differ: the page has them in one scope, where a second one is a syntax error."""
    found = SCRIPT.findall(written(subject("to"), tmp_path / "page.html").read_text("utf-8"))
    assert len(found) == 1
    (tmp_path / "page.mjs").write_text(found[0], "utf-8")
    node("--check", tmp_path / "page.mjs")


@pytest.mark.parametrize("name", sorted(file.name for file in PAGE.glob("*.js")))
def test_a_script_makes_no_markup_and_reaches_no_network(name: str) -> None:
    text = (PAGE / name).read_text("utf-8")
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)
    assert "</script" not in text.lower() and "<!--" not in text  # either would end it, or hide its rest
    assert all(len(line) <= 120 for line in text.splitlines())
    assert f"<!-- part: {name} -->" in (PAGE / "index.html").read_text("utf-8")


def test_a_script_uses_what_it_imports_and_imports_what_there_is() -> None:
    """In the page all see each other; as modules, which Node and a reader's editor take them for, they do not."""
    sources = {file.name: file.read_text("utf-8") for file in PAGE.glob("*.js")}
    exports = {name: set(EXPORT.findall(text)) for name, text in sources.items()}
    for name, text in sources.items():
        imported: set[str] = set()
        for names, origin in re.findall(r'^import \{([^}]*)\} from "\./([\w.]+)";', text, re.MULTILINE):
            each = {word.strip() for word in names.split(",") if word.strip()}
            assert each <= exports[origin], (name, origin, each - exports[origin])
            imported |= each
        body = re.sub(
            r"/\*.*?\*/|//[^\n]*", "", re.sub(r"^import [^;]*;$", "", text, flags=re.MULTILINE), flags=re.DOTALL
        )
        body = re.sub(r'"[^"\n]*"', '""', body)
        assert not {each for each in imported if not re.search(rf"(?<!\w)(?<!\w\.){each}\b", body)}, name
        foreign = set().union(*(exports[other] for other in sources if other != name)) - imported - exports[name]
        local = set(re.findall(r"(?:const|let|function|class)\s+(\w+)", body)) | set(METHOD.findall(body))
        used = {each for each in foreign - local if re.search(rf"(?<![\w.\"'`]){each}\(", body)}
        assert not used, (name, used)
