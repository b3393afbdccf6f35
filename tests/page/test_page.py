"""The page in a browser: silent, offline, for a pointer, for a keyboard, for a screen reader, on a phone, on paper."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from browsers import Seen, cell_of
from pages import ALL, TEXT, subject, written

from gpt.inspection import stored

pytestmark = pytest.mark.page
Show = Callable[..., Seen]


@pytest.fixture(scope="module")
def small(tmp_path_factory: Any) -> Path:
    return written(subject(TEXT, "not to see"), tmp_path_factory.mktemp("small") / "page.html")


PLACE = "each => [...each.parentNode.children].indexOf(each)"


def open_everything(page: Any) -> None:
    """All that can be opened, and all that is made when it comes into view."""
    for _ in range(2):  # what is opened has more to open
        page.locator("details").evaluate_all("all => all.forEach(each => (each.open = true))")
        page.wait_for_timeout(200)


# ------------------------------------------------------------------------------------------------- silent and offline


KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "all": ALL,
    "one head": {"heads": 1, "layers": 1},
    "bigram": {"model": "bigram"},
    "two tokens": {"text": "be"},
    "as long as a page can be": {"text": ((TEXT + " ") * 13)[:256], "context": 256},
    "a larger model": {"large": True},
    "a larger bigram model": {"large": True, "model": "bigram"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [390, 1440])
def test_it_loads_without_a_message_or_a_request(
    kind: str, width: int, tmp_path: Path, show: Show, monkeypatch: Any
) -> None:
    options = dict(KINDS[kind])
    if options.pop("large", False):
        monkeypatch.setattr(stored, "WEIGHTS", 0)
    given = subject(options.pop("text", TEXT), "not to", **options)
    path = written(given, tmp_path / "page.html")
    seen = show(path, width, offline=True)
    assert seen.page.locator("#text [role=option]").count() == len(given.ids)
    open_everything(seen.page)
    for text in ("undefined", "NaN", "[object"):
        assert text not in seen.page.locator("main").inner_text(), text
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.check(path)


def test_the_browser_itself_forbids_requests_and_markup(small: Path, show: Show) -> None:
    page = show(small).page
    asked = page.evaluate("fetch('https://example.org/').then(() => 'went', () => 'refused')")
    assert asked == "refused"
    write = "document.body.innerHTML = '<b>x</b>'"
    assert (
        page.evaluate(f"(() => {{ try {{ {write}; return 'went'; }} catch {{ return 'refused'; }} }})()") == "refused"
    )


def test_a_page_whose_numbers_are_damaged_says_so(small: Path, tmp_path: Path, browser: Any) -> None:
    damaged = tmp_path / "page.html"
    damaged.write_text(re.sub(r'(id="bytes">.{400}).{4000}', r"\1", small.read_text("utf-8")), "utf-8")
    page = browser.new_page()
    page.goto(damaged.as_uri())
    page.locator("#failure").wait_for(state="visible")
    assert page.text_content("#failure").startswith("This page could not be shown: ")
    page.close()


# --------------------------------------------------------------------------------------------------- pointer and keys


def test_hovering_a_map_follows_the_token_in_all_of_them(small: Path, show: Show) -> None:
    page = show(small).page
    grid = page.get_by_role("grid", name="Attention weights of block 0, head 2")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    size = box["width"] / len(TEXT)
    page.mouse.move(box["x"] + 3.5 * size, box["y"] + 8.5 * size)
    assert page.text_content("#tip").startswith("r (8) looks at b (3)\nweight ")
    look = "all => all.map(each => [each.hidden, parseFloat(each.style.top)])"
    bands = page.locator("#attention .grid-band").evaluate_all(look)
    assert len(bands) == 8
    assert all(not hidden and top == pytest.approx(8 * size, abs=1) for hidden, top in bands)
    assert page.locator("#text .token.marked").inner_text() == "r"
    assert "block 0, head 2" in page.text_content("#attention .after-line")
    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden()
    assert page.locator("#text .token.marked").evaluate(PLACE) == int(0.6 * (len(TEXT) - 1))  # where a page begins


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_moves_while_a_pointer_passes_over_tokens(small: Path, show: Show, width: int) -> None:
    page = show(small, width).page
    tops = "[...document.querySelectorAll('h2, h3')].map(each => each.offsetTop)"
    first = page.evaluate(tops)
    for t in range(len(TEXT)):
        page.locator("#text [role=option]").nth(t).hover()
        assert page.evaluate(tops) == first, t


def test_a_click_on_a_token_is_followed_in_every_section(small: Path, show: Show) -> None:
    page = show(small).page
    page.locator("#backward [role=option]").nth(5).click()
    page.mouse.move(2, 2)
    for section in ("text", "attention", "backward", "change"):
        marked = page.locator(f"#{section} .strip").first.locator(".token.marked")
        assert marked.evaluate(PLACE) == 5, section
        assert page.locator(f"#{section} .strip").first.locator("[aria-selected=true]").count() == 1
    assert page.input_value("#patch-to") == "5"


def test_a_strip_is_one_stop_of_tab_and_has_arrow_keys(small: Path, show: Show) -> None:
    page = show(small).page
    assert page.locator("#text [role=option][tabindex='0']").count() == 1
    page.locator("#text [role=option][tabindex='0']").focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    last = len(TEXT) - 1
    keys = [("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", last), ("ArrowRight", last)]
    for key, token in [*keys, ("PageUp", last - 10)]:
        page.keyboard.press(key)
        assert page.evaluate(focused).startswith(f"token {token}, "), key
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.strip')") is None


def test_every_grid_is_one_stop_of_tab_and_has_arrow_keys(small: Path, show: Show) -> None:
    page = show(small).page
    open_everything(page)
    grids = page.get_by_role("grid")
    assert grids.count() > 60
    assert all(n == 1 for n in grids.evaluate_all("all => all.map(each => each.querySelectorAll('[tabindex]').length)"))
    grid = page.get_by_role("grid", name="Values of blocks.0.attention.weights: rows are tokens")
    cell = grid.locator("[role=gridcell]")
    cell.focus()
    columns, up = 4 * len(TEXT), ("ArrowUp", 1, 2)
    steps = [("ArrowDown", 2, 1), ("ArrowRight", 2, 2), up, up, ("End", 1, columns), ("PageDown", 11, columns)]
    for key, row, column in [*steps, ("Home", 11, 1)]:
        cell.press(key)
        assert grid.locator("[role=row]").get_attribute("aria-rowindex") == str(row), key
        assert cell.get_attribute("aria-colindex") == str(column), key
    assert page.locator("#tip").is_visible()  # what the pointer would show


def test_enter_opens_the_panel_and_escape_returns_to_the_cell(small: Path, show: Show) -> None:
    page = show(small).page
    cell = cell_of(page, "Values of embedding.output: rows are tokens")
    cell.focus()
    cell.press("ArrowRight")
    assert page.locator("#panel").is_hidden()
    cell.press("Enter")
    assert page.locator("#panel").is_visible()
    assert page.evaluate("document.activeElement.id") == "panel-title"
    assert page.text_content("#panel .step-name") == "embedding.output[0 t, 1]"
    page.keyboard.press("Escape")
    assert page.locator("#panel").is_hidden()
    assert page.evaluate("document.activeElement.getAttribute('role')") == "gridcell"
    assert page.evaluate("document.activeElement.getAttribute('aria-colindex')") == "2"


def test_one_walks_from_a_number_to_its_inputs_and_back(small: Path, show: Show) -> None:
    page = show(small).page
    open_everything(page)
    cell_of(page, "Values of head.output: rows are tokens").press("Enter")
    way = ["head.output"]
    for _ in range(6):
        page.locator("#panel .long .cell-link").filter(has_not_text=re.compile("weight|bias")).first.click()
        way.append(page.text_content("#panel .step-name code").split("[")[0])
    assert way[1:3] == ["norm.output", "blocks.1.output"] and len(set(way)) >= 5, way
    for name in way[-2::-1]:
        page.click("#panel-back")
        assert page.text_content("#panel .step-name code").startswith(name)
    assert page.locator("#panel-back").is_disabled()


def test_a_click_opens_the_cell_under_the_pointer(small: Path, show: Show) -> None:
    page = show(small).page
    grid = page.get_by_role("grid", name="Attention weights of block 1, head 1")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    size = box["width"] / len(TEXT)
    page.mouse.click(box["x"] + 2.5 * size, box["y"] + 6.5 * size)
    assert page.text_content("#panel .step-name") == "blocks.1.attention.weights[1, 6 ␣, 2 ␣]"
    page.click("#panel-close")
    assert page.locator("#panel").is_hidden()


def test_large_grids_scroll_and_show_what_the_keyboard_goes_to(tmp_path: Path, show: Show) -> None:
    text = (TEXT + " ") * 12
    page = show(written(subject(text, context=256, width=64, layers=1), tmp_path / "page.html"), 390).page
    grid = page.get_by_role("grid", name="Values of blocks.0.attention.qkv.output: rows are tokens")
    cell = grid.locator("[role=gridcell]")
    cell.focus()
    before = grid.locator("canvas").screenshot()
    cell.press("End")
    for _ in range(20):
        cell.press("PageDown")
    box, outer = cell.bounding_box(), grid.locator("..").bounding_box()
    assert outer["x"] <= box["x"] and box["x"] + box["width"] <= outer["x"] + outer["width"] + 1
    assert outer["y"] <= box["y"] and box["y"] + box["height"] <= outer["y"] + outer["height"] + 1
    page.wait_for_timeout(100)
    assert grid.locator("canvas").screenshot() != before
    assert grid.locator("canvas").evaluate("each => each.width * each.height") < 2e6


# ------------------------------------------------------------------------------------------------ appearance and access


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_serious_fault(small: Path, show: Show, theme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="no axe: pip install -e '.[page]'")
    page = show(small, width, color_scheme=theme, bypass_csp=True).page
    open_everything(page)
    cell_of(page, "Values of blocks.0.output: rows are tokens").press("Enter")
    page.locator("#panel details").evaluate_all("all => all.forEach(each => (each.open = true))")
    page.evaluate(resources.files(axe).joinpath("axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations', 'incomplete']})")
    assert len(found["passes"]) > 20
    faults = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert not faults, [(each["id"], each["nodes"][0]["html"][:200]) for each in faults]


@pytest.mark.parametrize("width", [390, 1440])
def test_the_panel_makes_nothing_wider(small: Path, show: Show, width: int) -> None:
    page = show(small, width).page
    cell_of(page, "Values of embedding.output: rows are tokens").press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cell, box = (
        each.bounding_box()
        for each in (cell_of(page, "Values of embedding.output: rows are tokens"), page.locator("#panel"))
    )
    assert 0 <= cell["y"] <= 900  # what one chose stays in view
    assert cell["x"] + cell["width"] <= box["x"] or cell["y"] + cell["height"] <= box["y"]
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("(panel => panel.scrollWidth <= panel.clientWidth)(document.getElementById('panel'))")


def test_the_switch_changes_the_colours_of_text_and_figures(small: Path, show: Show) -> None:
    page = show(small, color_scheme="dark").page
    canvas = page.locator("#attention .grid canvas").first
    page.locator("#attention .grid").first.scroll_into_view_if_needed()

    def look() -> tuple[str, str]:
        page.wait_for_timeout(100)  # figures are drawn in the next frame
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return ground, canvas.evaluate("each => each.toDataURL()")

    dark = look()
    assert page.text_content("#theme") == "Light"
    page.click("#theme")
    page.mouse.move(2, 2)
    light = look()
    assert dark[0] != light[0] and dark[1] != light[1]
    page.emulate_media(color_scheme="light")
    page.click("#theme")
    page.mouse.move(2, 2)
    assert look() == dark


@pytest.mark.parametrize("dense", [1, 2, 3])
def test_figures_are_as_sharp_as_the_screen(small: Path, show: Show, dense: int) -> None:
    page = show(small, device_scale_factor=dense).page
    canvas = page.locator("#attention .grid canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    assert canvas.evaluate("each => each.width / each.getBoundingClientRect().width") == dense


def test_reduced_motion_is_kept(small: Path, show: Show) -> None:
    style = "getComputedStyle(document.querySelector('.group > summary'), '::before').transitionDuration"
    moving = f"[getComputedStyle(document.documentElement).scrollBehavior, {style}]"
    assert show(small, reduced_motion="no-preference").page.evaluate(moving) == ["smooth", "0.15s"]
    assert show(small, reduced_motion="reduce").page.evaluate(moving) == ["auto", "0s"]


def test_it_can_be_printed(small: Path, show: Show, tmp_path: Path) -> None:
    page = show(small).page
    cell_of(page, "Values of embedding.output: rows are tokens").press("Enter")
    page.emulate_media(media="print")
    for gone in (".contents", "#panel", "#theme", ".laboratory"):
        assert page.locator(gone).is_hidden(), gone
    for there in ("h1", "#text .strip", "#attention .map", "#about"):
        assert page.locator(there).first.is_visible(), there
    assert len(page.pdf()) > 50_000


def test_headings_and_contents_lead_to_every_section(small: Path, show: Show) -> None:
    page = show(small).page
    links = page.locator(".contents a:visible").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    shown = page.locator("main > section:visible").evaluate_all("all => all.map(each => '#' + each.id)")
    assert links == shown
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1 and all(b <= a + 1 for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("kind", ["default", "bigram"])
def test_sections_are_numbered_without_a_gap(kind: str, tmp_path: Path, show: Show) -> None:
    page = show(written(subject(TEXT, **KINDS[kind]), tmp_path / "page.html")).page
    titles = page.locator("main > section:visible h2").all_inner_texts()
    assert [int(title.split()[0]) for title in titles] == list(range(1, len(titles) + 1))
    assert len(titles) == {"default": 7, "bigram": 5}[kind]


def test_a_page_without_baselines_says_why_and_compares_with_nothing(tmp_path: Path, show: Show) -> None:
    given = subject(TEXT)
    given.train, given.notes = None, ["no baselines: the text is gone"]
    page = show(written(given, tmp_path / "page.html")).page
    assert page.inner_text("#text > .note") == "no baselines: the text is gone."
    assert page.locator("#text h3, #text .means").count() == 0
    assert page.locator("#text .chart").count() == 1


def test_a_bubble_goes_with_the_cell_that_has_the_focus(small: Path, show: Show) -> None:
    page = show(small).page
    cell = page.get_by_role("grid", name="Attention weights of block 0, head 2").locator("[role=gridcell]")
    cell.focus()
    cell.press("ArrowRight")
    apart = "document.activeElement.getBoundingClientRect().bottom - document.getElementById('tip').getBoundingClientRect().top"
    first = page.evaluate(apart)
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(200)
    assert page.locator("#tip").is_visible() and page.evaluate(apart) == pytest.approx(first, abs=1)
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(200)
    assert page.locator("#tip").is_hidden()


@pytest.mark.parametrize("width", [390, 1440])
def test_maps_fill_their_cards(small: Path, show: Show, width: int) -> None:
    page = show(small, width).page
    share = "all => all.map(each => each.querySelector('[role=grid]').clientWidth / each.clientWidth)"
    assert min(page.locator("#attention .map").evaluate_all(share)) > 0.85
    column = page.locator("#attention .maps").first.bounding_box()["width"]
    cards = page.locator("#attention .maps").first.locator(".map")
    last = cards.last.bounding_box() if width == 1440 else cards.first.bounding_box()
    assert last["x"] + last["width"] - page.locator("#attention .maps").first.bounding_box()["x"] > 0.97 * column


def test_the_first_rows_of_a_long_table_are_whole(small: Path, show: Show) -> None:
    page = show(small).page
    cell_of(page, "Values of embedding.output: rows are tokens").press("Enter")
    page.keyboard.press("Escape")
    open_everything(page)
    cell_of(page, "Values of blocks.0.attention.qkv.output: rows are tokens").press("Enter")
    cut = "each => each.scrollHeight - each.clientHeight"
    assert page.locator("#panel .long button").first.is_visible()
    assert page.locator("#panel .long .scrolls").evaluate(cut) <= 0


# ----------------------------------------------------------------------------------------------------------- hostile


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>\"'`${alert(4)}</style></title>-->]]>&lt;&#60;"
    "\u202eright\u202c \u05d0\u05d1\u05d2 \u0627\u0644 e\u0301\u0301\u0301 \u200b\ufeff\U0001f469\u200d\U0001f680\U0001f3f4 "
    "\x00\x01\x07\x1b[31m\x7f\x9f \r\n\t\u2028\u2029 javascript:alert(5)"
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: Any) -> Path:
    alphabet = "".join(sorted(set(HOSTILE)))
    given = subject(HOSTILE, HOSTILE[::-1][:200], alphabet, context=256)
    given.name = "runs/" + HOSTILE.replace("/", "")  # a page says the last part of a path
    given.said = HOSTILE
    given.notes = [HOSTILE]
    given.command = "python -m gpt.inspect " + (HOSTILE * 100)[:10_000]
    object.__setattr__(given.config, "data", HOSTILE)
    return written(given, tmp_path_factory.mktemp("hostile") / "page.html")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_hostile_text_is_shown_as_text_and_executes_nothing(hostile: Path, show: Show, width: int) -> None:
    seen = show(hostile, width)
    page = seen.page
    open_everything(page)
    for group in ("Values of embedding.output: rows are tokens", "Values of embedding.weight"):
        cell_of(page, group).press("Enter")
        page.keyboard.press("Escape")
    page.locator("#text [role=option]").nth(3).click()
    page.click("#patch-add")
    assert page.locator("main img, main script, main style, main iframe, main a[href]:not(.contents a)").count() == 0
    assert page.locator("script").count() == 3  # the data, the arrays, the page's own
    assert page.locator("#quoted").text_content().startswith("<script>alert(1)</script><img src=x onerror=alert(2)>")
    assert page.locator("#facts dd").first.text_content() == HOSTILE.replace("/", "")
    assert "onerror=alert(2)" in page.text_content(".command") and len(page.text_content(".command")) > 10_000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen.check(hostile)


def test_what_has_no_shape_is_shown_by_its_sign(hostile: Path, show: Show) -> None:
    page = show(hostile).page
    texts = page.locator("#text [role=option]").all_text_contents()
    assert len(texts) == len(HOSTILE)
    signs = dict(zip(HOSTILE, texts, strict=True))
    expected = {
        "\x00": "␀",
        "\x1b": "␛",
        "\x7f": "U+007F",
        "\n": "↵",
        "\t": "⇥",
        " ": "␣",
        "\u0301": "◌\u0301",
        "<": "<",
    }
    expected |= {each: f"U+{ord(each):04X}" for each in "\u202e\u200b\ufeff\u2028"}
    expected |= {each: each for each in "\u05d0\U0001f680"}
    assert {character: signs[character] for character in expected} == expected


def test_right_to_left_letters_turn_nothing_around_them(hostile: Path, show: Show) -> None:
    """The boxes of the tokens stand in the order of the text."""
    page = show(hostile).page
    look = "all => all.map(each => [each.offsetTop, each.offsetLeft])"
    boxes = page.locator("#text [role=option]").evaluate_all(look)
    for a, b in itertools.pairwise(boxes):
        assert b[0] > a[0] + 5 or (abs(a[0] - b[0]) <= 5 and b[1] > a[1])
