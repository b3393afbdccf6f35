"""The site, built once from nothing as a reader would build it, served from its folder, and a headless Chromium."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.site)


@functools.cache
def has_editor() -> bool:
    """Fetch the packages of the laboratory's editor, if they are not there: the one step that needs a network."""
    spec = importlib.util.spec_from_file_location("build_lab", ROOT / "docs" / "build_lab.py")
    assert spec is not None and spec.loader is not None
    build_lab = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_lab)
    try:
        build_lab.packages()
    except build_lab.Missing:
        if os.environ.get("CI"):
            raise
        return False
    return True


def sphinx(source: Path, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Build a site without a network: what would ask for one fails at once."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-E",
        *flags,
        "-d",
        str(out.parent / "doctrees"),
        str(source),
        str(out),
    ]
    env = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_COLOR": "1"}
    for name in ("SITE_URL", "REPOSITORY_URL", "COLAB_URL"):
        env.pop(name, None)
    if not has_editor():
        env["LAB_EDITOR"] = "plain"
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site. Every chapter is executed; every warning is an error."""
    pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")
    if built := os.environ.get(
        "SITE_BUILT"
    ):  # by `python -m sphinx -W -d FOLDER/doctrees docs FOLDER/site`, to be tested again
        return Path(built) / "site"
    out = tmp_path_factory.mktemp("site") / "site"
    done = sphinx(ROOT / "docs", out, "-W")
    assert done.returncode == 0, f"the site does not build:\n{done.stdout[-3000:]}\n{done.stderr[-12000:]}"
    return out


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, without a slash at its end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[site]'")
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root, as which CI runs
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
        yield launched
        launched.close()


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
    """show(width, **options of a context): a Page."""
    opened: list[Page] = []

    def new(width: int = 1440, **options: Any) -> Page:
        opened.append(Page(browser, address, width, **options))
        return opened[-1]

    yield new
    for each in opened:
        each.context.close()
