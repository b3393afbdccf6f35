"""The site as a person meets it: in a browser without other hosts, wide and narrow, light and dark, by mouse and by keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from site_build import ROOT, sphinx, written
from static_server import serving

FIRST = min((ROOT / "docs" / "chapters").glob("*.md"), default=Path("none")).stem
PAGES = {
    "landing": "index.html",
    "chapter": f"chapters/{FIRST}.html",
    "reference": "api/functional.html",
    "tensor": "api/tensor.html",
    "document": "proof.html",
    "notebook": "notebooks/guide.html",
    "exercises": "exercises.html",
    "museum": "museum.html",
    "laboratory": "laboratory.html",
    "file": "source/tinytensor/tape.py.html",
    "folder": "source/tinytensor/ops/index.html",
    "search": "search.html",
}
each_page = pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_shown_without_other_hosts_and_errors(
    show: Callable[..., Any], path: str, width: int, scheme: str
) -> None:
    shown = show(width, color_scheme=scheme)
    page = shown.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # what is wider scrolls by itself
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(float, background[background.index("(") + 1 : -1].split(",")[:3])) / 3
    assert (brightness > 200) is (scheme == "light")
    assert page.locator("h1").count() == 1
    shown.check()


SEEN = ["landing", "chapter", "reference", "document", "exercises", "museum", "laboratory", "file", "folder"]


@pytest.mark.parametrize(
    "name, scheme, width",
    [(name, scheme, 1440) for name in SEEN for scheme in ("light", "dark")]
    + [("chapter", "light", 390), ("exercises", "dark", 390)],
)
def test_axe_finds_nothing(show: Callable[..., Any], name: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    shown = show(width, color_scheme=scheme)
    page = shown.open(PAGES[name])
    for summary in page.locator("details > summary").all():
        summary.click()
    results = axe.Axe().run(page, options={"resultTypes": ["violations"]})
    assert results.violations_count == 0, results.generate_report()


def test_the_search_finds_a_name_and_a_question(show: Callable[..., Any]) -> None:
    """A name as it is typed comes first; a question leads to a chapter."""
    for query, first in {"Tensor.backward": "Tensor.backward", "why is the mask -inf": "Attention"}.items():
        shown = show()
        page = shown.open("index.html")
        box = page.locator(".sidebar-search")
        box.fill(query)
        box.press("Enter")
        page.wait_for_selector("#search-results li")
        page.wait_for_function(
            "document.querySelector('#search-results .search-summary').textContent.includes('found')"
        )
        assert first in page.locator("#search-results li a").first.inner_text()
        shown.check()


def test_the_search_needs_no_server(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=softmax")
    page.wait_for_selector("#search-results li")
    page.close()


def test_theme_and_menu_by_keyboard(show: Callable[..., Any]) -> None:
    shown = show(1440, color_scheme="light")
    page = shown.open("index.html")
    page.locator(".content-icon-container .theme-toggle").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.body.dataset.theme") in ("light", "dark")
    page.keyboard.press("Enter")
    page.reload()
    assert page.evaluate("localStorage.getItem('theme')") == page.evaluate("document.body.dataset.theme")
    shown.check()


def test_the_sidebars_open_by_keyboard_on_a_phone(show: Callable[..., Any]) -> None:
    """What is out of sight has no focus: from the first link to the text in five steps, unless a sidebar is open."""
    page = show(390).open(PAGES["chapter"])
    focus = "document.activeElement"

    def steps(count: int) -> list[str]:
        found = []
        for _ in range(count):
            page.keyboard.press("Tab")
            found.append(page.evaluate(f"{focus}.ariaLabel || {focus}.textContent.trim()"))
        return found

    assert steps(3)[1] == "All pages"
    assert steps(3)[1:] == ["This page", "Open in the laboratory"]
    for name, sidebar in (("All pages", ".sidebar-drawer"), ("This page", ".toc-drawer")):
        button = page.get_by_role("button", name=name).first
        for key in ("Enter", " "):
            button.focus()
            page.keyboard.press(key)
            assert button.get_attribute("aria-expanded") == "true"
            assert page.evaluate(f"{focus}.closest('{sidebar}') !== null")
            page.keyboard.press("Escape")
            assert button.get_attribute("aria-expanded") == "false"
            assert page.evaluate(f"{focus}.ariaLabel") == name
            page.wait_for_function(f"getComputedStyle(document.querySelector('{sidebar}')).visibility == 'hidden'")


def test_wide_code_fades_out_until_its_end_and_tables_of_a_phone_need_no_scrolling(show: Callable[..., Any]) -> None:
    shown = show(390)
    page = shown.open(PAGES["chapter"])
    code = page.locator("article pre.wide").first
    mask = "element => getComputedStyle(element).maskImage"
    assert "gradient" in code.evaluate(mask)
    code.evaluate("element => { element.scrollLeft = element.scrollWidth }")
    page.wait_for_function("element => element.classList.contains('at-end')", arg=code.element_handle())
    assert code.evaluate(mask) == "none"
    for name in ("exercises", "museum"):
        table = shown.open(PAGES[name]).locator("article .table-wrapper").nth(1)
        assert table.locator("tr").count() > 20
        assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    shown.check()


def test_an_answer_opens_by_keyboard(show: Callable[..., Any]) -> None:
    page = show().open(PAGES["chapter"])
    summary = page.locator("details.dropdown > summary").first
    answer = page.locator("details.dropdown").first
    assert answer.get_attribute("open") is None
    assert not answer.locator("p").first.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert answer.locator("p").first.is_visible()


def test_the_ways_in_lead_where_they_say(show: Callable[..., Any]) -> None:
    page = show().open("index.html")
    assert page.locator(".way a").first.get_attribute("href") == "chapters/01-tensors.html"
    assert page.locator(".way a").nth(1).get_attribute("href") == "lab/index.html"
    boxes = [box.bounding_box() for box in page.locator(".way").all()]
    assert len({box["y"] for box in boxes}) == 1 and len({round(box["height"]) for box in boxes}) == 1
    narrow = show(390).open("index.html")
    assert len({box.bounding_box()["x"] for box in narrow.locator(".way").all()}) == 1


# ------------------------------------------------------------------------------------------ mathematics


def formula(show: Callable[..., Any], latex: str, width: int = 800) -> Any:
    """A page of the site with one formula in place of its text."""
    from mathml import mathml

    page = show(width).open("index.html")
    page.evaluate(
        "html => document.querySelector('article').innerHTML = html", f'<div class="math">{mathml(latex, True)}</div>'
    )
    page.evaluate("document.fonts.load('16px Mathematics', 'x∑')")
    page.evaluate("document.fonts.ready")
    return page


def boxes(page: Any, selector: str) -> list[dict[str, float]]:
    return [each.bounding_box() for each in page.locator(selector).all()]


def test_the_font_of_formulas_is_there(show: Callable[..., Any]) -> None:
    page = formula(show, r"\sum_i x_i")
    assert page.evaluate("document.fonts.check('16px Mathematics', 'x∑')")
    assert page.evaluate("getComputedStyle(document.querySelector('math')).fontFamily").startswith("Mathematics")


def test_the_equals_signs_of_an_alignment_stand_below_each_other(show: Callable[..., Any]) -> None:
    page = formula(show, r"\begin{aligned} a + b + c &= d \\ e &= f + g + h \end{aligned}")
    first, second = boxes(page, "mtr > mtd:nth-child(2) > mo:nth-of-type(1)")
    assert first["x"] == pytest.approx(second["x"], abs=0.5)
    assert second["y"] > first["y"] + 10
    left = boxes(page, "mtr > mtd:first-child > mi:last-child")
    assert left[0]["x"] + left[0]["width"] == pytest.approx(left[1]["x"] + left[1]["width"], abs=1)
    # The letters do not have the side of their cell: WebKit would shift each of them (tests/lab/other_browsers.py sees it)
    aligned = "all => [...new Set(all.map(each => getComputedStyle(each).textAlign))]"
    assert page.locator("mtd > *").evaluate_all(aligned) == ["start"]


def test_brackets_grow_and_limits_stand_below(show: Callable[..., Any]) -> None:
    page = formula(
        show,
        r"f \left( \frac{a}{\frac{b}{c}} \right) \sum_{i=1}^{n} x \begin{cases} 1 & 2 \\ 3 & 4 \\ 5 & 6 \end{cases}",
    )
    letter = boxes(page, "math mi")[0]
    fraction = boxes(page, "mfrac")[0]
    bracket = boxes(page, "mo[form=prefix]")[0]
    assert bracket["height"] >= 0.9 * fraction["height"] > 1.5 * letter["height"]
    total, (below,) = boxes(page, "munderover > mo")[0], boxes(page, "munderover > mrow:nth-child(2)")
    assert below["y"] >= total["y"] + 0.6 * total["height"]
    rows = boxes(page, "mtr")
    brace = page.locator("mo", has_text="{").first.bounding_box()
    assert brace["height"] >= 0.8 * (rows[-1]["y"] + rows[-1]["height"] - rows[0]["y"])


def test_a_wide_formula_scrolls_by_itself(show: Callable[..., Any]) -> None:
    page = formula(show, " + ".join(f"x_{{{i}}}" for i in range(60)), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("(m => m.scrollWidth > m.clientWidth)(document.querySelector('div.math'))")
    assert boxes(page, "math mi")[0]["x"] >= 0  # its beginning is in sight


def test_no_formula_in_a_text_is_cut_off(show: Callable[..., Any], site: Path) -> None:
    """On a phone, in every chapter: a formula ends in sight, or it scrolls."""
    code = """[...document.querySelectorAll("article span.math")]
        .filter(each => !each.closest("details:not([open])") && !each.classList.contains("wide"))
        .map(each => each.getBoundingClientRect().right).filter(right => right > innerWidth)"""
    shown, formulas = show(390), 0
    for path in sorted((site / "chapters").glob("*.html")):
        page = shown.open(f"chapters/{path.name}")
        assert page.evaluate(code) == [], path.name
        formulas += page.locator("article span.math").count()
    assert formulas > 100


def test_a_wide_formula_in_a_text_scrolls(show: Callable[..., Any]) -> None:
    from mathml import mathml

    page = show(390).open("index.html")
    inline = mathml(" + ".join(f"x_{{{i}}}" for i in range(60)), False)
    page.evaluate(
        "html => document.querySelector('article').innerHTML = html", f'<p>a <span class="math">{inline}</span> b</p>'
    )
    page.evaluate("dispatchEvent(new Event('resize'))")
    assert page.locator("span.math.wide").get_attribute("tabindex") == "0"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_numbered_formulas(show: Callable[..., Any], tmp_path: Path) -> None:
    """Wide and narrow: the number stands beside its formula, in sight, and a link leads to it."""
    (tmp_path / "source").mkdir()
    long = " + ".join(f"x_{{{i}}}" for i in range(60))
    text = f"# T\n\n$$\nx = y\n$$ (short)\n\n$$\n{long}\n$$ (long)\n\nBy {{eq}}`short` and {{eq}}`long`."
    done = sphinx(written(tmp_path / "source", {"index": text}), tmp_path / "site")
    assert done.returncode == 0 and "index.md" not in done.stderr
    with serving(tmp_path / "site") as address:
        for width in (1440, 390):
            shown = show(width, at=address.rstrip("/"))
            page = shown.open("index.html")
            assert page.locator(".eqno").all_inner_texts() == ["(1)", "(2)"]
            for number, formula in zip(boxes(page, ".eqno"), boxes(page, ".math:has(.eqno) math"), strict=True):
                assert formula["x"] + formula["width"] - 1 < number["x"]
                middle = formula["y"] + formula["height"] / 2
                assert abs(number["y"] + number["height"] / 2 - middle) < formula["height"]
            assert boxes(page, ".eqno")[0]["x"] < width - 20  # the second scrolls
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            links = page.locator("article p a.reference").all()
            assert [link.inner_text() for link in links] == ["(1)", "(2)"]
            assert all(page.locator(f"[id='{link.get_attribute('href')[1:]}'] .eqno").count() for link in links)
            shown.check()
