"""The site, built once from nothing as a reader would build it, served from its folder, and a headless Chromium."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from site_build import ROOT, the_site
from static_server import serving

sys.path.insert(0, str(ROOT / "docs" / "_extensions"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.site)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site. Every chapter is executed; every warning is an error."""
    pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")
    if built := os.environ.get("SITE_BUILT"):  # by `python tests/helpers/site_build.py FOLDER`
        return Path(built).resolve() / "site"
    return the_site(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, without a slash at its end."""
    with serving(site) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


class Page:
    """A page of the site in the browser. Requests to other hosts are refused and written down, and so is what it says."""

    def __init__(self, browser: Any, address: str, width: int, **options: Any) -> None:
        self.address, self.said, self.foreign = address, [], []
        options.setdefault("reduced_motion", "reduce")
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    def _note(self, message: Any) -> None:
        if message.type != "log":  # the theme says there that it changed
            self.said.append(f"{message.type}: {message.text}")

    def _route(self, route: Any) -> None:
        if route.request.url.startswith((f"{self.address}/", "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def open(self, path: str) -> Any:
        self.page.goto(f"{self.address}/{path}")
        self.page.evaluate("document.fonts.ready")
        return self.page

    def check(self) -> None:
        assert self.foreign == []
        assert self.said == []


@pytest.fixture
def show(browser: Any, address: str) -> Iterator[Callable[..., Page]]:
    """show(width, **options of a context): a Page, of another site if its address is given."""
    opened: list[Page] = []

    def new(width: int = 1440, at: str = address, **options: Any) -> Page:
        opened.append(Page(browser, at, width, **options))
        return opened[-1]

    yield new
    for each in opened:
        each.context.close()
