"""A page of the laboratory in the browser, and what a reader does with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """A page, and what it said that a page of ours never says."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)  # bytes of each file until Python was there

    def ready(self) -> Seen:
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
        return self

    def engine(self, state: str) -> Seen:
        """Wait until Python is in this state: loading, ready, busy, failed."""
        is_so = "state => document.documentElement.dataset.engine === state"
        self.page.wait_for_function(is_so, arg=state, timeout=60_000)
        return self

    @property
    def status(self) -> str:
        return str(self.page.locator("#status").inner_text())

    def idle(self) -> Seen:
        """Wait until no work is done."""
        self.page.wait_for_selector("#stop", state="hidden", timeout=180_000)
        return self

    def open(self, path: str) -> None:
        self.page.evaluate("document.getElementById('files-box').open = true")
        self.page.locator(".file", has_text=path.rpartition("/")[2]).first.click()
        assert self.page.locator("#file-title").inner_text().startswith(path)

    def text(self, path: str) -> str:
        """A file as the page has it: as it was edited, or as it is in the engine."""
        return str(
            self.page.evaluate(
                "path => localStorage.getItem(`tinytensor.laboratory:edit:${path}`) ?? "
                "fetch('lab.json').then(answer => answer.json()).then(lab => lab.files[path])",
                path,
            )
        )

    def edit(self, before: str, after: str) -> None:
        """Replace a part of the open file by the keyboard alone, as a reader does."""
        page, keyboard = self.page, self.page.keyboard
        text = self.text(page.locator("#file-title").inner_text().split()[0])
        assert before in text, before
        above = text[: text.index(before)]
        page.locator("#editor .cm-content").focus()
        keyboard.press("Control+Home")
        for _ in range(above.count("\n")):
            keyboard.press("ArrowDown")
        keyboard.press("Home")
        keyboard.press("Home")  # the first one goes to the first letter of the line
        for _ in range(len(above) - above.rfind("\n") - 1):
            keyboard.press("ArrowRight")
        for _ in before:
            keyboard.press("Shift+ArrowRight")
        keyboard.insert_text(after)

    def focused(self, selector: str) -> bool:
        """Whether what has the keyboard is this."""
        return bool(self.page.evaluate("selector => document.activeElement.matches(selector)", selector))

    def in_sight(self, selector: str) -> bool:
        """Whether all of it is on the screen, below the tabs and not behind the lower edge of what scrolls it."""
        return bool(
            self.page.locator(selector).evaluate(
                "element => { const { top, bottom } = element.getBoundingClientRect();"
                "return top >= document.getElementById('tabs').getBoundingClientRect().bottom && bottom <= innerHeight; }"
            )
        )

    def kept(self, kind: str, name: str) -> str | None:
        """What the browser keeps of the reader's text."""
        text: str | None = self.page.evaluate(
            "key => localStorage.getItem(key)", f"tinytensor.laboratory:{kind}:{name}"
        )
        return text

    def write_elsewhere(self, kind: str, name: str, text: str | None) -> None:
        """Another tab of the same browser writes a text, or takes it back."""
        other = self.page.context.new_page()
        other.goto(self.page.url.partition("index.html")[0] + "pyodide.json")
        key, write = f"tinytensor.laboratory:{kind}:{name}", "([key, text]) => localStorage.setItem(key, text)"
        other.evaluate(write if text is not None else "([key]) => localStorage.removeItem(key)", [key, text])
        other.close()

    def check(self, *known: str) -> None:
        """No message in the console but those that are known."""
        assert [each for each in self.said if not any(part in each for part in known)] == []
