"""A headless Chromium that is there already, and pages in it. Without one, or without Playwright, the tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import Seen, watched
from chromium import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


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
