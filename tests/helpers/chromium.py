"""The headless Chromium that is installed, for the tests of pages. Without one, or without Playwright, they are skipped."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@functools.cache
def started(sync_api: Any) -> Any:
    """Playwright, once for a process: its loop runs until the end, and a second one in the same thread is refused."""
    playwright = sync_api.sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright


@contextmanager
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[page]'")
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root, as which CI runs
    flags = ["--no-sandbox"] if root else []
    launched = started(sync_api).chromium.launch(executable_path=found, args=flags)
    yield launched
    launched.close()
