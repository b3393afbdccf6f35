"""What the page shows is what the engine computes: losses, predictions, attention, gradients, and what follows from a change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import watched
from pages import ALL, ALPHABET, TEXT, subject, written

import tinytensor as tt
from gpt.inspection.subject import Subject

pytestmark = pytest.mark.page
PATCH = "not to see to be or"
CELLS_OF = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"


@dataclass
class Case:
    """A page in the browser, and its model."""

    subject: Subject
    page: Any

    def engine(self, *edits: Callable[[Any], None], ids: Any = None) -> Any:
        """The trace of the engine over the text, or over other tokens, with edits."""
        ids = np.asarray(self.subject.ids if ids is None else ids, np.int64)
        with tt.trace(self.subject.model) as t:
            for edit in edits:
                edit(t)
            self.subject.model(tt.from_numpy(ids)[None])
        return t

    def losses(self, t: Any) -> np.ndarray:
        logits = t["head.output"].numpy(force=True)[0].astype(np.float64)
        logs = logits - logits.max(-1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
        return -logs[np.arange(len(logits) - 1), np.asarray(self.subject.ids)[1:]]

    def number(self, selector: str) -> float:
        return read(self.page.text_content(selector))

    def table(self, summary: str) -> list[list[str]]:
        """The rows of the table behind a summary."""
        details = self.page.locator("details.later", has=self.page.locator("summary", has_text=summary)).first
        if details.get_attribute("open") is None:
            details.locator("summary").click()
            details.locator("table").wait_for()
        return details.locator("tbody tr").evaluate_all(CELLS_OF)


def read(text: str) -> float:
    """A number as the page writes it."""
    return float(re.sub(r"[^0-9eE.+-]", "", text.replace("−", "-")))


@pytest.fixture(scope="module", params=["default", "all"])
def first(request: Any, tmp_path_factory: Any, browser: Any) -> Iterator[Case]:
    given = subject(TEXT, PATCH, **(ALL if request.param == "all" else {}))
    path = written(given, tmp_path_factory.mktemp("page") / "page.html")
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield Case(given, watched(context, path).page)
    context.close()


@pytest.fixture
def case(first: Case) -> Case:
    """The page anew."""
    first.page.reload()
    first.page.wait_for_selector("html[data-ready]", state="attached")
    return first


def gradients(given: Subject) -> Any:
    ids = np.asarray(given.ids, np.int64)
    targets = np.append(ids[1:], -100)
    given.model.zero_grad()
    with tt.trace(given.model) as t:
        _, loss = given.model(tt.from_numpy(ids)[None], tt.from_numpy(targets)[None])
        loss.backward()
    return t


def test_the_page_agrees_with_the_engine_and_says_so(case: Case, record_property: Any) -> None:
    difference = float(case.page.get_attribute("#self-check", "data-difference"))
    record_property("said", f"the page: largest difference of a logit {difference:.1e}")
    assert difference <= 1e-5
    assert case.page.locator(".checks .bad").count() == 0


def test_the_losses_are_the_engines(case: Case) -> None:
    rows = case.table("The numbers as a table")
    assert len(rows) == len(TEXT) - 1
    np.testing.assert_allclose([read(row[2]) for row in rows], case.losses(case.engine()), rtol=6e-4)


def test_the_predictions_after_a_token_are_the_engines(case: Case) -> None:
    case.page.locator("#text [role=option]").nth(6).click()
    logits = case.engine()["head.output"].numpy(force=True)[0, 6].astype(np.float64)
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    shown = case.page.locator("#text .after .bars li").evaluate_all(
        "rows => rows.map(row => [row.querySelector('.token-mark').textContent, row.querySelector('.figure').textContent])"
    )
    assert [text.replace("␣", " ").replace("↵", "\n") for text, _ in shown] == [ALPHABET[i] for i in np.argsort(-p)[:5]]
    for (_, text), value in zip(shown, np.sort(p)[::-1][:5], strict=True):
        assert read(text) == pytest.approx(100 * value, abs=0.51)


def test_the_lens_is_the_engines(case: Case) -> None:
    rows = case.table("Mean loss at each place")
    model, t = case.subject.model, case.engine()
    start = "blocks.0.input" if case.subject.config.positions == "learned" else "embedding.output"
    places = [start, *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("feed_forward_norm.input", "output"))]
    assert len(rows) == len(places)
    for (_, shown), place in zip(rows, places, strict=True):
        with tt.trace(model) as lens:
            model.head(model.norm(t[place]))
        assert read(shown) == pytest.approx(case.losses({"head.output": lens["head.output"]}).mean(), rel=6e-4)


def test_the_shares_of_a_prediction_add_up(case: Case) -> None:
    """The last line of a bubble is the sum of all parts: the logit of the token that came, less the mean of all logits."""
    grid = case.page.locator("#residual .grid").nth(1)
    logits = case.engine()["head.output"].numpy(force=True)[0].astype(np.float64)
    cell = grid.locator("[role=gridcell]")
    cell.focus()
    for t in range(4):
        shown = read(cell.get_attribute("aria-label").split("all parts: ")[1])
        assert shown == pytest.approx(logits[t, case.subject.ids[t + 1]] - logits[t].mean(), rel=6e-3)
        cell.press("ArrowRight")


def test_a_cell_of_a_map_has_the_weight_of_the_engine(case: Case) -> None:
    weights = case.engine()["blocks.1.attention.weights"].numpy(force=True)[0]
    cell = case.page.get_by_role("grid", name="Attention weights of block 1, head 2").locator("[role=gridcell]")
    cell.focus()
    for _ in range(9):
        cell.press("ArrowDown")
    for s in range(9):
        assert read(cell.get_attribute("aria-label").split("weight ")[1]) == pytest.approx(weights[2, 9, s], rel=6e-3)
        cell.press("ArrowRight")


CELLS = [
    ("embedding.output", (3, 5)),
    ("blocks.0.attention_norm.output", (4, 1)),
    ("blocks.0.attention.qkv.output", (18, 7)),
    ("blocks.0.attention.scores", (2, 11, 4)),
    ("blocks.1.attention.weights", (1, 9, 3)),
    ("blocks.1.feed_forward.activation.output", (0, 12)),
    ("blocks.1.output", (17, 15)),
    ("head.output", (5, 6)),
]


def opened(case: Case, name: str, index: tuple[int, ...]) -> None:
    """Open the panel of a cell with the keyboard."""
    case.page.locator("#values details.group").evaluate_all("groups => groups.forEach(group => (group.open = true))")
    grid = case.page.get_by_role("grid", name=f"Values of {name}: rows are tokens", exact=True)
    columns = int(grid.get_attribute("aria-colcount"))
    heads = 1 if len(index) == 2 else columns // case.engine()[name].shape[-1]
    row, column = index[-2], index[-1] if len(index) == 2 else index[0] * (columns // heads) + index[2]
    cell = grid.locator("[role=gridcell]")
    cell.focus()
    cell.press("Home")
    for _ in range(row):
        cell.press("ArrowDown")
    for _ in range(column):
        cell.press("ArrowRight")
    cell.press("Enter")


@pytest.mark.parametrize(("name", "index"), CELLS)
def test_the_panel_has_the_value_and_the_gradient(case: Case, name: str, index: tuple[int, ...]) -> None:
    t = gradients(case.subject)
    opened(case, name, index)
    value, gradient = case.page.locator("#panel .numbers-list dd").all_text_contents()
    assert read(value) == pytest.approx(t[name].numpy(force=True)[0][index], rel=2e-5, abs=1e-5)
    scale = float(np.abs(t[name].grad.numpy()).max())
    assert read(gradient) == pytest.approx(t[name].grad.numpy()[0][index], rel=2e-3, abs=1e-6 * scale)
    assert case.page.locator("#panel .line.here").count() >= 1
    assert "gpt/" in case.page.text_content("#panel .source summary")


def test_the_products_of_a_layer_add_up_in_the_panel(case: Case) -> None:
    name, (t, o) = "blocks.0.feed_forward.up.output", (7, 3)
    opened(case, name, (t, o))
    case.page.get_by_role("button", name="Show all").click()
    rows = case.page.locator("#panel .long tbody tr").evaluate_all(CELLS_OF.replace("textContent", "innerText"))
    trace = case.engine()
    x, w = trace["blocks.0.feed_forward.up.input"].numpy(force=True)[0, t], case.subject.model.blocks[0].feed_forward.up
    products = x * w.weight.numpy(force=True)[o]
    shown = {int(re.search(r", (\d+)\]", row[0])[1]): read(row[3]) for row in rows if "norm.output" in row[0]}
    assert len(shown) == len(x)
    for i, product in enumerate(products):
        assert shown[i] == pytest.approx(product, rel=1e-3, abs=1e-6)
    order = [abs(read(row[3])) for row in rows if "norm.output" in row[0]]
    assert order == sorted(order, reverse=True)
    result = read(case.page.text_content("#panel .formula.numbers").split("= ")[-1])
    assert result == pytest.approx(trace[name].numpy(force=True)[0, t, o], abs=1e-5)


WEIGHTS = ["blocks.1.feed_forward.projection.weight", "blocks.0.attention_norm.weight", "embedding.weight"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_why_adds_up_to_the_gradient_of_a_weight(case: Case, name: str) -> None:
    gradient = dict(gradients(case.subject).model.named_parameters())[name].grad.numpy()
    case.page.locator("summary", has_text="The parameters, number by number").click()
    cell = case.page.get_by_role("grid", name=f"Values of {name}", exact=True).locator("[role=gridcell]")
    cell.focus()
    for key in ["ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"]:
        cell.press(key)
    expected = gradient[2, 3] if gradient.ndim == 2 else gradient[3]
    shown = case.page.locator("#panel .numbers-list dd").all_text_contents()[1]
    assert read(shown) == pytest.approx(expected, rel=3e-3, abs=3e-3 * float(np.abs(gradient).max()))
    more = case.page.get_by_role("button", name="Show all")
    if more.count():
        more.click()
    parts = case.page.locator("#panel .long tbody tr td:last-child").all_text_contents()
    assert sum(map(read, parts)) == pytest.approx(read(shown), rel=1e-2, abs=1e-3 * float(np.abs(gradient).max()))
    check = case.page.locator("#why-check")
    assert float(check.get_attribute("data-page")) == pytest.approx(float(check.get_attribute("data-engine")), rel=2e-3)


# ------------------------------------------------------------------------------------------------------------- changes


def compare(case: Case, t: Any) -> None:
    """The numbers of section 6 are those of the engine's run t."""
    before, after = case.losses(case.engine()), case.losses(t)
    assert case.number("#loss-before") == pytest.approx(before.mean(), abs=1e-5)
    assert case.number("#loss-after") == pytest.approx(after.mean(), abs=1e-5)
    rows = case.table("What changed, as a table")
    np.testing.assert_allclose([read(row[3]) for row in rows], after, rtol=6e-5, atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_heads_that_are_off_change_what_they_change_in_the_engine(case: Case) -> None:
    heads = [(0, 1), (1, 3), (1, 0)]
    for layer, head in heads:
        case.page.get_by_label(f"block {layer}, head {head}", exact=True).press("Space")
    compare(case, case.engine(lambda t: [t.ablate(f"blocks.{i}.attention", head=h) for i, h in heads]))
    assert case.page.locator(".edits li").count() == 3
    case.page.get_by_label("block 1, head 3", exact=True).press("Space")
    compare(case, case.engine(lambda t: [t.ablate(f"blocks.{i}.attention", head=h) for i, h in heads[::2]]))


def test_each_head_alone(case: Case) -> None:
    case.page.click("#change-each")
    case.page.locator(".alone:empty").first.wait_for(state="detached")
    shown = [read(text) for text in case.page.locator(".alone").all_text_contents()]
    plain = case.losses(case.engine()).mean()
    heads = [(layer, head) for layer in range(2) for head in range(4)]
    for value, (layer, head) in zip(shown, heads, strict=True):
        t = case.engine(lambda t, layer=layer, head=head: t.ablate(f"blocks.{layer}.attention", head=head))
        assert value == pytest.approx(case.losses(t).mean() - plain, rel=6e-3, abs=1e-5)


PLACES = [("embedding", ""), ("block 0", "blocks.0.output"), ("block 1", "blocks.1.output")]


@pytest.mark.parametrize(("place", "name"), PLACES)
def test_a_patch_changes_what_it_changes_in_the_engine(case: Case, place: str, name: str) -> None:
    name = name or ("blocks.0.input" if case.subject.config.positions == "learned" else "embedding.output")
    other = case.engine(ids=case.subject.patch)[name].numpy(force=True)[0, 4]
    case.page.select_option("#patch-place", label=place)
    case.page.fill("#patch-to", "11")
    case.page.fill("#patch-from", "4")
    case.page.click("#patch-add")
    compare(case, case.engine(lambda t: t.patch(name, tt.from_numpy(other), (0, 11))))


def test_a_patch_from_a_text_that_is_typed_and_a_head_that_is_off(case: Case) -> None:
    case.page.fill("#patch-text", "ebs tee")
    ids = case.subject.tokenizer.encode("ebs tee")
    other = case.engine(ids=ids)["blocks.0.output"].numpy(force=True)[0, 2]
    case.page.select_option("#patch-place", label="block 0")
    case.page.fill("#patch-to", "3")
    case.page.fill("#patch-from", "2")
    case.page.click("#patch-add")
    case.page.get_by_label("block 1, head 2", exact=True).press("Space")

    def edits(t: Any) -> None:
        t.patch("blocks.0.output", tt.from_numpy(other), (0, 3))
        t.ablate("blocks.1.attention", head=2)

    compare(case, case.engine(edits))


def test_the_future_is_grey_in_both_maps_of_the_weights(case: Case) -> None:
    case.page.locator("#values details.group").evaluate_all("groups => groups.forEach(group => (group.open = true))")
    for name in ("Attention weights of block 0, head 3", "Values of blocks.0.attention.weights: rows are tokens"):
        canvas = case.page.get_by_role("grid", name=name).locator("canvas")
        canvas.scroll_into_view_if_needed()
        case.page.wait_for_timeout(100)
        right = "each => [...each.getContext('2d').getImageData(each.width - 2, 2, 1, 1).data]"
        assert canvas.evaluate(right) == [236, 235, 230, 255], name


def test_a_patch_begins_where_the_texts_differ(tmp_path: Path, browser: Any) -> None:
    given = subject(TEXT, "to see, or not to be")
    context = browser.new_context()
    page = watched(context, written(given, tmp_path / "page.html")).page
    assert [page.input_value(f"#patch-{field}") for field in ("to", "from")] == ["3", "3"]
    page.fill("#patch-text", "to be or")
    assert [page.input_value(f"#patch-{field}") for field in ("to", "from")] == ["5", "5"]
    context.close()


@pytest.mark.parametrize("place", ["embedding", "block 1"])
def test_a_patch_of_an_equal_vector_changes_nothing(case: Case, place: str) -> None:
    case.page.fill("#patch-text", "to be or")
    case.page.select_option("#patch-place", label=place)
    case.page.fill("#patch-to", "4")
    case.page.fill("#patch-from", "4")
    case.page.click("#patch-add")
    assert case.page.text_content("#change-result").endswith("nothing changes, because the vectors are equal.")
    assert {row[4] for row in case.table("What changed, as a table")} == {"0.00"}
    assert case.page.locator(".edits li").count() == 1


def test_reset_takes_every_change_back(case: Case) -> None:
    case.page.get_by_label("block 0, head 0", exact=True).press("Space")
    case.page.click("#patch-add")
    assert case.number("#loss-after") != case.number("#loss-before")
    case.page.click("#change-reset")
    assert case.page.text_content("#change-result").endswith("nothing is changed.")
    assert case.number("#loss-after") == case.number("#loss-before")
    assert case.page.locator(".switches input:not(:checked)").count() == 0
    assert case.page.locator(".edits li").count() == 0


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"#patch-text": "to be?"}, "The model knows no ?"),
        ({"#patch-text": ""}, "The other text is empty"),
        ({"#patch-text": "be" * 40}, "has 80 characters, and the context is 32"),
        ({"#patch-to": "19"}, "a number from 0 to 18"),
        ({"#patch-from": "-1"}, "has 19 tokens, so its token is a number from 0 to 18"),
        ({"#patch-to": "1.5"}, "a number from 0 to 18"),
        ({"#patch-to": ""}, "a number from 0 to 18"),
    ],
)
def test_a_wrong_patch_is_refused(case: Case, fields: dict[str, str], error: str) -> None:
    for selector, value in fields.items():
        case.page.fill(selector, value)
    case.page.click("#patch-add")
    assert error in case.page.text_content("#patch-error")
    assert case.page.text_content("#change-result").endswith("nothing is changed.")
