"""A headless Chromium that is there already, and pages in it. Without one, or without Playwright, the tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import Seen, watched

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[page]'")
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root, as which CI runs
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
        yield launched
        launched.close()


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Seen]]:
    """show(path, width, **options of a context): the page, when all of it is there."""
    contexts = []

    def opened(path: Path, width: int = 1440, height: int = 900, **options: Any) -> Seen:
        options.setdefault("reduced_motion", "reduce")  # what scrolls smoothly is elsewhere when one clicks
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        return watched(contexts[-1], path)

    yield opened
    for context in contexts:
        context.close()
