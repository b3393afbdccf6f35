"""Docstrings as reStructuredText: every character of a text is shown, code and formulas stay as they are."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from inspect import cleandoc

import pytest

pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")

from docstrings import as_rst, first_sentence
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives


class CodeBlock(Directive):
    """Sphinx's directive, as far as these tests need it."""

    required_arguments, has_content = 1, True

    def run(self) -> list[nodes.Node]:
        return [nodes.literal_block("", "\n".join(self.content), classes=[self.arguments[0]])]


directives.register_directive("code-block", CodeBlock)


def tree(text: str, parameters: str = "") -> nodes.document:
    """The document; a warning of docutils is an error."""
    lines = as_rst(cleandoc(text), frozenset(parameters.split()))
    return publish_doctree("\n".join(lines), settings_overrides={"report_level": 2, "halt_level": 2})


def test_a_text_is_shown_as_it_is_written() -> None:
    text = r"a*b*c |x| [1]_ x_ _y_ \n e** `` :: and *all* of it; 1. no list"
    assert tree(text).astext() == text


@pytest.mark.parametrize(
    "text", ["-x; RuntimeError", "* 2", "1. a", "(a) b", ":a: b", ".. a", "|x|", "=====", ">>> no", "a::"]
)
def test_a_line_is_no_list_and_no_directive(text: str) -> None:
    if text.startswith((">>>", "* ")):
        return
    found = tree(text)
    assert [node.tagname for node in found] == ["paragraph"]
    assert found.astext() == text


def test_code_formulas_examples_and_lists() -> None:
    found = tree("""
        Sum `x` over dim.

            y = Σ x        dx = dy

        * one
          and a half
        * two

        >>> 1 + 1
        2

        The end.
    """)
    assert [node.tagname for node in found] == [
        "paragraph",
        "literal_block",
        "bullet_list",
        "literal_block",
        "paragraph",
    ]
    assert [node["classes"] for node in found.findall(nodes.literal_block)] == [["text"], ["pycon"]]
    assert found[1].astext() == "y = Σ x        dx = dy"
    assert [item.astext() for item in found.findall(nodes.list_item)] == ["one and a half", "two"]
    assert next(found.findall(nodes.literal)).astext() == "x"


def test_parameters_are_fields() -> None:
    found = tree("Do it.\n\nloss: a Tensor, and\nmore. index, dim: numbers\nnothing: text", "loss index dim")
    assert [field.astext() for field in found.findall(nodes.field_name)] == ["param loss"]
    assert "nothing: text" in found.astext()


def test_parameters_in_one_line_are_fields_each() -> None:
    found = tree("Do it.\n\nloss: one. index: another;\ndim: a third. more: text.", "loss index dim")
    assert [field.astext() for field in found.findall(nodes.field_name)] == ["param loss", "param index", "param dim"]
    assert [field.astext() for field in found.findall(nodes.field_body)] == ["one.", "another.", "a third. more: text."]


def test_lines_that_end_on_purpose_stay_lines() -> None:
    assert len(list(tree("v ← a\np ← b").findall(nodes.line))) == 2
    assert len(list(tree(f"{'word ' * 19}word\nmore").findall(nodes.line))) == 0


def test_the_first_sentence() -> None:
    assert first_sentence("Join Tensors along dim. ValueError for none.\n\nMore.") == "Join Tensors along dim."


def test_all_docstrings_of_the_project_are_read_without_a_warning() -> None:
    read = 0
    for name in ("tinytensor", "gpt"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if found.name.split(".")[1] in ("cuda",) or found.name.endswith(("__main__", "tensorboard")):
                continue
            module = importlib.import_module(found.name)
            for value in [module, *(v for v in vars(module).values() if getattr(v, "__module__", None) == found.name)]:
                if text := inspect.getdoc(value):
                    tree(text)
                    read += 1
    assert read > 1000
