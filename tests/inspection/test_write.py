"""The file: one element each for the data, whatever text is in it; written in one move, or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspected import inspected, subject
from profiles import cases

from gpt.errors import UserError
from gpt.inspection import write
from gpt.inspection.collect import collect

HOSTILE = [
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "&lt;&quot;", "\u2028\u2029", "\x00\x01\x1b[2J\r\n", "\ud800",
    "\u202eabc\u202c", "e\u0301" * 20, "\U0001f469\u200d\U0001f680", '"\\', "<!-- part: data -->", "a" * 10_000,
]  # fmt: skip
NAMES = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


class Elements(HTMLParser):
    """The elements of a page, and the text of those that have an id."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: dict[str, str] = {}
        self._inside = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") or ""

    def handle_data(self, data):
        self.text[self._inside] = self.text.get(self._inside, "") + data

    def handle_endtag(self, tag):
        self._inside = ""


def parsed(html: str) -> Elements:
    found = Elements()
    found.feed(html)
    found.close()
    return found


@pytest.fixture(scope="module")
def made():
    return collect(subject())


def test_the_page_has_its_data_and_all_of_its_parts(made):
    data, arrays = made
    html = write.page(data, arrays)
    found = parsed(html)
    assert json.loads(found.text["data"]) == json.loads(json.dumps(data)) and found.text["bytes"].strip() == arrays
    assert "<!-- part:" not in html and "\r" not in html
    for each in write.PAGE.iterdir():
        if each.name.endswith((".js", ".css")):
            assert write.part(each.name) in html, each.name


def test_it_needs_nothing_from_outside(made):
    html = write.page(*made)
    assert not re.search(r"""\b(src|href)\s*=\s*["']?(?!#|data:)\w""", html)
    assert not re.search(r"""url\((?!["']?data:)|@import|\bfetch\(|XMLHttpRequest|WebSocket""", html)


def test_scripts_are_one_module_without_names_in_two_of_them():
    """In the page no import and no export is left; a name that two files declare would be an error of the whole module."""
    scripts = {each.name: write.part(each.name) for each in write.PAGE.iterdir() if each.name.endswith(".js")}
    names = [name for text in scripts.values() for name in NAMES.findall(text)]
    assert scripts and sorted(names) == sorted(set(names))
    for name, text in scripts.items():
        assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE), name
        assert "</script" not in text.lower() and "<!--" not in text, name


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_text_changes_no_element(made, number):
    data, arrays = made
    usual = parsed(write.page(data, arrays))
    changed = data | {"tokens": [{"id": 0, "text": HOSTILE[number]}], "notes": [HOSTILE[number]]}
    html = write.page(changed, arrays)
    found = parsed(html)
    assert found.tags == usual.tags
    assert json.loads(found.text["data"])["tokens"][0]["text"] == HOSTILE[number]
    html.encode("utf-8")


@cases(100)
@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none(), st.lists))
def test_json_comes_back_and_says_nothing_in_html(value):
    text = write.as_json(value)
    assert json.loads(text) == value
    assert text.isascii() and not set(text) & set("<>&") and text.isprintable()


def test_packed_text_is_not_html_either(made):
    assert not set(made[1]) & set("<>&")
    assert inspected(subject()).data["values"]


# ------------------------------------------------------------------------------------------------ the file


def test_a_page_replaces_another_in_one_move(tmp_path, made):
    out = write.target(tmp_path / "new" / "deep" / "page.html")
    size = write.write(out, *made)
    assert out.stat().st_size == size and list(out.parent.iterdir()) == [out]
    out.write_text("older")
    assert write.write(write.target(out), *made) == size and out.stat().st_size == size


def test_a_full_disk_leaves_what_was_there(tmp_path, made, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("older")
    calls = []

    def full(descriptor, content):
        calls.append(len(content))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return 10

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(
        UserError, match=r"cannot write .*page\.html: No space left on device; --out FILE names another place"
    ):
        write.write(out, *made)
    assert out.read_text() == "older" and [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    for name, message in {
        "": "is a folder; name a file in it, as .*/inspect.html$",
        "link": "is a link; name a file$",
        "fifo": "is a FIFO; name a file$",
        "file/page.html": "/file is a file, and must be a folder; name a file elsewhere$",
        "x" * 300: ": File name too long; name a file elsewhere$",
    }.items():
        with pytest.raises(UserError, match=message):
            write.target(tmp_path / name)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fifo", "file", "link"]
