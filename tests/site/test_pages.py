"""The built site: every page is reachable, every link leads somewhere, the reference is complete, notebooks open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from site_build import sphinx, written

from gpt import learn
from gpt.museum import BUGS

ROOT = Path(__file__).resolve().parents[2]
NAMES = (ROOT / "tests" / "pytorch" / "public_names.txt").read_text("utf-8").split()
HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---"""  # of a page whose cells are executed
QUICK = "01-tensors"  # a chapter that runs in seconds


class Links(HTMLParser):
    """The links of a page, what it loads, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.source_links: list[tuple[str, str]] = []
        self._object = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.ids |= {found[key] for key in ("id", "name") if key in found}
        if tag == "dt" and "sig" in found.get("class", ""):
            self._object = found.get("id", self._object)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
            if "source-link" in found.get("class", ""):
                self.source_links.append((self._object, found["href"]))
        if "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") not in ("canonical", "index", "search", "next", "prev", "author"):
            self.loads.append(found["href"])


@cache
def parsed(path: Path) -> Links:
    links = Links()
    links.feed(re.sub(r'<span class="[^"]*">|</span>', "", path.read_text("utf-8")))  # most tags: colours of code
    return links


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if path.relative_to(site).parts[0] not in ("lab", "_static"))


def targets(site: Path, page: Path) -> Iterator[tuple[str, Path, str]]:
    """The links of a page that stay on the site: as written, the file, the anchor."""
    for link in parsed(page).links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            yield link, path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def missing(site: Path) -> list[str]:
    """The links that lead nowhere."""
    found = []
    for page in pages(site):
        here = page.relative_to(site).as_posix()
        for link, path, anchor in targets(site, page):
            if not path.is_file():
                found.append(f"{here}: {link}")
            elif anchor and path.suffix == ".html" and anchor not in parsed(path).ids:
                found.append(f"{here}: {link}: no such anchor")
        for link in parsed(page).loads:
            if not link.startswith("data:") and not (page.parent / unquote(urlsplit(link).path)).is_file():
                found.append(f"{here}: loads {link}")
    return found


def test_every_link_leads_somewhere(site: Path) -> None:
    assert missing(site) == []
    assert sum(len(parsed(page).links) for page in pages(site)) > 20_000


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    text = '<a href="b.html#x">b</a><a href="c.html">c</a><img src="d.png"><a href="#here">e</a><p id="here">'
    (tmp_path / "a.html").write_text(text, "utf-8")
    (tmp_path / "b.html").write_text("<p id=y>", "utf-8")
    assert missing(tmp_path) == ["a.html: b.html#x: no such anchor", "a.html: c.html", "a.html: loads d.png"]


def test_every_document_is_reachable(site: Path) -> None:
    docs = ROOT / "docs"
    wanted = [*docs.glob("*.md"), *(docs / "chapters").glob("*.md"), *(docs / "api").glob("*.rst")]
    wanted += [docs / "notebooks" / path.name for path in (ROOT / "notebooks").glob("*.ipynb")]
    seen, todo = set(), [site / "index.html"]
    while todo:
        page = todo.pop()
        if page not in seen and page.is_file() and page.suffix == ".html" and "source" not in page.parts:
            seen.add(page)
            todo += [path for _, path, _ in targets(site, page)]
    unreached = {path.relative_to(docs).with_suffix(".html").as_posix() for path in wanted} - {
        page.relative_to(site).as_posix() for page in seen if page.is_relative_to(site)
    }
    assert not unreached
    assert len(wanted) > 40


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    foreign = {
        f"{page.relative_to(site)}: {link}"
        for page in pages(site)
        for link in parsed(page).loads
        if urlsplit(link).netloc
    }
    assert not foreign
    styles = "".join(path.read_text("utf-8") for path in (site / "_static").rglob("*.css"))
    assert not re.findall(r"url\([\"']?(?:https?:)?//[^)]*|@import[^;]*", styles)


def test_the_reference_has_every_public_name(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    found = {
        name: item for kind, items in dict(inventory).items() if kind.startswith("py:") for name, item in items.items()
    }
    assert not set(NAMES) - set(found)
    for name in NAMES:
        path, _, anchor = found[name].uri.partition("#")
        assert anchor.replace("$", name) in parsed(site / path).ids, name


def test_source_links_lead_to_the_lines_of_the_objects(site: Path) -> None:
    checked = 0
    for page in (site / "api").glob("*.html"):
        for name, link in parsed(page).source_links:
            path, _, line = link.partition("#L")
            shown = (page.parent / path).resolve().relative_to(site / "source").as_posix().removesuffix(".html")
            text = (ROOT / shown).read_text("utf-8").splitlines()[int(line) - 1]
            assert re.match(r"\s*(class|def|async def|@)|.*(= |lambda)", text), f"{name}: {shown}:{line}: {text}"
            checked += 1
    assert checked > 600
    links = dict(parsed(site / "api" / "functional.html").source_links)
    path, _, line = links["tinytensor.nn.functional.cross_entropy"].partition("#L")
    assert path.endswith("source/tinytensor/nn/functional/cross_entropy.py.html")
    text = (ROOT / "tinytensor/nn/functional/cross_entropy.py").read_text("utf-8").splitlines()
    assert "def cross_entropy(" in "".join(text[int(line) - 1 : int(line) + 3])


def test_a_page_of_a_file_has_all_its_lines(site: Path) -> None:
    page = (site / "source" / "tinytensor" / "tape.py.html").read_text("utf-8")
    lines = (ROOT / "tinytensor" / "tape.py").read_text("utf-8").splitlines()
    assert [int(number) for number in re.findall(r'<i id="L(\d+)">', page)] == list(range(1, len(lines) + 1))


def test_the_search_finds_words_of_texts_and_names(site: Path) -> None:
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])

    def documents(word: str) -> set[str]:
        hits = index["terms"].get(word, [])
        return {index["docnames"][i] for i in ([hits] if isinstance(hits, int) else hits)}

    assert "design" in documents("hing")  # "Two hinges make it possible", and the stem of it
    assert {"api/functional", "api/reductions"} <= documents("softmax")
    assert any("cross_entropy" in [entry[-1] for entry in entries] for entries in index["objects"].values())


# ------------------------------------------------------------------------------------------ chapters


def chapters() -> list[Path]:
    return sorted((ROOT / "docs" / "chapters").glob("*.md"))


def test_every_snippet_was_executed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cache of the build has each chapter with a number for every cell, in order."""
    import jupytext
    from jupyter_cache import get_cache

    (folder,) = (site.parent / "doctrees" / "executed").iterdir()
    cache = get_cache(folder)
    executed = {Path(record.uri).stem: cache.get_cache_bundle(record.pk).nb for record in cache.list_cache_records()}
    counts = {}
    for path in chapters():
        wanted = [
            cell for cell in jupytext.reads(path.read_text("utf-8"), fmt="md:myst").cells if cell.cell_type == "code"
        ]
        cells = [cell for cell in executed[path.stem].cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(wanted) + 1)), path.stem
        counts[path.stem] = len(cells)
    assert chapters()
    with capsys.disabled():
        print(f"\n{sum(counts.values())} snippets executed: {', '.join(f'{name} {n}' for name, n in counts.items())}")


def test_the_lines_of_the_engine_are_highlighted(site: Path) -> None:
    for path in chapters():
        shown = path.read_text("utf-8").count("{literalinclude}")
        page = (site / "chapters" / f"{path.stem}.html").read_text("utf-8")
        assert page.count('<div class="highlight-python notranslate">') >= shown, path.stem


def test_notebooks_are_valid_and_have_the_cells_of_the_chapters(site: Path) -> None:
    import jupytext
    import nbformat

    for path in chapters():
        notebook = nbformat.read(site / "notebooks" / f"{path.stem}.ipynb", as_version=4)
        nbformat.validate(notebook)
        chapter = jupytext.reads(path.read_text("utf-8"), fmt="md:myst")
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert code[1:] == [cell.source for cell in chapter.cells if cell.cell_type == "code"]
        assert "tinytensor" in code[0]
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert not re.findall(r"^(?:`{3,}|:{3,})\{.*|^:tags:.*", prose, re.MULTILINE), path.stem
        if "literalinclude" in path.read_text("utf-8"):
            assert "```python\n" in prose


def executed(notebook: Any, folder: Path) -> list[Any]:
    """The code cells of the notebook, after a fresh kernel has run them all; what a cell raises is raised."""
    import nbclient

    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_a_notebook_of_the_site_runs(site: Path, tmp_path: Path) -> None:
    """From its first cell, which finds the engine there, in a folder that has nothing of the repository."""
    import nbformat

    cells = executed(nbformat.read(site / "notebooks" / f"{QUICK}.ipynb", as_version=4), tmp_path)
    assert "import tinytensor" in cells[0].source and cells[0].outputs == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)) and len(cells) > 5
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
    assert list(tmp_path.iterdir()) == []


PIP = """from IPython.core.magic import register_line_magic

@register_line_magic
def pip(line):
    print("pip", line)"""  # what would install says so
MISSING = "import importlib.util\nimportlib.util.find_spec = lambda name: None"


@pytest.mark.parametrize("before, said", [("", []), (MISSING, ["pip install --quiet https://example.org/lab/a.whl\n"])])
def test_a_notebook_installs_only_what_is_missing(tmp_path: Path, before: str, said: list[str]) -> None:
    import nbformat
    from jupyter import Origin, install

    code = [PIP, before, install(Origin("https://example.org/", "a.whl"))]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in code])
    assert [output.text for output in executed(notebook, tmp_path)[-1].outputs] == said


def test_a_notebook_shows_what_the_page_includes() -> None:
    from chapters import included
    from jupyter import Origin, for_jupyter

    path = ROOT / "docs" / "chapters" / "any.md"
    source = (ROOT / "tinytensor" / "ops" / "gelu.py").read_text("utf-8").splitlines()
    assert included(path, "../../tinytensor/ops/gelu.py", ":lines: 2-3\n").splitlines() == source[1:3]
    text = "```{literalinclude} ../../tinytensor/ops/gelu.py\n:pyobject: gelu_tanh_backward\n```\n\n"
    text += ":::{admonition} Answer\n:class: dropdown\nFour, by {eq}`two`, [there](a.md).\n:::\n\n$$\nx\n$$ (two)"
    shown = for_jupyter(path, text, Origin("https://example.org/"))
    assert "```python\ndef gelu_tanh_backward(" in shown
    answer = "Four, by (two), [there](https://example.org/chapters/a.html)."
    assert f"<details><summary>Answer</summary>\n\n{answer}\n\n</details>" in shown
    assert "$$\nx\n\\tag{two}$$" in shown


@pytest.mark.parametrize(
    "link, alone, absolute, with_repository",
    [
        ("[a `b`](../speed.md#c)", "a `b` (`speed.html`)", "[a `b`](S/speed.html#c)", "[a `b`](S/speed.html#c)"),
        ("[a](#c)", "a (`chapters/any.html`)", "[a](S/chapters/any.html#c)", "[a](S/chapters/any.html#c)"),
        ("[`b`](../../gpt/data.py)", "`b` (`gpt/data.py`)", "[`b`](S/source/gpt/data.py.html)", "[`b`](R/gpt/data.py)"),
        ("[`gpt/`](../../gpt/)", "`gpt/`", "[`gpt/`](S/source/gpt/index.html)", "[`gpt/`](R/gpt)"),
        (
            "[a](../lab/index.html?b=c)",
            "a (`lab/index.html`)",
            "[a](S/lab/index.html?b=c)",
            "[a](S/lab/index.html?b=c)",
        ),
        ("[a](https://b.org/c.md)",) * 4,
        ("`a[0](b)` $c[1](d)$ $$e[2](f)$$ ```\ng[3](h)\n```",) * 4,
    ],
)
def test_a_link_of_a_notebook(link: str, alone: str, absolute: str, with_repository: str) -> None:
    """Absolute, or the name of the page or file that is meant: no link is relative to where the notebook lies."""
    from jupyter import Origin, for_jupyter

    path = ROOT / "docs" / "chapters" / "any.md"
    assert for_jupyter(path, link, Origin()) == alone
    assert for_jupyter(path, link, Origin("S/")) == absolute
    assert for_jupyter(path, link, Origin("S/", "", "R/")) == with_repository


def test_links_of_notebooks_lead_to_pages(site: Path) -> None:
    from jupyter import LINK, Origin, notebook

    checked = 0
    for path in chapters():
        text = "\n".join(each.source for each in notebook(path, Origin("S:/")).cells if each.cell_type == "markdown")
        for page, anchor in re.findall(r"\]\(S:/([^)#?]*)(?:\?[^)#]*)?(?:#([^)]*))?\)", text):
            assert (site / page).is_file(), f"{path.stem}: {page}"
            assert not anchor or anchor in parsed(site / page).ids, f"{path.stem}: {page}#{anchor}"
            checked += 1
        cells = json.loads((site / "notebooks" / f"{path.stem}.ipynb").read_text("utf-8"))["cells"]
        text = "\n".join("".join(each["source"]) for each in cells if each["cell_type"] == "markdown")
        assert all(match["kept"] for match in LINK.finditer(text)), path.stem
        assert f"`chapters/{path.stem}.html`" in text and "`get-the-code.html`" in text
    assert checked > 100


def test_notebooks_install_the_wheel_of_a_site_with_an_address() -> None:
    from jupyter import Origin, install

    wheel = "tinytensor-0.1.0-py3-none-any.whl"
    assert f"%pip install --quiet https://example.org/tt/lab/{wheel}" in install(
        Origin("https://example.org/tt/", wheel)
    )
    alone = install(Origin())
    assert "pip install ." in alone and "http" not in alone


def test_the_map_and_the_chapter_say_the_same_time(site: Path) -> None:
    from chapters import chapters as counted

    text = re.sub(r"<[^>]+>", "", (site / "index.html").read_text("utf-8"))
    for it in counted():
        whole, reading, todo, solving = map(int, re.findall(r"\d+", it.times))
        assert whole == reading + solving and solving > 0 and todo == it.questions + it.exercises
        assert f"{it.title} {it.times}" in text
        page = (site / "chapters" / f"{it.name}.html").read_text("utf-8")
        assert f'<span class="times">{it.times}</span>' in page
        assert f'href="../lab/index.html?chapter={it.name}"' in page
        assert f'href="../notebooks/{it.name}.ipynb"' in page


def test_exercises_and_chapters_lead_to_each_other(site: Path) -> None:
    page = (site / "exercises.html").read_text("utf-8")
    for each in learn.exercises():
        chapter = (site / "chapters" / f"{each.chapter}.html").read_text("utf-8")
        assert f'href="../exercises.html#exercise-{each.name}"' in chapter, each.name
        row = page[page.index(f'id="exercise-{each.name}"') :]
        assert f'href="chapters/{each.chapter}.html"' in row[: row.index("</tr>")], each.name


def test_exercises_and_bugs_lead_into_the_laboratory(site: Path) -> None:
    def names(page: str, kind: str) -> set[str]:
        return set(re.findall(rf'href="(?:\.\./)*{kind}([\w-]+)"', (site / page).read_text("utf-8")))

    assert names("exercises.html", r"lab/index\.html\?exercise=") == {each.name for each in learn.exercises()}
    not_run = {"leak", "eval-mode", "train-mode"}
    assert names("museum.html", r"lab/index\.html\?bug=") == set(BUGS) - not_run
    museum = (site / "museum.html").read_text("utf-8")
    for bug in BUGS.values():  # the laboratory leads back to these places
        assert f'id="{bug.name}"' in museum and (site / "chapters" / f"{bug.chapter}.html").exists()
    assert all((site / "chapters" / f"{each.chapter}.html").exists() for each in learn.exercises())
    chapter = "chapters/02-tape.html"
    assert names(chapter, r"lab/index\.html\?exercise=") == {"tape", "test_tape"}
    assert names(chapter, "museum\\.html#") == {"topological-order", "overwrite-grad", "zero-grad"}


def test_types_of_python_are_not_linked_to_dtypes(site: Path) -> None:
    texts = [path.read_text("utf-8") for path in (site / "api").glob("*.html")]
    signatures = [part for text in texts for part in re.findall(r'<dt class="sig .*?</dt>', text, re.DOTALL)]
    assert any('<span class="pre">int</span>' in each for each in signatures)
    to_dtypes = r'class="reference internal" href="[^"]*#tinytensor\.(int|float|bool)"'
    assert not [each for each in signatures if re.search(to_dtypes, each)]


def test_the_laboratory_gets_the_cells(site: Path) -> None:
    file = next(path for path in (site / "lab").glob("snippets.json"))
    (found,) = json.loads(file.read_text("utf-8")).values()
    assert [each["name"] for each in found] == [path.stem for path in chapters()]
    offered = json.loads(file.with_name("lab.json").read_text("utf-8"))["files"]
    assert [each["name"] for each in found if each["file"] not in offered] == []
    subject = {each["name"]: each["file"] for each in found}
    assert subject["02-tape"] == "tinytensor/tape.py" and subject["12-tokenizers"] == "gpt/tokenizers/bpe.py"
    for each, path in zip(found, chapters(), strict=True):
        text = path.read_text("utf-8")
        assert len(each["cells"]) == text.count("```{code-cell}") - len(
            re.findall(r"^:tags:.*no-lab", text, re.MULTILINE)
        )
        assert len(each["hidden"]) == len(each["cells"])
        assert sum(each["hidden"]) == len(re.findall(r"^:tags:(?!.*no-lab).*remove-cell", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["guide", "gpt2"])
def test_the_notebooks_of_the_repository_have_their_outputs(site: Path, name: str) -> None:
    page = (site / "notebooks" / f"{name}.html").read_text("utf-8")
    stored = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
    pictures = sum("image/png" in o.get("data", {}) for cell in stored["cells"] for o in cell.get("outputs", []))
    assert page.count('<img alt="../_images/') == pictures > 0
    assert (site / "notebooks" / f"{name}.ipynb").read_bytes() == (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()


# ------------------------------------------------------------------------------------------ what fails a build


@pytest.fixture(scope="module")
def faulty_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A site of faulty pages, which does not build: its folder, and the lines of its warnings."""
    pages = {
        "index": "# T\n\n```{toctree}\n:glob:\n*\n```",
        "contents": "# T\n\n```{toctree}\nnot-there\n```",
        "link": "# T\n\n[a](no-such.md)",
        "anchor": "# T\n\n[a](index.md#no-such)\n\n[b](#neither)",
        "image": "# T\n\n![a](no-such.png)",
        "lines": "# T\n\n```{literalinclude} no-such.py\n```",
        "formula": "# T\n\nText.\n\n$$\n\\nosuch x\n$$\n",
        "inline": "# T\n\nText, and\n$\\frac{a}$.",
        "equation": "# T\n\n{eq}`no-such`",
        "name": "# T\n\n```{eval-rst}\n.. public:: no.such.name\n```",
        "cell": f"{HEAD}\n# T\n\n```{{code-cell}} ipython3\n1 / 0\n```",
        "good": "# T\n\n[a](index.md), $x$\n\n```{the-code}\n```",
    }
    source = written(tmp_path_factory.mktemp("faulty"), pages)
    done = sphinx(source, source.parent / "faulty-site" / "out", "-W")
    assert done.returncode == 1
    return source.parent / "faulty-site" / "out", done.stderr.splitlines()


@pytest.fixture(scope="module")
def faulty(faulty_site: tuple[Path, list[str]]) -> Callable[[str], list[str]]:
    """faulty(name): the warnings about a page."""
    return lambda name: [line for line in faulty_site[1] if f"{name}.md" in line.split(" ")[0]]


@pytest.mark.parametrize(
    "name, line, words",
    [
        ("link", 3, "cross-reference target not found"),
        ("anchor", 3, "local id not found in doc 'index': 'no-such'"),
        ("anchor", 5, "'neither'"),
        ("contents", 3, "toctree contains reference to non-?existing document 'not-there'"),
        ("image", 3, "image file not readable"),
        ("lines", 3, "not found or reading it failed"),
        ("formula", 5, "mathematics: .nosuch is unknown"),
        ("inline", 3, "of 1 parts"),
        ("equation", 3, "equation not found"),
        ("name", 4, "no public name is defined in no.such.name"),
        ("cell", None, "Executing notebook failed"),
    ],
)
def test_what_fails_a_build_and_where(
    faulty: Callable[[str], list[str]], name: str, line: int | None, words: str
) -> None:
    place = f"{name}.md:{line}:" if line else f"{name}.md"
    assert any(place in each and re.search(words, each) for each in faulty(name)), faulty(name)


@pytest.mark.parametrize("name", ["good", "index"])
def test_what_is_right_is_not_mentioned(faulty: Callable[[str], list[str]], name: str) -> None:
    assert faulty(name) == []


def test_the_code_is_in_the_repository_that_has_an_address(faulty_site: tuple[Path, list[str]]) -> None:
    """And in the archive, as on a site that knows none."""
    page = (faulty_site[0] / "good.html").read_text("utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    assert "git clone https://example.org tinytensor" in text
    assert 'href="https://example.org"' in page and 'href="_downloads/tinytensor.zip"' in page
