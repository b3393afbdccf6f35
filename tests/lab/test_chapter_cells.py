"""The cells of every chapter in the laboratory of the site: each runs in the browser, without an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import served
from visits import Seen

pytestmark = pytest.mark.site
CHAPTERS = sorted(path.stem for path in (served.ROOT / "docs" / "chapters").glob("[0-9][0-9]-*.md"))


@pytest.fixture(scope="module")
def page(visit: Callable[..., Seen]) -> Any:
    """One page, and so one Python, for all chapters."""
    return visit(f"&chapter={CHAPTERS[0]}").ready().page


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_cell_of_a_chapter_runs(
    name: str, page: Any, site: str, record_property: Callable[[str, object], None]
) -> None:
    (chapter,) = (each for each in page.request.get(f"{site}snippets.json").json()["chapters"] if each["name"] == name)
    cells = chapter["cells"]
    page.locator("#chapter").select_option(name)
    page.locator("#run-all").click()
    page.wait_for_selector("#stop", state="hidden", timeout=300_000)
    heads = page.locator("#cells .cell-head > span").all_inner_texts()
    said = f"{name}: {len(heads)} snippets ran"
    record_property("said", said)
    print(said)
    outputs = page.locator("#cells pre.output").all_inner_texts()
    assert not [text for text in outputs if "The numbers are others than" in text]
    problems = page.locator("#panel-chapter .problem").all_inner_texts()
    assert problems == []
    assert len(heads) == len(cells) >= 3
    folded = page.locator("#cells .cell").evaluate_all("cells => cells.map((cell) => !!cell.querySelector('details'))")
    assert folded == chapter["hidden"], "what the page does not show is folded"
    assert [head.rpartition(" in ")[0] for head in heads] == [f"cell {i}, ran" for i, _ in enumerate(heads, 1)]
