"""The laboratory, built once and served from a local folder; pages of it in headless Chromium."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import served
from chromium import chromium
from site_build import load_build_lab
from visits import Seen

PRODUCTS = """
import numpy as np
from tinytensor import without_blas

assert not without_blas.HAS_BLAS and without_blas.faster is not None
random, taken, worst = np.random.default_rng(1), 0, 0.0


def matrix(*shape):
    x = random.standard_normal((*shape[:-2], 2 * shape[-2], 2 * shape[-1])).astype("f")
    kind = random.integers(5)
    x = x[..., : shape[-2], : shape[-1]] if kind else x[..., ::2, ::2]
    if kind < 3:
        return x if kind < 2 else x.copy()
    return x[..., ::-1, :] if kind == 3 else x.swapaxes(-1, -2).copy().swapaxes(-1, -2)


for turn in range(400):
    n, k, m = random.integers(1, 40, 3)
    batch = [(), (3,), (2, 3)][random.integers(3)]
    a, b = matrix(*batch, n, k), matrix(*batch, k, m)
    exact = a.astype("d") @ b.astype("d")
    out = [None, np.empty(exact.shape, "f"), np.empty((*batch, n, 2 * m), "f")[..., :m]][random.integers(3)]
    y = without_blas.faster(a, b, out)
    if y is None:
        assert a.size * m < 4096
        continue
    taken += 1
    assert y.shape == exact.shape and y.dtype == np.float32 and (out is None or y is out)
    worst = max(worst, float(np.abs(y - exact).max()))
a = np.ones((64, 64), "f")
for x, y, out in [(a, a, a), (a, a, np.empty((64, 64))), (a.astype("d"), a, None), (a, a[:5], None), (a[0], a, None)]:
    assert without_blas.faster(x, y, out) is None
print(taken > 200, worst < 1e-4)
"""
SNIPPETS = [
    {
        "name": "00-numbers",
        "title": "A number through the tape",
        "file": "tinytensor/tape.py",
        "cells": [
            "import tinytensor as tt\n\nx = tt.tensor(3.0, requires_grad=True)\nprint('x is', x.item())",
            "y = x * x\ny.backward()\nx.grad",
            "x.gradient",
        ],
    },
    {
        "name": "00-products",
        "title": "Speed",
        "file": None,
        "cells": [PRODUCTS, "import matplotlib.pyplot as plt\n\nplt.plot([3, 1, 2]);"],
    },
]


def chapters() -> list[dict[str, Any]]:
    """The cells of the chapters, as the site gives them to the laboratory."""
    extensions = str(served.ROOT / "docs" / "_extensions")
    sys.path.insert(0, extensions)
    try:
        found: list[dict[str, Any]] = importlib.import_module("chapters").snippets()
    finally:
        sys.path.remove(extensions)
    return found


@pytest.fixture(scope="session")
def module() -> Any:
    """The package that answers the page, here without one."""
    folder = str(served.ROOT / "docs" / "lab")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("laboratory")
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def laboratory(module: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    original = tmp_path_factory.mktemp("original")
    for name in module.PACKAGES:
        shutil.copytree(served.ROOT / name, original / name, ignore=shutil.ignore_patterns("__pycache__"))
    return module.Laboratory(original, tmp_path_factory.mktemp("edited") / "engine")


@pytest.fixture
def ask(module: Any, laboratory: Any) -> Callable[..., Any]:
    """ask(call, **given): what the package answers, or how it describes what failed."""

    def asked(call: str, /, **given: Any) -> Any:
        answer = json.loads(module.answer(laboratory, call, json.dumps(given)))
        return answer.get("value", answer.get("failed"))

    return asked


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built laboratory."""
    build_lab = load_build_lab()
    out = tmp_path_factory.mktemp("site") / "lab"
    said = build_lab.build(out, [*SNIPPETS, *chapters()], served.pyodide())
    assert said == [], "the editor was not bundled"
    server, address = served.serve(out)
    yield address
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def visit(browser: Any, site: str) -> Iterator[Callable[..., Seen]]:
    """visit(query, width, **options of a context): a page of the laboratory, as it loads."""
    contexts = []

    def opened(
        query: str = "",
        width: int = 1440,
        height: int = 900,
        before: Any = None,
        pyodide: str = "pyodide/",
        **options: Any,
    ) -> Seen:
        options.setdefault("reduced_motion", "reduce")
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        seen = Seen(page)
        page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (seen.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        context.on("request", lambda request: seen.asked.append(request.url))
        if before is not None:
            before(context)
        page.goto(f"{site}index.html?pyodide={pyodide}{query}")
        page.wait_for_selector("html[data-page]", state="attached")
        return seen

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def lab(visit: Callable[..., Seen]) -> Seen:
    """A page that is loaded once and shared; a test leaves it without edits."""
    served.Handler.sent.clear()
    seen = visit().ready()
    seen.sent = dict(served.Handler.sent)
    return seen


@pytest.fixture
def clean(lab: Seen) -> Iterator[Seen]:
    yield lab
    lab.idle()
    if lab.page.locator("#undo-all").is_enabled():
        lab.page.locator("#undo-all").click()
    lab.page.locator("#tab-check").click()


@pytest.fixture(scope="session")
def sources() -> Path:
    return served.ROOT
