"""Formulas: what the site writes for a browser, and which LaTeX is refused with which words."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest.importorskip("latex2mathml", reason="no latex2mathml: pip install -e '.[docs]'")
pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")

from mathml import Unreadable, font, mathml

M = "{http://www.w3.org/1998/Math/MathML}"


def tree(latex: str, display: bool = True) -> ElementTree.Element:
    return ElementTree.fromstring(mathml(latex, display))


def texts(latex: str, tag: str, display: bool = True) -> list[str]:
    return [element.text or "" for element in tree(latex, display).iter(M + tag)]


@pytest.mark.parametrize("environment", ["aligned", "align", "align*", "split"])
def test_an_alignment_is_a_table_whose_columns_meet(environment: str) -> None:
    table = tree(rf"\begin{{{environment}}} a + b &= c \\ d &= e \end{{{environment}}}").find(f".//{M}mtable")
    rows = table.findall(f"{M}mtr")
    assert [len(row) for row in rows] == [2, 2]
    assert [cell.get("style") for cell in rows[0]] == [
        "text-align:right;text-align:-webkit-right;padding-right:0",
        "text-align:left;text-align:-webkit-left;padding-left:0",
    ]


@pytest.mark.parametrize(
    "latex, tag, expected",
    [
        (r"\mathbf{W}\boldsymbol{\theta}\bm{x}", "mi", ["𝐖", "𝜽", "𝒙"]),
        (r"\mathbb{1}", "mn", ["𝟙"]),
        (r"\mathbf{0}", "mn", ["𝟎"]),
        (r"\mathcal{L}", "mi", ["ℒ"]),
        (r"\mathrm{Attention}", "mi", ["Attention"]),
        (r"\operatorname{softmax}(x)", "mi", ["softmax", "x"]),
        (r"W^\top \odot x", "mo", ["⊙"]),
        (r"\lfloor x \rfloor", "mo", ["⌊", "⌋"]),
        (r"a - b", "mo", ["−"]),
        (r"\hat{x}", "mo", ["ˆ"]),
        (r"\frac{a}{b}", "mi", ["a", "b"]),
    ],
)  # fmt: skip
def test_letters_and_signs(latex: str, tag: str, expected: list[str]) -> None:
    assert texts(latex, tag) == expected


def test_upright_letters() -> None:
    upright = [e.text for e in tree(r"\mathrm{d}x \Sigma").iter(M + "mi") if e.get("mathvariant") == "normal"]
    assert upright == ["d", "Σ"]


def test_limits_stand_below_in_a_line_of_its_own_and_beside_in_text() -> None:
    assert tree(r"\max_i x_i").find(f".//{M}munder") is not None
    assert tree(r"\max_i x_i", display=False).find(f".//{M}munder") is None
    assert tree(r"\sum_{i=1}^n x_i").find(f".//{M}munderover") is not None
    assert texts(r"\arg\max_i x_i", "mi")[0].replace(" ", "") == "argmax"


def test_a_name_stands_apart_but_for_a_bracket() -> None:
    assert tree(r"\log x").find(f".//{M}mspace") is not None
    assert tree(r"\log(x)").find(f".//{M}mspace") is None


def test_signs_before_a_number_and_between_two() -> None:
    def forms(latex: str) -> list[str | None]:
        return [e.get("form") for e in tree(latex).iter(M + "mo") if e.text == "−"]

    assert forms(r"-x") == forms(r"y = -x") == forms(r"\frac{-x}{y}") == ["prefix"]
    assert forms(r"y - x") == forms(r"(y) - x") == [None]


def test_cases_matrices_and_rules() -> None:
    cases = tree(r"\begin{cases} x & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}")
    assert [cell.get("style") for cell in cases.iter(M + "mtd")] == ["text-align:left;text-align:-webkit-left"] * 4
    assert texts(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "mo") == ["(", ")"]
    ruled = tree(r"\begin{array}{c|c} a & b \\ \hline c & d \end{array}")
    assert "border-right" in ruled.find(f".//{M}mtd").get("style")


@pytest.mark.parametrize(
    "latex, word",
    [
        (r"\nosuch x", r"\\nosuch is unknown"),
        (r"\frac{a}", "of 1 parts"),
        (r"a & b", "& stands outside"),
        (r"a \\ b", "use aligned"),
        (r"a {b", "brace"),
        (r"a} b", "brace"),
        (r"x_", "missing super script or subscript"),
        (r"\left( a", "left"),
        (r"\boxed{x}", "browsers"),
        (r"a \tag{3}", "label"),
        (r"\begin{aligned} a", "missing end"),
        (r"\text{a $x$}", "end the"),
    ],
)
def test_what_would_be_shown_wrong_is_refused(latex: str, word: str) -> None:
    with pytest.raises(Unreadable, match=word):
        mathml(latex, True)


def test_the_formula_is_readable_aloud() -> None:
    assert tree(r"x^2").get("alttext") == "x^2"


def test_the_font_has_sizes_of_brackets_and_its_licence() -> None:
    import io

    from fontTools.ttLib import TTFont

    content = font()
    made = TTFont(io.BytesIO(content))
    characters = set(map(chr, made.getBestCmap()))
    assert set("xΣ∑√(⎛𝐖𝜽𝟙ℒ⊙⊤∂∞⌊ˆ⏟") <= characters
    assert made["MATH"].table.MathVariants.VertGlyphConstruction
    assert "SIL Open Font License" in made["name"].getDebugName(13)
    assert len(content) < 250_000
