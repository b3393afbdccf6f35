"""The film in the page: its slider, its button and its pictures show the numbers that were recorded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import Seen

from gpt.inspect import main
from gpt.inspection.film import Film, for_page, read
from gpt.train import main as train

pytestmark = pytest.mark.page
Show = Callable[..., Seen]
TEXT = "</script><b>$x$ & so on: \u05d0\u4e00.\n" * 40
TINY = [
    "--width=16", "--context=16", "--batch-size=4", "--threads=1", "--steps=9", "--eval-every=3", "--no-plot", "--quiet",
    "--record",
]  # fmt: skip


def made(folder: Path, *flags: str) -> tuple[Path, Film]:
    """The page of a recorded run, and its film."""
    (folder / "text").write_text(TEXT, "utf-8")
    assert train([*TINY, *flags, f"--data={folder / 'text'}", f"--out={folder / 'run'}"]) == 0
    assert main([str(folder / "run"), "--text=so on", f"--out={folder / 'page.html'}"]) == 0
    return folder / "page.html", read(folder / "run")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: Any) -> tuple[Path, Film]:
    return made(tmp_path_factory.mktemp("film"), "--layers=2", "--heads=2")


def go(page: Any, moment: int) -> None:
    page.locator("#film-moment").focus()
    page.keyboard.press("Home")
    for _ in range(moment):
        page.keyboard.press("ArrowRight")


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_silent_and_fits(recorded: tuple[Path, Film], width: int, show: Show) -> None:
    path, film = recorded
    seen = show(path, width, offline=True)
    section = seen.page.locator("#film")
    assert section.is_visible() and seen.page.locator("#film-link").count() == 1
    section.locator("details").evaluate_all("all => all.forEach(each => (each.open = true))")
    for grid in section.locator(".grid").all():
        grid.scroll_into_view_if_needed()
    seen.page.wait_for_timeout(200)
    for text in ("undefined", "NaN", "[object"):
        assert text not in section.inner_text(), text
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert section.locator("table tbody tr").count() == len(film.steps)
    seen.check(path)


def test_a_bigram_has_no_attention_in_it(tmp_path: Path, show: Show) -> None:
    path, _ = made(tmp_path, "--model=bigram")
    seen = show(path)
    assert seen.page.locator("#film-block").count() == 0
    assert seen.page.locator("#film [role=grid]").count() == 3  # the lens, gradients, updates
    seen.check(path)


def test_without_a_film_there_is_no_section(recorded: tuple[Path, Film], tmp_path: Path, show: Show) -> None:
    (tmp_path / "text").write_text(TEXT, "utf-8")
    flags = [each for each in TINY if each != "--record"]
    assert train([*flags, "--layers=1", "--heads=2", f"--data={tmp_path / 'text'}", f"--out={tmp_path / 'run'}"]) == 0
    assert main([str(tmp_path / "run"), "--text=so on", f"--out={tmp_path / 'page.html'}"]) == 0
    page = show(tmp_path / "page.html").page
    assert not page.locator("#film").is_visible() and not page.locator("#film-link").is_visible()


def test_the_slider_shows_what_was_recorded(recorded: tuple[Path, Film], show: Show) -> None:
    path, film = recorded
    page = show(path).page
    cells = page.locator("#film [role=gridcell]")
    page.locator("#film-block").select_option("1")
    for moment in (0, 4, 9):
        go(page, moment)
        assert page.locator("#film-moment").get_attribute("aria-valuetext") == (
            f"step {moment}, loss of the text {film.loss[moment].mean():.2f}"
        )
        said = page.locator(".film-step").inner_text()
        known = film.train_loss[moment]
        assert (f"training loss {known:.2f}" in said) if known is not None else ("training loss" not in said)
        assert ("validation loss" in said) == (moment == 9)
        attention, lens = cells.nth(1), cells.nth(2)  # head 1 of 2
        attention.focus()
        for key in ("Home", "PageUp", "PageUp", "PageDown", "End"):
            page.keyboard.press(key)
        for _ in range(15 - 7):
            page.keyboard.press("ArrowLeft")
        shown = re.findall(r"weight (\S+) at step", str(attention.get_attribute("aria-label")))[0].replace("e−", "e-")
        assert float(shown) == pytest.approx(film.attention[moment, 1, 1, 10, 7], abs=0.5 / 255 + 0.006)
        lens.focus()
        for key in ("PageUp", "Home", "ArrowDown", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        label = str(lens.get_attribute("aria-label"))
        assert label.startswith("after block 1, ")
        assert float(label.rpartition("loss ")[2]) == pytest.approx(-film.target[moment, 2, 1], abs=0.01)
        best = film.text_of(int(film.top[moment, 2, 1, 0])).replace(" ", "␣").replace("\n", "↵")
        assert label.split(", ")[2].startswith(f"{best} ")
        page.keyboard.press("PageUp")


def test_points_are_where_the_embeddings_are(recorded: tuple[Path, Film], show: Show) -> None:
    path, film = recorded
    page = show(path).page
    points = for_page(film)["embedding"]
    low, high = points.min((0, 1)), points.max((0, 1))
    for moment in (0, 9):
        go(page, moment)
        found = page.locator(".film-point").evaluate_all(
            "all => all.map(each => [Number(each.getAttribute('x')), Number(each.getAttribute('y'))])"
        )
        share = (points[moment] - low) / (high - low)
        wanted = 14 + np.stack([share[:, 0], 1 - share[:, 1]], 1) * 412
        np.testing.assert_allclose(found, wanted, atol=0.11)
    labels = page.locator(".film-point").evaluate_all("all => all.map(each => each.textContent)")
    assert labels == [{" ": "␣", "\n": "↵"}.get(film.text_of(i), film.text_of(i)) for i in film.rows]


@pytest.mark.parametrize("width", [390, 1440])
def test_all_moments_are_in_view(recorded: tuple[Path, Film], width: int, show: Show) -> None:
    path, _ = recorded
    page = show(path, width).page
    page.locator("#film .film-chart").scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    chart = page.locator("#film .film-chart")
    assert chart.evaluate("each => each.firstElementChild.clientWidth / each.clientWidth") == pytest.approx(1, abs=0.01)
    levels = chart.locator("text[text-anchor=end]").evaluate_all(
        "all => all.map(each => [+each.textContent, each.getAttribute('y')])"
    )
    assert len(levels) >= 3 and all(
        (b[0] - a[0]) * (float(b[1]) - float(a[1])) < 0 for a, b in itertools.pairwise(levels)
    )
    for name in ("before clipping", "divided by its weights"):
        grid = page.locator("#film .grid", has=page.get_by_role("grid", name=re.compile(name)))
        assert grid.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
        go(page, 4)
        band, sheet = grid.locator(".grid-band"), grid.locator(".grid-sheet")
        box, whole = band.bounding_box(), sheet.bounding_box()
        right = whole["x"] + whole["width"]
        assert box["x"] + 6 * box["width"] == pytest.approx(right, abs=1)  # column 4 of 10


def test_play_goes_to_the_end_and_stops(recorded: tuple[Path, Film], show: Show) -> None:
    path, _ = recorded
    for motion, pause in (("no-preference", 180), ("reduce", 1000)):
        page = show(path, reduced_motion=motion).page
        page.clock.install(time=datetime(2026, 1, 1))
        page.clock.pause_at(datetime(2026, 1, 1, 0, 1))  # from here on only run_for moves it
        button, slider = page.locator("#film-play"), page.locator("#film-moment")
        assert slider.input_value() == "9" and button.get_attribute("aria-pressed") == "false"
        button.click()
        assert slider.input_value() == "0" and button.get_attribute("aria-pressed") == "true"
        page.clock.run_for(3 * pause + 20)
        assert slider.input_value() == "3"
        button.click()  # pause
        page.clock.run_for(5 * pause)
        assert slider.input_value() == "3" and button.inner_text() == "Play"
        button.click()
        page.clock.run_for(20 * pause)
        assert slider.input_value() == "9" and button.get_attribute("aria-pressed") == "false"
        button.click()
        slider.focus()
        page.keyboard.press("ArrowRight")  # the keyboard takes over
        assert button.inner_text() == "Play" and slider.input_value() == "1"


def test_a_click_on_a_column_shows_that_moment(recorded: tuple[Path, Film], show: Show) -> None:
    path, film = recorded
    page = show(path).page
    cell = page.locator("#film [role=gridcell]").last
    cell.focus()
    for key in ("Home", "PageUp", "PageUp", "PageUp", *["ArrowRight"] * 4, "Enter"):
        page.keyboard.press(key)
    assert page.locator("#film-moment").input_value() == "4"
    assert str(cell.get_attribute("aria-label")).startswith(f"{film.names[0]}, step 4")
