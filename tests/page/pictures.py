"""Take the pictures of a page in docs/: python tests/page/pictures.py RUN

The run decides what they show: the pictures in docs/ are of the default job, python -m gpt.train. It needs the extra page, and a
Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from gpt import inspect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from chromium import chromium  # noqa: E402

TEXT = "First Citizen: Before we proceed any further, hear me speak."
LARGEST = 300_000  # bytes of a picture


def text(page: Any) -> None:
    page.locator("#text [role=option]").nth(39).click()
    page.mouse.move(2, 2)


def panel(page: Any) -> None:
    """The panel of an attention weight, over the maps."""
    page.locator("#attention-title").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('attention').scrollIntoView()")
    cell = page.get_by_role("grid", name="Attention weights of block 1, head 2").locator("[role=gridcell]")
    cell.focus()
    for key in ["ArrowDown"] * 39 + ["ArrowRight"] * 36:
        cell.press(key)
    cell.press("Enter")
    page.evaluate("document.getElementById('attention').scrollIntoView()")


def change(page: Any) -> None:
    page.get_by_label("block 1, head 3", exact=True).uncheck()
    page.get_by_label("block 0, head 1", exact=True).uncheck()
    page.evaluate("document.getElementById('change').scrollIntoView()")


PICTURES = {"inspect-text": (text, "light"), "inspect-panel": (panel, "dark"), "inspect-change": (change, "light")}


def main(run: str) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "page.html"
        if inspect.main([run, "--text", TEXT, "--out", str(path)]):
            sys.exit(1)
        for name, (prepare, theme) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": 1320, "height": 860}, color_scheme=theme, reduced_motion="reduce"
            )
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            prepare(page)
            page.wait_for_timeout(300)
            picture = page.screenshot(path=ROOT / "docs" / f"{name}.png")
            print(f"docs/{name}.png: {len(picture):,} bytes")
            if len(picture) > LARGEST:
                sys.exit(f"docs/{name}.png has more than {LARGEST:,} bytes: show less")


if __name__ == "__main__":
    main(*sys.argv[1:])
