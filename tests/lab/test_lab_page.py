"""The laboratory's page: its colours, the field of the steps, what ends Python, and how it comes back."""

from __future__ import annotations

import pytest
from visits import Seen

pytestmark = pytest.mark.site
LIGHT, DARK = ("rgb(251, 250, 247)", "rgb(27, 28, 31)"), ("rgb(22, 23, 26)", "rgb(236, 236, 234)")
OFFSET = "field => field.offsetTop"  # in the page, however it is scrolled


def test_the_colours_are_those_of_the_system_or_of_the_button(clean: Seen) -> None:
    """Each colour has two values, and no other rule: so the page's ground and ink stand for all."""
    page = clean.page
    colours = "(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))"
    button = page.locator("#theme")
    for scheme, system, other in (("light", LIGHT, DARK), ("dark", DARK, LIGHT)):
        page.emulate_media(color_scheme=scheme)
        assert tuple(page.evaluate(colours)) == system
        button.click()
        assert tuple(page.evaluate(colours)) == other
        button.click()
        assert tuple(page.evaluate(colours)) == system
        page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
        assert tuple(page.evaluate(colours)) == system  # the button has said which
        page.evaluate("delete document.documentElement.dataset.theme")
        assert tuple(page.evaluate(colours)) == other
    page.emulate_media(color_scheme="light")
    clean.check()


def test_a_training_says_what_is_wrong_where_it_is(clean: Seen) -> None:
    """Steps are any whole number; what cannot be looked at leaves no empty tab; without a tab there is a link."""
    page = clean.page
    page.locator("#tab-train").click()
    steps, wrong, run = page.locator("#steps"), page.locator("#steps-wrong"), page.locator("#run")
    before = clean.status
    page.set_viewport_size({"width": 390, "height": 800})
    place = steps.evaluate(OFFSET)
    for text, said in (("0", "0 is not"), ("2.5", "2.5 is not"), ("5001", "5001 is not"), ("", "Enter")):
        steps.fill(text)
        assert wrong.inner_text() == f"{said} a whole number from 1 to 5,000."
        run.click()
        assert page.evaluate("document.activeElement.id") == "steps" and clean.status == before
    gap = wrong.bounding_box()["y"] - steps.bounding_box()["y"]
    assert 0 < gap < 100 and steps.evaluate(OFFSET) == place == page.locator("#text").evaluate(OFFSET)
    page.set_viewport_size({"width": 1440, "height": 900})
    steps.fill("3")
    assert wrong.inner_text() == "" and steps.get_attribute("aria-invalid") == "false"
    run.click()
    page.wait_for_function("document.querySelector('#figures').textContent.includes('3 of 3')", timeout=60_000)
    clean.idle()
    assert page.locator("#samples li").evaluate_all("all => all.map(each => each.dataset.step)") == ["3", "0"]
    failing = page.locator("#inspected")
    text = failing.input_value()
    failing.fill("Ω")
    with page.context.expect_page() as opened:
        page.locator("#look").click()
    page.locator("#page .problem").wait_for()
    assert "'Ω'" in page.locator("#page .problem").inner_text()
    if not opened.value.is_closed():
        opened.value.wait_for_event("close")
    failing.fill(text)
    page.evaluate("window.kept = window.open; window.open = () => null")  # as a browser that lets no tab open
    page.locator("#look").click()
    page.locator("#page-link").wait_for()
    clean.idle()
    assert page.evaluate("document.activeElement.id") == "page-link"
    page.evaluate("window.open = window.kept")
    steps.fill("300")
    page.locator("#reset").click()
    clean.check()


def test_what_ends_python_is_told_and_it_comes_back(clean: Seen) -> None:
    """Code that is nested so deeply that Pyodide itself fails. The next cell has a Python again."""
    page = clean.page
    page.locator("#tab-chapter").click()
    page.locator("#chapter").select_option("00-numbers")
    cell = page.locator("#cells .cell").first

    def run(code: str) -> None:
        cell.locator(".cm-content").focus()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(code)
        page.keyboard.press("Control+Enter")

    run("(" * 6000 + ")" * 6000)
    problem = page.locator("#panel-chapter .problem")
    problem.wait_for(timeout=60_000)
    said = problem.inner_text()
    assert (
        said.startswith("Python ended: a recursion was deeper than this browser allows.") and "edits are kept" in said
    )
    run("6 * 7")
    page.wait_for_function("document.querySelector('.output')?.textContent === '42'", timeout=60_000)
    page.locator("#undo-cells").click()
    clean.check("fatal error", "RangeError")
    clean.said.clear()
