"""Mathematics as MathML, which browsers set without a script and without a network.

latex2mathml reads the LaTeX. What it lets pass and a browser would show wrong is an error here, with the file and the
line: an unknown command, a missing argument, an `&` outside of a table. What browsers leave out of MathML is written in
another way: letters of another alphabet as the characters that Unicode has for them, the alignment of columns as style.
The letters are STIX Two Math's, cut down to the characters that formulas have.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)
MATHML = "http://www.w3.org/1998/Math/MathML"
CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "mroot": 2, "msubsup": 3, "munderover": 3}
OPERATORS = {"max", "min", "sup", "inf", "lim", "argmax", "argmin", "arg max", "arg min"}  # their subscripts go below
ACCENTS = {"^": "ˆ", "~": "˜", "―": "‾"}
TABLES = {"aligned": "align*", "align": "align*", "gathered": "gather*", "gather": "gather*", "split": "split"}
UPRIGHT = "&#x000(?:4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]);|&#x003[9A][0-9A-F];"
FONT = "mathematics.woff2"
# Of the font: Latin and Greek, operators, arrows, brackets, and bold, italic, script, double-struck, sans and typewriter letters
CHARACTERS = [
    (0x20, 0x7F), (0xA0, 0xFF), (0x2C6, 0x2DD), (0x370, 0x3FF), (0x2010, 0x2060), (0x20D0, 0x20F0), (0x2100, 0x214F),
    (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2308, 0x230B), (0x239B, 0x23E1), (0x27E6, 0x27EF), (0x2A00, 0x2A10),
    (0x1D400, 0x1D4CF), (0x1D538, 0x1D56B), (0x1D5A0, 0x1D5D3), (0x1D670, 0x1D755), (0x1D7CE, 0x1D7E1),
]  # fmt: skip


class Unreadable(ValueError):
    """LaTeX that would not be shown as it is meant."""


@cache
def mathml(latex: str, display: bool) -> str:
    """The MathML element of a formula. Unreadable says what is wrong with it."""
    if latex.count("{") - latex.count(r"\{") != latex.count("}") - latex.count(r"\}"):
        raise Unreadable("a brace is open or missing")
    try:
        text = convert(_for_the_converter(latex), display="block" if display else "inline")
    except Exception as error:  # the converter has a dozen kinds, without texts
        said = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
        raise Unreadable(f"{said}: {error}" if str(error) else said) from error
    # A single letter of \mathrm comes as a character reference, and so do the capital Greek letters, which TeX sets upright
    text = re.sub(rf"<mi>({UPRIGHT})</mi>", r'<mi mathvariant="normal">\1</mi>', text)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Unreadable("an & stands outside of a table") from error
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{MATHML}}}")
    _check(root)
    _mend(root, display)
    root.set("alttext", latex.strip())
    ElementTree.register_namespace("", MATHML)
    root.set("xmlns", MATHML)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _for_the_converter(latex: str) -> str:
    """The same formula in commands that latex2mathml knows."""
    latex = re.sub(r"\\(begin|end)\{(\w+)\}", lambda m: rf"\{m[1]}{{{TABLES.get(m[2], m[2])}}}", latex)
    if "gather*" in latex:  # lines one below another, each in the middle
        latex = latex.replace("{gather*}", "{matrix}")
    latex = re.sub(r"\\bm(?![a-zA-Z])", r"\\boldsymbol", latex)
    latex = re.sub(r"\\arg\s*\\(max|min)(?![a-zA-Z])", r"\\operatorname*{arg \1}", latex)
    return re.sub(r"\\mathop\{\\(?:mathrm|operatorname)\{(\w+)\}\}", r"\\operatorname*{\1}", latex)


def _check(root: ElementTree.Element) -> None:
    for element in root.iter():
        text = element.text or ""
        if element.tag != "mtext" and (unknown := re.search(r"\\[A-Za-z]+|\\.", text)):
            raise Unreadable(f"{unknown[0]} is unknown")
        if element.tag != "mtext" and text in ("&", "{", "}") and element.tag == "mi":
            raise Unreadable("an & stands outside of a table" if text == "&" else f"a {text} too many")
        if element.tag == "mtext" and "$" in text:
            raise Unreadable(r"$ inside of \text: end the \text before it")
        if len(element) != CHILDREN.get(element.tag, len(element)):
            raise Unreadable(f"<{element.tag}> of {len(element)} parts, where it takes {CHILDREN[element.tag]}")
        if element.tag == "menclose":
            raise Unreadable(r"browsers do not draw \boxed and \cancel")
        if element.tag == "mspace" and element.get("linebreak"):
            raise Unreadable(r"a \\ stands outside of a table: use aligned")
        if re.fullmatch(r"\(\d+\)", text) and element.tag == "mtext":
            raise Unreadable(r"\tag: write a label behind the $$, as $$ (name), and {eq}`name` for its number")


# ------------------------------------------------------------------------------------------ for browsers


def _mend(element: ElementTree.Element, display: bool) -> None:
    """Write what browsers leave out in another way, from the innermost elements to the outermost."""
    for child in list(element):
        _mend(child, display)
    _join_letters(element)
    variant = element.get("mathvariant")
    if (
        variant
        and element.tag in ("mi", "mn", "mtext", "mo")
        and not (variant == "normal" and len(element.text or "") == 1)
    ):
        del element.attrib["mathvariant"]
        element.text = "".join(_letter(character, variant) for character in element.text or "")
    if (
        element.tag in ("mover", "munder")
        and element[1].tag == "mo"
        and element[1].text in {*ACCENTS, "¯", "→", "˙", "¨", "ˉ"}
    ):
        element[1].text = ACCENTS.get(element[1].text or "", element[1].text)
        wide = element[1].text == "‾" or (len(element[0]) > 1 and element[1].text in "ˆ˜→")
        element.set("accent" if element.tag == "mover" else "accentunder", "true")
        element[1].attrib = {"stretchy": "true" if wide else "false"}
    if element.tag == "mo" and len(element) == 0 and (element.text or " ") in "⊤⊥∂∇∞":
        element.tag = "mi"  # they are no operators: nothing keeps a distance from them
        element.set("mathvariant", "normal")
    if element.tag == "mi" and (element.text or " ") in "⌊⌋⌈⌉⟨⟩":
        element.tag = "mo"
        element.attrib = {"stretchy": "false", "form": "prefix" if element.text in "⌊⌈⟨" else "postfix"}
    if element.tag == "mo" and element.text == "/":
        element.attrib.update(lspace="0", rspace="0")
    for i, child in enumerate(element):
        if child.tag == "mo" and child.text in ("-", "−", "+") and len(element) > i + 1 and _unary(element, i):
            child.attrib.update(form="prefix", lspace="0", rspace="0")
    if element.tag == "mo" and element.text == "-":
        element.text = "−"
    if element.tag == "mi" and element.text == "~":
        element.tag, element.text = "mo", "∼"
    if element.tag == "mspace" and element.get("width") == "negativethinmathspace":
        element.set("width", "-0.167em")
    if element.tag == "mtable":
        _align(element)
    _operators(element, display)


def _join_letters(element: ElementTree.Element) -> None:
    """The upright letters of a word, one by one, become one element."""
    word: ElementTree.Element | None = None
    for child in list(element):
        variant = child.get("mathvariant")
        if child.tag == "mi" and variant and variant != "bold-italic" and len(child.text or "") == 1:
            if word is not None and word.get("mathvariant") == variant:
                word.text = (word.text or "") + (child.text or "")
                element.remove(child)
                continue
            word = child
        else:
            word = None


def _letter(character: str, variant: str) -> str:
    """The character of another alphabet, as Unicode has it: a bold x is 𝐱."""
    if variant == "normal":
        return character
    try:
        name = unicodedata.name(character)
        name = re.sub(r"^(?:LATIN|GREEK) (CAPITAL|SMALL) LETTER ", r"\1 ", name)
        return unicodedata.lookup(f"MATHEMATICAL {variant.upper().replace('BOLD-ITALIC', 'BOLD ITALIC')} {name}")
    except (KeyError, ValueError):
        return character


def _align(table: ElementTree.Element) -> None:
    """Columns to the left or right, and how far apart: as style, which browsers read where they leave the attributes."""
    together = table.get("columnspacing", "").startswith("0em")
    lines = [line == "solid" for line in table.get("columnlines", "").split()]
    for name in ("columnspacing", "rowspacing", "columnlines"):
        table.attrib.pop(name, None)
    below = table.attrib.pop("rowlines", "").split()
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            side = cell.attrib.pop("columnalign", "center")
            style = (
                [f"text-align:{side};text-align:-webkit-{side}"] if side != "center" else []
            )  # Chromium wants the second
            if together:
                style.append("padding-right:0" if j % 2 == 0 else "padding-left:0")
            if j < len(lines) and lines[j]:
                style.append("border-right:1px solid")
            if i < len(below) and below[i] == "solid":
                style.append("border-bottom:1px solid")
            if style:
                cell.set("style", ";".join(style))


def _unary(element: ElementTree.Element, i: int) -> bool:
    """Whether a sign belongs to what follows: it comes first, or after another operator that is no closing bracket."""
    if element.tag not in ("mrow", "math", "mtd", "mstyle"):
        return False
    before = next((child for child in reversed(element[:i]) if child.tag != "mspace"), None)
    if before is None:
        return True
    if before.tag == "mi" and not before.text:  # an empty one stands where a row of an alignment begins
        return i == 1
    return before.tag == "mo" and (before.text or "") not in (")", "]", "}", "|", "‖", "!", "⌋", "⌉", "⟩", "…")


def _operators(element: ElementTree.Element, display: bool) -> None:
    """Names of functions stand apart from what is beside them, unless a bracket follows; limits go below max."""
    children = list(element)
    if element.tag == "msub" and display and (children[0].text or "") in OPERATORS and children[0].tag in ("mo", "mi"):
        element.tag = "munder"
    for i, child in reversed(list(enumerate(children))):
        base = child[0] if child.tag in ("msub", "msup", "munder") and len(child) else child
        text = base.text or ""
        if (
            base.tag not in ("mo", "mi")
            or not re.fullmatch(r"[A-Za-z][A-Za-z ]+", text.strip())
            or base.get("mathvariant")
        ):
            continue
        base.tag, base.attrib = "mi", {}
        if element.tag not in ("mrow", "math", "mtd", "mstyle"):
            continue
        following = children[i + 1] if i + 1 < len(children) else None
        if following is not None and following.tag not in ("mo", "mspace") and not _opens(following):
            element.insert(i + 1, ElementTree.Element("mspace", {"width": "0.167em"}))
        if i and children[i - 1].tag in ("mi", "mn", "msub", "msup", "mrow", "mfrac"):
            element.insert(i, ElementTree.Element("mspace", {"width": "0.167em"}))


def _opens(element: ElementTree.Element) -> bool:
    return element.tag == "mrow" and len(element) > 0 and element[0].tag == "mo" and (element[0].text or "") in "([{"


# ------------------------------------------------------------------------------------------ in pages


def _written(self: Any, node: nodes.Element, display: bool) -> str:
    try:
        return mathml(node.astext(), display)
    except Unreadable as error:
        place: Any = node
        while place is not None and place.line is None:
            place = place.parent
        where = (place.source, place.line) if place is not None else self.builder.current_docname
        where = f"{where[0]}:{where[1]}" if isinstance(where, tuple) else where
        LOGGER.warning("mathematics: %s: %s", error, " ".join(node.astext().split()), location=where, type="mathml")
        return f"<code>{self.encode(node.astext())}</code>"


def inline(self: Any, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{_written(self, node, False)}</span>')
    raise nodes.SkipNode


def display(self: Any, node: nodes.math_block) -> None:
    """A formula in a line of its own; wider than the page it scrolls by itself. A numbered one has its number at the right."""
    self.body.append('<div class="math">' + _written(self, node, True))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})</span>')
    self.body.append("</div>")
    raise nodes.SkipNode


# ------------------------------------------------------------------------------------------ the font


def write_font(app: Sphinx) -> None:
    """The font of formulas, with the characters that formulas have: one file beside the style sheet."""
    if app.builder.format != "html":
        return
    kept = Path(app.doctreedir) / FONT
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(font())
    target = Path(app.outdir) / "_static" / FONT
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(kept.read_bytes())


def font() -> bytes:
    """STIX Two Math (SIL Open Font License, which its name table carries), without what no formula here needs."""
    import io

    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(
        flavor="woff2", layout_features=["ssty", "dtls"], name_IDs=["*"], hinting=False, notdef_outline=True
    )
    spec = importlib.util.find_spec("ziamath")  # its file is read, the package is not imported
    assert spec is not None and spec.origin is not None
    whole = TTFont(Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf")
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for first, last in CHARACTERS for c in range(first, last + 1)])
    subsetter.subset(whole)
    whole.flavor = "woff2"
    whole.save(written := io.BytesIO())
    return written.getvalue()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.connect("builder-inited", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
