"""A page in the browser, and what it did there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Seen:
    """A page in the browser, and what it did that a page of ours never does."""

    page: Any
    said: list[str] = field(default_factory=list)  # console messages, errors and dialogs
    asked: list[str] = field(default_factory=list)  # addresses

    def check(self, path: Path) -> None:
        assert self.said == []
        assert self.asked == [path.as_uri()]


def watched(context: Any, path: Path) -> Seen:
    """A page in a context of the browser, when all of it is there."""
    page = context.new_page()
    seen = Seen(page)
    page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (seen.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: seen.asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    return seen


def cell_of(page: Any, label: str) -> Any:
    """The cell of a grid that the arrow keys move."""
    return page.get_by_role("grid", name=label, exact=True).locator("[role=gridcell]")
