"""Take the pictures of the laboratory in docs/ and README: python tests/lab/pictures.py

A sign of gelu_tanh_backward is changed, the derivatives are checked, and the edited engine trains beside the unedited one.
It needs the extra site, Node with npm, and a Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "docs" / "_extensions")]

import chapters  # noqa: E402
import served  # noqa: E402
from chromium import chromium  # noqa: E402
from site_build import load_build_lab  # noqa: E402
from visits import Seen  # noqa: E402

STEPS = 100


def checked(lab: Seen) -> None:
    lab.page.locator("#check-all").click()
    lab.idle()
    lab.page.locator("#check-table tr", has_text="gelu_tanh").first.scroll_into_view_if_needed()


def trained(lab: Seen) -> None:
    lab.page.locator("#tab-train").click()
    lab.page.locator("#steps").fill(str(STEPS))
    lab.page.locator("#run").click()
    lab.idle()
    lab.page.locator("#run").evaluate("element => element.scrollIntoView()")


def taken(page: Any) -> None:
    """The pictures, of one reader's visit."""
    lab = Seen(page).ready()
    lab.edit("return (dy * derivative,)", "return (-dy * derivative,)")
    for name, prepare in {"laboratory-check": checked, "laboratory-train": trained}.items():
        prepare(lab)
        page.wait_for_timeout(300)
        picture = page.screenshot(path=ROOT / "docs" / f"{name}.png")
        print(f"docs/{name}.png: {len(picture):,} bytes")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        out = Path(folder) / "lab"
        load_build_lab().build(out, chapters.snippets(), served.pyodide())
        server, address = served.serve(out)
        page = browser.new_page(viewport={"width": 1320, "height": 860}, reduced_motion="reduce")
        page.goto(f"{address}index.html?pyodide=pyodide/&file=tinytensor/ops/gelu.py")
        taken(page)
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
