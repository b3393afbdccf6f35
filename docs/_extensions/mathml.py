"""Mathematics as MathML, which browsers set without a script and without a network."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext()))
    raise __import__("docutils").nodes.SkipNode


def display(self: Any, node: Any) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(convert(node.astext(), display="block"))
    self.body.append("</div>")
    raise __import__("docutils").nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
