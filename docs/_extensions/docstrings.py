"""Docstrings of this project, which are plain text with formulas, as reStructuredText that Sphinx sets well.

A docstring is paragraphs. Code stands in backticks; indented lines are formulas, kept as they are; `>>>` begins an
example; a paragraph of `name: what it is` explains parameters. Everything else is text, and every character of it is
shown as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

CODE = re.compile(r"``(.+?)``|`([^`]+)`")
BULLET = re.compile(r"[*-] ")
COLUMNS = re.compile(r"\S {3,}\S")
PATH = re.compile(r"(?<![\w/.`])((?:tinytensor|gpt|docs|tests|examples|benchmarks|runs|reference_torch)/[\w./-]*[\w/])")
SHORT = 80  # a line of running text that is shorter, although the next word would fit, ends on purpose

Link = Callable[[str], str | None]  # of a name in backticks, or of a path: the markup that links it, if it is known


def as_rst(docstring: str, parameters: frozenset[str] = frozenset(), link: Link = lambda text: None) -> list[str]:
    """The lines of reStructuredText of a docstring whose indentation is cleaned."""
    lines: list[str] = []
    for block in _blocks(docstring.splitlines()):
        lines += [*_block(block, parameters, link), ""]
    return lines


def first_sentence(docstring: str, link: Link = lambda text: None) -> str:
    """The first line of a docstring, up to its first full stop, as inline markup."""
    row = (_joined([line.strip() for line in docstring.split("\n\n", 1)[0].splitlines()]) or [""])[0]
    return inline(re.split(r"(?<=[.!?]) (?=[A-Z(])", row, maxsplit=1)[0], link)


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines between empty ones; an example and a formula also end where the indentation changes back."""
    block: list[str] = []
    for line in lines:
        same_kind = not block or _verbatim(block[0]) == _verbatim(line) or block[0].lstrip().startswith(">>>")
        if BULLET.match(block[0].lstrip() if block else ""):
            same_kind = True
        if not line.strip() or not same_kind:
            if block:
                yield block
            block = []
        if line.strip():
            block.append(line)
    if block:
        yield block


def _verbatim(line: str) -> bool:
    return line.startswith("  ") or line.startswith(">>>")


def _block(block: list[str], parameters: frozenset[str], link: Link) -> list[str]:
    first = block[0].strip()
    if first.startswith(">>>"):
        return _literal(block, "pycon")
    if BULLET.match(first):
        return _bullets(block, link)
    if all(line.startswith("  ") for line in block):
        return _literal(block, "text")
    if all(line.startswith(("python ", "mpiexec ")) for line in block):
        return _literal(block, "sh" if any("#" in line for line in block) else "text")
    if any(COLUMNS.search(line) for line in block):
        return _literal(block, "text")
    return _paragraph(block, parameters, link)


def _literal(block: list[str], language: str) -> list[str]:
    indent = min(len(line) - len(line.lstrip()) for line in block)
    return [f".. code-block:: {language}", "", *(f"   {line[indent:]}" for line in block)]


def _bullets(block: list[str], link: Link) -> list[str]:
    items: list[str] = []
    for line in block:
        if BULLET.match(line.lstrip()):
            items.append(line.strip()[2:])
        else:
            items[-1] += f" {line.strip()}"
    return [f"* {_safe_start(inline(item, link))}" for item in items]


def _paragraph(block: list[str], parameters: frozenset[str], link: Link) -> list[str]:
    """Text as one line; from a line `parameter: …` on, a field for each parameter."""
    text: list[str] = []
    fields: list[list[str]] = []
    for line in block:
        names, colon, rest = line.partition(": ")
        if colon and all(name in parameters for name in re.split(r", | and ", names)):
            fields.append([names, rest.strip()])
        elif fields:
            fields[-1][1] += f" {line.strip()}"
        else:
            text.append(line.strip())
    rows = _joined(text)
    if len(rows) > 1:  # a line that ends early ends on purpose
        lines = [*(f"| {inline(row, link)}" for row in rows), ""]
    else:
        lines = [_safe_start(inline(row, link)) for row in rows] + [""]
    each = [pair for names, what in fields for pair in _fields(names, what, parameters)]
    return lines + [f":param {names}: {inline(what, link)}" for names, what in each]


def _fields(names: str, text: str, parameters: frozenset[str]) -> Iterator[tuple[str, str]]:
    """A parameter with its text, and those that begin within the text: `of one. other: of the other`."""
    first, *others = re.split(rf"(?<=[.;]) ({'|'.join(map(re.escape, parameters))}): ", text)
    for name, what in [(names, first), *zip(others[::2], others[1::2], strict=True)]:
        yield name, re.sub(";$", ".", what)


def _joined(lines: list[str]) -> list[str]:
    """The lines as running text, but for those that end although the next word would have fitted."""
    rows: list[str] = []
    for i, line in enumerate(lines):
        fitted = i > 0 and len(lines[i - 1]) + 1 + len(line.split(" ", 1)[0]) < SHORT
        if rows and not fitted:
            rows[-1] += f" {line}"
        else:
            rows.append(line)
    return rows


def inline(text: str, link: Link = lambda text: None) -> str:
    """Text with code in backticks as inline markup: names that are known are links, all other characters themselves."""
    parts, end = [], 0
    for match in CODE.finditer(text):
        code = (match[1] or match[2]).strip()
        parts += [_paths(text[end : match.start()], link), _separated(text, match, link(code) or f"``{code}``")]
        end = match.end()
    return "".join([*parts, _paths(text[end:], link)])


def _separated(text: str, match: re.Match[str], markup: str) -> str:
    """Inline markup has to stand apart from the letters beside it: with an escaped space, which is not shown."""
    before = "\\ " if match.start() and not text[match.start() - 1].isspace() else ""
    after = "\\ " if match.end() < len(text) and not text[match.end()].isspace() else ""
    return f"{before}{markup}{after}"


def _paths(text: str, link: Link) -> str:
    """Escaped text in which the paths of files are links."""
    parts, end = [], 0
    for match in PATH.finditer(text):
        if markup := link(match[1]):
            parts += [_escaped(text[end : match.start()]), _separated(text, match, markup)]
            end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_|`\[\]])", r"\\\1", text).replace("::", ":\\:")


def _safe_start(line: str) -> str:
    """The line, kept from being read as a list, a field, a directive or a heading."""
    return line if re.match(r"[A-Za-z`](?![.)] )", line) else f"\\ {line}"
