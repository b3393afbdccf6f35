"""Write what is generated in docs/exercises.md, the table and two reports: python tests/learn/table.py"""

from __future__ import annotations

import re
from pathlib import Path

from gpt.learn import check_text, exercises, start_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exercises.md"
SEED = 1


def table() -> str:
    """The exercises in the order of the chapters."""
    rows = [
        f"| `{each.name}` | {each.kind} | [{each.chapter}](chapters/{each.chapter}.md) | {each.title} |"
        for each in exercises()
    ]
    return "\n".join(["| exercise | kind | chapter | |", "|---|---|---|---|", *rows])


def report(name: str, text: str, longest: int = 12) -> str:
    """What a check prints for this text."""
    lines = check_text(name, text, SEED).lines
    return "\n".join(["```", *lines[:longest], *(["    …"] if len(lines) > longest else []), "```"])


def wrong() -> str:
    """The check of the backward that the page shows."""
    (code,) = re.findall(r"```python\n(def backward.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return report("softmax", code)


def survivors() -> str:
    """The check of the test that readers start from."""
    return report("test_sampling", start_text("test_sampling"), 6)


def page() -> str:
    """The page with what is generated between its marks."""
    text = PAGE.read_text("utf-8")
    for mark, content in (
        ("exercises: python tests/learn/table.py", table()),
        ("wrong", wrong()),
        ("survivors", survivors()),
    ):
        end = f"<!-- /{mark.partition(':')[0]} -->"
        head, _, rest = text.partition(f"<!-- {mark} -->")
        text = f"{head}<!-- {mark} -->\n{content}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
