"""A chapter as a notebook that opens anywhere: what is MyST's in its text becomes plain Markdown, and its links too.

It has the chapter's cells; the engine's lines that the page includes stand in it as text. Before them it says which page
it is, and has a cell that installs the engine, or says how.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from chapters import DIRECTIVE, FOLDER, LABORATORY, NOTEBOOKS, included
from checkout import ROOT
from sphinx.application import Sphinx

CODE_PAGE = "get-the-code.html"
LINK = re.compile(
    r"(?P<kept>(?P<fence>`{3,}|\$\$).*?(?P=fence)|`[^`]*`|\$(?:[^$\n]|\n(?!\n))*\$)"  # code and formulas
    r"|(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!\w+:)(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Origin:
    """Where a notebook is downloaded from, as far as it is known: the site, its wheel, the files of the repository."""

    site: str = ""  # with a slash at its end, as those below
    wheel: str = ""
    files: str = ""


def notebook(path: Path, origin: Origin) -> nbformat.NotebookNode:
    made = jupytext.reads(path.read_text("utf-8"), fmt="md:myst")
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = for_jupyter(path, cell.source, origin)
    first = nbformat.v4.new_code_cell(install(origin), metadata={"tags": ["install"]})
    made.cells[:0] = [nbformat.v4.new_markdown_cell(about(path, origin)), first]
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for i, cell in enumerate(made.cells):
        cell["id"] = f"cell-{i}"  # the same in each build
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return made


def about(path: Path, origin: Origin) -> str:
    """Which page the notebook is, and where the code is."""
    page = f"chapters/{path.stem}.html"
    if origin.site:
        return (
            f"*This notebook is [a chapter]({origin.site}{page}) of the site of tinytensor. "
            f"The code: [how to get it]({origin.site}{CODE_PAGE}).*"
        )
    return (
        f"*This notebook is the page `{page}` of the site of tinytensor. Other pages of it are named in brackets. "
        f"`{CODE_PAGE}` says how to get the code.*"
    )


def install(origin: Origin) -> str:
    """The first cell of code: it installs the wheel beside the site where the package is missing, or says how."""
    if not (origin.site and origin.wheel):
        return (
            "# If this fails: run `pip install .` in the folder of the code, in the environment of this notebook.\n"
            "import tinytensor"
        )
    return (
        "import importlib.util\n\n# In Colab, and wherever tinytensor is not installed\n"
        "if importlib.util.find_spec('tinytensor') is None:\n"
        f"    %pip install --quiet {origin.site}{LABORATORY}/{origin.wheel}"
    )


# ------------------------------------------------------------------------------------------ text


def for_jupyter(path: Path, text: str, origin: Origin) -> str:
    """MyST's directives, roles and links in the Markdown that Jupyter shows."""
    while match := DIRECTIVE.search(text):
        text = text[: match.start()] + _plain(path, match) + text[match.end() :]
    text = re.sub(r"^\$\$(.*?)\$\$ \(([\w-]+)\)$", r"$$\1\\tag{\2}$$", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\{(eq|ref|numref)\}`([^`]+)`", r"(\2)", text)
    text = re.sub(r"\{[\w:]+\}`([^`<]+?)(?: <[^`]*>)?`", r"`\1`", text)
    return LINK.sub(lambda match: match["kept"] or _link(path, match, origin), text)


def _plain(path: Path, match: re.Match[str]) -> str:
    name, argument, body = match["name"], match["argument"].strip(), match["body"]
    if name == "literalinclude":
        shown = included(path, argument, body)
        return f"`{argument.removeprefix('../../')}`\n\n```python\n{shown}\n```"
    content = "\n".join(line for line in body.splitlines() if not re.match(r":[\w-]+:", line)).strip()
    if "dropdown" in body:
        return f"<details><summary>{argument}</summary>\n\n{content}\n\n</details>"
    if name in ("admonition", "note", "tip", "warning", "important", "seealso"):
        head = argument if name == "admonition" else name.capitalize()
        return "\n".join(f"> {line}".rstrip() for line in [f"**{head}**", "", *content.splitlines()])
    if name == "math":
        return f"$$\n{content}\n$$"
    if name in ("figure", "image"):
        return f"![{content}]({argument})"
    return f"```{argument if name == 'code-block' else 'text'}\n{content}\n```"


def _link(path: Path, match: re.Match[str], origin: Origin) -> str:
    """A link of a chapter, absolute where the site has an address; else its text, and which page or file is meant."""
    text, (target, mark, query) = match["text"], match["target"].partition("?")
    anchor = mark + query + (match["anchor"] or "")
    inside = (path.parent / target).resolve() if target else path
    name = inside.relative_to(ROOT).as_posix()
    if inside.suffix in (".md", ".rst") and inside.is_relative_to(ROOT / "docs"):
        page = f"{name.removeprefix('docs/').removesuffix(inside.suffix)}.html"
    elif target.endswith(".html"):  # the laboratory
        page = name.removeprefix("docs/")
    elif origin.files:
        return f"[{text}]({origin.files}{name}{anchor})"
    elif origin.site:
        page = f"source/{name}/index.html" if inside.is_dir() else f"source/{name}.html"
    else:
        return text if text.strip("`/") == name else f"{text} (`{name}`)"
    return f"[{text}]({origin.site}{page}{anchor})" if origin.site else f"{text} (`{page}`)"


# ------------------------------------------------------------------------------------------ files beside the pages


def finish(app: Sphinx, error: Exception | None) -> None:
    """The notebooks of the chapters, of which the first cell installs the laboratory's wheel, and those of notebooks/."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    site, repository = app.config.html_baseurl, app.config.repository_url
    origin = Origin(
        f"{site.rstrip('/')}/" if site else "",
        next((path.name for path in (out / LABORATORY).glob("*.whl")), ""),
        f"{repository}/blob/{app.config.repository_branch}/" if repository else "",
    )
    (out / NOTEBOOKS).mkdir(exist_ok=True)
    for path in sorted(FOLDER.glob("[0-9][0-9]-*.md")):
        (out / NOTEBOOKS / f"{path.stem}.ipynb").write_text(nbformat.writes(notebook(path, origin)), "utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (out / NOTEBOOKS / path.name).write_bytes(path.read_bytes())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", finish, priority=600)  # after the laboratory
    return {"parallel_read_safe": True, "parallel_write_safe": True}
