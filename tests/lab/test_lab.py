"""The laboratory as a reader uses it: edit, check, train, compare, undo; and what goes wrong on the way."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import served
from visits import Seen

from gpt import learn, museum

pytestmark = pytest.mark.site
Visit = Callable[..., Seen]
GELU = "tinytensor/ops/gelu.py"
RIGHT, WRONG = "return (dy * derivative,)", "return (-dy * derivative,)"
LOSS = 2.2  # the average after 300 steps; the frequencies of characters have 3.1, those of pairs 2.4


def rows(page: Any) -> dict[str, str]:
    """The verdicts of the gradient check by primitive."""
    found = page.locator("#check-table tr[data-name]")
    return dict(found.evaluate_all("all => all.map(each => [each.dataset.name, each.className])"))


def figures(page: Any) -> dict[str, str]:
    pairs = page.locator("#figures div").evaluate_all(
        "all => all.map(each => [each.firstChild.textContent, each.lastChild.textContent])"
    )
    return dict(pairs)


def train(seen: Seen, steps: int) -> None:
    """Make so many steps from scratch."""
    page = seen.page
    page.locator("#tab-train").click()
    page.locator("#steps").fill(str(steps))
    page.locator("#steps").press("Tab")
    page.locator("#run").click()
    is_there = "steps => document.querySelector('#figures').textContent.includes(`${steps} of ${steps}`)"
    page.wait_for_function(is_there, arg=steps, timeout=240_000)
    seen.idle()


def trained(seen: Seen) -> None:
    """Some model, whichever test trained it."""
    seen.page.locator("#tab-train").click()
    if seen.page.locator("#look").is_disabled():
        train(seen, 30)


# ------------------------------------------------------------------------------------------------------- the first visit


def test_the_first_visit_loads_less_than_20_megabytes(
    lab: Seen, record_property: Callable[[str, object], None]
) -> None:
    """All bytes that the server sent to this page until Python was ready."""
    total = sum(lab.sent.values())
    pyodide = sum(size for path, size in lab.sent.items() if path.startswith("/pyodide/"))
    editor = lab.sent["/codemirror.js"]
    parts = f"{pyodide / 1e6:.1f} of Pyodide and NumPy, {editor / 1e6:.1f} of the editor"
    said = f"first visit: {total / 1e6:.1f} MB: {parts}, {(total - pyodide - editor) / 1e6:.1f} of this project"
    record_property("said", said)
    print(said)
    assert 10e6 < total < 20e6
    assert lab.status.startswith("Ready: Python 3.14")
    lab.check()


def test_nothing_is_asked_of_another_host(lab: Seen, site: str) -> None:
    assert [url for url in lab.asked if not url.startswith((site, "blob:", "data:"))] == []


def test_pyodide_comes_from_its_own_host_without_the_parameter(browser: Any, site: str) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.route(re.compile("^https:"), lambda route: (asked.append(route.request.url), route.abort()))
    page.goto(f"{site}index.html")
    page.wait_for_selector("#notices .bad")
    assert asked and all(url.startswith("https://cdn.jsdelivr.net/pyodide/v314.0.3/full/") for url in asked)
    page.context.close()


def test_an_altered_file_is_refused(visit: Visit) -> None:
    """One byte of the standard library, in the middle."""

    def altered(context: Any) -> None:
        content = bytearray((served.CACHE / "python_stdlib.zip").read_bytes())
        content[len(content) // 2] ^= 1
        context.route("**/python_stdlib.zip", lambda route: route.fulfill(body=bytes(content), status=200))

    seen = visit(before=altered).ready()
    said = seen.page.locator("#notices").inner_text()
    assert "“python_stdlib.zip” is not the file that this page was made for" in said
    assert seen.page.locator("#retry").is_visible()
    assert seen.page.evaluate("document.documentElement.dataset.engine") == "failed"
    seen.check()
    seen.page.context.close()


# ------------------------------------------------------------------------------------------- edit, check, train, undo


def test_a_wrong_sign_turns_its_row_red_and_undo_brings_it_back(clean: Seen) -> None:
    page = clean.page
    clean.open(GELU)
    assert page.locator("#check-edited").is_disabled()
    clean.edit(RIGHT, WRONG)
    assert page.locator("#edited-count").inner_text() == "1 edited"
    page.locator("#check-all").click()
    page.wait_for_function("document.querySelector('#check-summary').textContent.includes('wrong')", timeout=120_000)
    found = rows(page)
    assert len(found) > 60
    assert {name for name, verdict in found.items() if verdict != "right"} == {"gelu_tanh"}
    assert re.search(r"^1 of \d+ primitives is wrong: gelu_tanh\.$", page.locator("#check-summary").inner_text())
    page.locator("#check-edited").click()
    clean.idle()
    assert rows(page) == {"gelu_tanh": "wrong"}

    page.locator("#show-changes").click()
    changes = page.locator("#changes")
    assert changes.locator(".out").inner_text().endswith(RIGHT) and changes.locator(".in").inner_text().endswith(WRONG)
    page.locator("#undo").click()
    assert page.locator("#edited-count").inner_text() == ""
    page.locator("#redo").click()
    assert WRONG in clean.text(GELU) and page.locator("#redo").is_hidden()
    page.locator("#undo-all").click()
    again = page.locator("#check-edited")
    assert again.inner_text() == "Check these again"
    again.click()
    clean.idle()
    assert rows(page) == {"gelu_tanh": "right"} and again.is_disabled()
    page.locator("#check-all").click()
    page.wait_for_function("document.querySelector('#check-summary').textContent.startsWith('All')", timeout=120_000)
    assert set(rows(page).values()) == {"right"}
    clean.check()


def test_300_steps_learn_the_text(clean: Seen, record_property: Callable[[str, object], None]) -> None:
    page = clean.page
    started = time.perf_counter()
    train(clean, 300)
    seconds = time.perf_counter() - started
    found = figures(page)
    said = f"300 steps in {seconds:.1f} s, the last at {found['a step takes']} a step; loss {found['loss']}"
    record_property("said", said)
    print(said)
    assert float(found["loss"]) < LOSS
    steps = page.locator("#samples li").evaluate_all("all => all.map(each => each.dataset.step)")
    assert steps[0] == "300" and steps[-1] == "0" and len(steps) >= 5
    texts = page.locator("#samples q").all_inner_texts()
    assert len(set(texts)) == len(texts)
    clean.check()


def test_a_press_on_train_trains_although_it_ends_another_change(clean: Seen) -> None:
    """The mouse goes down on the button: then the field that had the keyboard says that it has changed. Nothing may move."""
    page = clean.page
    trained(clean)
    drawn = page.locator("#samples li").count()
    page.locator("#steps").fill("20")
    page.locator("#run").scroll_into_view_if_needed()
    box = page.locator("#run").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    assert page.locator("#samples li").count() == drawn and page.locator("#run").bounding_box() == box
    page.mouse.up()
    clean.idle()
    assert figures(page)["step"] == "20 of 20"
    clean.check()


def test_the_page_of_the_inspector_shows_the_model(clean: Seen) -> None:
    page = clean.page
    trained(clean)
    page.locator("#inspected").fill("The tape plays")
    with page.context.expect_page() as opened:
        page.locator("#look").click()
    inside = opened.value
    inside.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
    assert inside.evaluate("opener") is None and page.locator("#page-link").get_attribute("href") == inside.url
    assert inside.locator("#quoted").inner_text() == "The tape plays"
    assert inside.locator("#text [role=option]").count() == len("The tape plays")
    inside.close()
    clean.check()


def test_weights_are_saved_and_loaded(clean: Seen, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    page = clean.page
    trained(clean)
    sample = page.locator("#samples q").first.inner_text()
    page.locator(
        "#weights"
    ).focus()  # far below: its column scrolls to it, and the page, which no wheel scrolls back, does not
    assert page.evaluate("[scrollY, document.activeElement.id]") == [0, "weights"]
    with page.expect_download() as download:
        page.locator("#save").click()
    clean.idle()
    assert clean.status == f"Saved as “{download.value.suggested_filename}”"
    path = tmp_path / "weights.safetensors"
    download.value.save_as(path)
    assert load_file(path)["embedding.weight"].shape[1] == 64
    page.locator("#reset").click()
    assert page.locator("#samples li").count() == 0
    page.locator("#weights").set_input_files(path)
    page.wait_for_selector("#samples q")
    assert page.locator("#samples q").first.inner_text() == sample
    clean.idle()
    assert clean.status.startswith("“weights.safetensors”: weights after ")
    path.write_bytes(b"no weights")
    page.locator("#weights").set_input_files(path)
    assert "has no weights of the laboratory" in page.locator("#panel-train .problem").inner_text()
    page.locator("#reset").click()
    clean.check()


def test_the_curve_of_a_broken_engine_differs(clean: Seen) -> None:
    page = clean.page
    clean.open(GELU)
    clean.edit(RIGHT, WRONG)
    train(clean, 30)
    found = figures(page)
    edited, original = float(found["loss, edited"]), float(found["loss, original"])
    assert edited > original + 0.1
    curves = page.locator("#chart path.smooth").evaluate_all("all => all.map(each => each.getAttribute('d'))")
    assert len(curves) == 2 and curves[0] != curves[1]
    assert page.locator("#samples .edited").count() and page.locator("#samples .original").count()
    page.locator("#undo-all").click()
    train(clean, 30)
    assert float(figures(page)["loss"]) == original  # the same numbers as those of the engine that was never edited
    clean.check()


def test_a_training_pauses_goes_on_and_makes_one_step(clean: Seen) -> None:
    page = clean.page
    page.locator("#tab-train").click()
    page.locator("#steps").fill("200")
    page.locator("#steps").press("Tab")
    page.locator("#run").click()
    page.wait_for_function("document.querySelectorAll('#samples li').length >= 1", timeout=60_000)
    assert page.locator("#run").inner_text() == "Pause"
    page.locator("#run").click()
    clean.idle()
    step = int(figures(page)["step"].split()[0])
    assert 0 < step < 200 and clean.status == f"Paused after step {step}"
    page.locator("#step").click()
    clean.idle()
    assert figures(page)["step"] == f"{step + 1} of 200"
    assert page.locator("#run").inner_text() == "Go on"
    clean.open(GELU)
    clean.edit(RIGHT, WRONG)
    assert page.locator("#run").inner_text() == "Train"  # another engine begins anew
    page.locator("#undo-all").click()
    assert page.locator("#run").inner_text() == "Go on"
    page.locator("#reset").click()
    assert page.locator("#chart svg").count() == 0
    clean.check()


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_a_syntax_error_is_told_with_its_line(clean: Seen) -> None:
    page = clean.page
    clean.open(GELU)
    clean.edit("    y = x * s\n", "    y = = x * s\n")
    page.locator("#check-edited").click()
    problem = page.locator("#panel-check .problem")
    problem.wait_for(timeout=60_000)
    assert "SyntaxError: invalid syntax" in problem.inner_text() and f"{GELU}, line 31" in problem.inner_text()
    assert "y = = x * s" in problem.inner_text()
    problem.get_by_role("button", name=f"{GELU}, line 31").click()
    assert page.locator(".cm-wrong").inner_text().strip() == "y = = x * s"
    page.locator("#tab-train").click()
    page.locator("#run").click()
    page.wait_for_selector("#panel-train .problem")
    assert "SyntaxError" in page.locator("#panel-train .problem").inner_text()
    assert page.locator("#edited-count").inner_text() == "1 edited"
    clean.check()


def test_an_exception_is_told_with_the_line_of_the_edited_file(clean: Seen) -> None:
    page = clean.page
    clean.open(GELU)
    clean.edit("np.tanh(s, out=s)", "np.tanhh(s, out=s)")
    page.locator("#check-edited").click()
    clean.idle()
    assert rows(page) == {"gelu_tanh": "wrong"}
    said = page.locator("#check-table .problem").inner_text()
    assert "AttributeError" in said and "tanhh" in said and f"{GELU}, line 28" in said
    clean.check()


def test_an_endless_loop_is_stopped_and_loses_no_edit(clean: Seen) -> None:
    page = clean.page
    clean.open(GELU)
    clean.edit("    y = x * s\n", "    while True:\n        pass\n    y = x * s\n")
    page.locator("#check-edited").click()
    page.wait_for_timeout(1500)
    assert page.locator("#stop").is_visible()
    page.locator("#stop").click()
    page.wait_for_function("document.documentElement.dataset.engine === 'ready'", timeout=60_000)
    assert "Stopped. Your edits are kept" in clean.status
    assert "while True:" in page.locator("#editor .cm-content").inner_text()
    page.locator("#undo").click()
    page.locator("#tab-check").click()
    page.locator("#check-all").click()  # Python is there again
    page.wait_for_selector("#check-table tr.right", timeout=60_000)
    page.locator("#stop").click()
    page.wait_for_function("document.documentElement.dataset.engine === 'ready'", timeout=60_000)
    clean.check()


def test_a_file_that_is_too_large_or_no_text_is_refused(clean: Seen, tmp_path: Path) -> None:
    page = clean.page
    page.locator("#tab-train").click()
    large, odd, short = tmp_path / "large.txt", tmp_path / "odd.txt", tmp_path / "short.txt"
    large.write_text("a line of text\n" * 200_000)
    odd.write_bytes(b"\xff\xfe\x00")
    short.write_text("too short to learn from")
    said = page.locator("#panel-train .problem")
    page.locator("#file").set_input_files(large)
    assert "“large.txt” has 3.0 MB; a text may have 2 MB here" in said.inner_text()
    assert page.locator("#text").input_value() == "served"
    page.locator("#file").set_input_files(odd)
    said.filter(has_text="“odd.txt” is no text in UTF-8").wait_for()
    page.locator("#file").set_input_files(short)
    page.locator("#run").click()
    said.wait_for()
    assert "the text has 23 characters; it needs at least 650" in said.inner_text().lower()
    page.locator("#text").select_option("served")
    clean.check()


def test_a_lost_connection_is_told_and_loses_no_edit(visit: Visit) -> None:
    """Python does not load; the reader edits all the same, the connection comes back, and the edit is checked."""
    seen = visit(before=lambda context: context.route("**/pyodide/**", lambda route: route.abort())).ready()
    page = seen.page
    assert (
        "could not be loaded" in page.locator("#notices").inner_text() and seen.status == "Python could not be loaded"
    )
    seen.open(GELU)
    seen.edit(RIGHT, WRONG)
    page.context.unroute("**/pyodide/**")
    page.reload()
    seen.ready()
    assert page.locator("#edited-count").inner_text() == "1 edited"
    seen.open(GELU)
    assert WRONG in page.locator("#editor .cm-content").inner_text()
    page.context.set_offline(True)  # Python is there; it does not need the network any more
    page.locator("#check-edited").click()
    page.wait_for_selector("#check-table tr.wrong", timeout=60_000)
    page.locator("#tab-train").click()
    page.locator("#step").click()
    page.wait_for_selector("#samples li", timeout=60_000)
    seen.check("net::ERR_")
    page.context.close()


def test_an_edit_of_another_version_is_told(visit: Visit) -> None:
    """The site is built anew with another gelu.py; the edit is of the one before. A reload keeps what was decided."""
    seen = visit()
    page = seen.page
    seen.open(GELU)
    seen.edit(RIGHT, WRONG)
    page.reload()
    page.wait_for_selector("html[data-page]", state="attached")
    assert page.locator("#notices p").count() == 0  # the version is the same

    def newer(route: Any) -> None:
        lab = route.fetch().json()
        lab["files"][GELU] += "# a newer line\n"
        lab["hashes"][GELU] = "another"
        route.fulfill(json=lab)

    page.context.route("**/lab.json", newer)
    page.reload()
    page.wait_for_selector("html[data-page]", state="attached")
    told = page.locator("#notices .older")
    assert f"Your {GELU} is an edit of another version of this file" in told.inner_text()
    told.get_by_role("button", name="Show the difference").click()
    assert [each.rpartition("−")[2].strip() for each in page.locator("#changes .out").all_inner_texts()] == [
        RIGHT,
        "# a newer line",
    ]
    page.reload()
    page.wait_for_selector("html[data-page]", state="attached")
    told.get_by_role("button", name="Keep my edit").click()
    assert told.count() == 0 and page.locator("#edited-count").inner_text() == "1 edited"
    page.reload()
    page.wait_for_selector("html[data-page]", state="attached")
    assert told.count() == 0 and page.locator("#edited-count").inner_text() == "1 edited"
    page.context.unroute("**/lab.json")
    page.reload()  # the version of before: as new as any other
    page.wait_for_selector("html[data-page]", state="attached")
    told.get_by_role("button", name="Undo my edit").click()
    assert told.count() == 0 and page.locator("#edited-count").inner_text() == ""
    page.locator("#redo").click()
    page.reload()
    page.wait_for_selector("html[data-page]", state="attached")
    told.get_by_role("button", name="Undo my edit").click()
    assert told.count() == 0 and page.locator("#edited-count").inner_text() == ""
    seen.open(GELU)
    assert RIGHT in page.locator("#editor .cm-content").inner_text()
    seen.check()
    page.context.close()


def altered(content: bytes) -> bytes:
    """One byte of it, in the middle."""
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def test_another_host_cannot_bring_other_bytes(visit: Visit) -> None:
    """?pyodide names a host: what it serves is compared, and one of its files that is another one is not run."""
    asked: list[str] = []

    def serve(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        asked.append(name)
        content = (served.CACHE / name).read_bytes()
        body = altered(content) if name == "pyodide.mjs" and is_altered else content
        route.fulfill(body=body, headers={"Access-Control-Allow-Origin": "*"})

    for is_altered in (False, True):
        asked.clear()
        seen = visit(
            pyodide="https://other-host.test/here/",
            before=lambda context: context.route("https://other-host.test/**", serve),
        ).ready()
        assert {*served.PINNED} == {*asked}
        state = seen.page.evaluate("document.documentElement.dataset.engine")
        said = seen.page.locator("#notices").inner_text()
        if is_altered:
            assert state == "failed" and "“pyodide.mjs” is not the file that this page was made for" in said
            assert seen.page.workers == []
        else:
            assert state == "ready" and said == ""
        seen.check()
        seen.page.context.close()


def test_an_altered_text_is_refused(visit: Visit, site: str) -> None:
    def other(context: Any) -> None:
        context.route("**/text.txt", lambda route: route.fulfill(body=altered(route.fetch().body())))

    seen = visit(before=other).ready()
    assert "“text.txt” is not the file that this page was made for" in seen.page.locator("#notices").inner_text()
    seen.check()
    seen.page.context.close()


def test_an_altered_package_is_refused(visit: Visit) -> None:
    """matplotlib, which a cell imports: its hash is in the lock file, which is pinned."""

    def other(context: Any) -> None:
        context.route("**/matplotlib-*.whl", lambda route: route.fulfill(body=altered(route.fetch().body())))

    seen = visit("&chapter=00-products", before=other).ready()
    page = seen.page
    page.locator("#cells .cell").nth(1).get_by_role("button", name="Run cell 2").click()
    said = page.locator("#panel-chapter .problem")
    said.wait_for(timeout=60_000)
    assert "matplotlib" in said.inner_text() and "could not be loaded" in said.inner_text()
    assert page.locator("#cells img").count() == 0
    page.context.unroute("**/matplotlib-*.whl")
    page.locator("#cells .cell").nth(1).get_by_role("button", name="Run cell 2").click()
    page.wait_for_selector("#cells img", timeout=120_000)
    seen.idle().check("integrity", "net::ERR_")
    page.context.close()


LOOP = "    while True:\n        pass\n    y = x * s\n"


def test_work_that_begins_while_python_loads_keeps_its_stop(visit: Visit) -> None:
    """An endless loop is kept, and checked before Python is there: Stop ends it; then the museum and exercises come."""
    text = (served.ROOT / GELU).read_text("utf-8").replace("    y = x * s\n", LOOP)
    keep = f"localStorage.setItem({f'tinytensor.laboratory:edit:{GELU}'!r}, {json.dumps(text)})"
    seen = visit("&bug=no-scale", before=lambda context: context.add_init_script(keep))
    page = seen.page
    assert page.evaluate("document.documentElement.dataset.engine") == "loading"
    page.locator("#check-edited").click()
    assert page.locator("#stop").is_visible()
    page.wait_for_selector("#check-summary:has-text('Importing the engine')")
    page.wait_for_timeout(1500)
    assert page.locator("#stop").is_visible() and page.locator("#check-all").is_disabled()
    assert page.locator("#tab-museum").count() == 0
    page.locator("#stop").click()
    seen.ready().idle()
    page.wait_for_selector("#tab-museum[aria-selected=true]")
    assert (
        page.locator("#tab-exercises").count() == 1 and page.locator("#bug-no-scale").get_attribute("data-on") == "true"
    )
    assert page.locator("#check-all").is_enabled()
    seen.check()
    page.context.close()


def test_a_stop_while_python_starts_leaves_one_python(visit: Visit) -> None:
    """Stop while the files load, and again while Python starts: one worker lives, and it works."""
    seen = visit()
    page = seen.page
    page.locator("#check-all").click()
    page.locator("#stop").click()
    for _ in range(2):
        page.locator("#check-all").click()
        page.wait_for_function("document.querySelector('#status').textContent.startsWith('Starting')", timeout=60_000)
        page.locator("#stop").click()
    seen.ready().idle()
    assert page.evaluate("document.documentElement.dataset.engine") == "ready"
    assert len(page.workers) == 1 and page.locator("#notices p").count() == 0
    page.locator("#check-all").click()
    page.wait_for_selector("#check-table tr.right", timeout=60_000)
    assert len(page.workers) == 1
    page.locator("#stop").click()
    seen.check()
    page.context.close()


def test_try_again_brings_all_that_a_visit_brings(visit: Visit) -> None:
    seen = visit("&exercise=mul", before=lambda context: context.route("**/pyodide/**", lambda route: route.abort()))
    seen.ready()
    page = seen.page
    assert page.locator("#tab-exercises").count() == 0
    page.context.unroute("**/pyodide/**")
    page.locator("#retry").click()
    page.wait_for_selector("#tab-exercises[aria-selected=true]", timeout=60_000)
    page.wait_for_function("document.activeElement.id === 'theme'")  # the button is hidden: the one beside it
    assert page.locator("#exercise").input_value() == "mul" and page.locator("#tab-museum").count() == 1
    assert page.locator("#notices p").count() == 0 and page.locator("#retry").is_hidden()
    seen.idle().check("net::ERR_")
    page.context.close()


def test_what_hides_the_museum_is_told(visit: Visit) -> None:
    """The script of the exercises fails as it is shown."""
    broken = "export const exercisesPanel = () => { throw new Error('the panel is broken'); };"
    script = {"body": broken, "content_type": "text/javascript"}
    seen = visit(before=lambda context: context.route("**/exercises.js", lambda route: route.fulfill(**script))).ready()
    said = seen.page.locator("#notices .bad").inner_text()
    assert "The exercises or the museum cannot be shown: the panel is broken" in said
    assert seen.page.locator("#check-all").is_enabled() and seen.page.locator("#stop").is_hidden()
    seen.check()
    seen.page.context.close()


# -------------------------------------------------------------------------------------------------- chapters, storage


def test_the_cells_of_a_chapter_run(visit: Visit) -> None:
    """On a phone the chapter comes before the files. The third cell fails, out of sight."""
    seen = visit("&chapter=00-numbers", width=390, height=500).ready()
    page = seen.page
    assert page.locator("#file-title").inner_text() == "tinytensor/tape.py"
    assert page.locator("#chapter-about a").get_attribute("href") == "../chapters/00-numbers.html"
    assert page.locator("#cells").bounding_box()["y"] < page.locator("#editor").bounding_box()["y"]
    assert not seen.in_sight("#cells .cell:nth-child(3)")
    page.locator("#run-all").focus()
    page.keyboard.press("Enter")
    seen.idle()
    assert seen.status == "Cell 3 failed" and seen.in_sight("#cells .problem") and seen.focused("#run-all")
    cells = page.locator("#cells .cell")
    assert cells.nth(0).locator(".output").inner_text().strip() == "x is 3.0"
    assert cells.nth(1).locator(".output").inner_text() == "tensor(6.)"
    said = cells.nth(2).locator(".problem").inner_text()
    assert "AttributeError" in said and "cell 3, line 1" in said
    cells.nth(0).get_by_role("button", name="Run cell 1").focus()
    page.keyboard.press("Enter")
    seen.idle()
    assert seen.focused("[aria-label='Run cell 1']")
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.locator("#cells").bounding_box()["x"] > page.locator("#editor").bounding_box()["x"]
    cells.nth(1).locator(".cm-content").focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("x = tt.tensor(5.0)\nx * 2")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelectorAll('.output')[1]?.textContent === 'tensor(10.)'", timeout=30_000)
    seen.idle()
    assert seen.focused("#cells .cell:nth-child(2) .cm-content") and seen.status.startswith("Ready")
    page.reload()
    seen.ready()
    assert "tt.tensor(5.0)" in cells.nth(1).locator(".cm-content").inner_text()
    page.locator("#undo-cells").click()
    assert "y = x * x" in cells.nth(1).locator(".cm-content").inner_text() and page.locator("#undo-cells").is_disabled()
    assert seen.focused("#redo-cells")
    page.keyboard.press("Enter")
    assert (
        "tt.tensor(5.0)" in cells.nth(1).locator(".cm-content").inner_text() and page.locator("#redo-cells").is_hidden()
    )
    assert seen.focused("#undo-cells")
    seen.write_elsewhere("cell", "00-numbers 2", "6 * 7")
    cells.nth(1).locator(".cm-content", has_text="6 * 7").wait_for()
    cells.nth(1).get_by_role("button", name="Run cell 2").click()
    cells.nth(1).locator(".output", has_text="42").wait_for()
    seen.write_elsewhere("cell", "00-numbers 2", None)
    cells.nth(1).locator(".cm-content", has_text="y.backward()").wait_for()
    assert page.locator("#undo-cells").is_disabled()
    page.locator("#chapter").select_option("00-products")
    page.context.route("**/matplotlib*", lambda route: route.abort())
    page.locator("#run-all").click()
    page.locator("#panel-chapter .problem", has_text="could not be loaded").wait_for(timeout=60_000)
    page.context.unroute("**/matplotlib*")
    seen.idle()
    page.locator("#run-all").click()
    page.wait_for_selector("#cells img", timeout=120_000)
    assert cells.nth(0).locator(".output").inner_text().strip() == "True True"  # the products by WebAssembly
    width = page.locator("#cells img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width > 400
    seen.idle().check("net::ERR_")
    page.context.close()


def test_a_browser_that_keeps_nothing_is_told(visit: Visit) -> None:
    full = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
    seen = visit(before=lambda context: context.add_init_script(full))
    seen.open(GELU)
    seen.edit(RIGHT, WRONG)
    assert "no room to keep" in seen.page.locator("#notices").inner_text()
    assert WRONG in seen.page.locator("#editor .cm-content").inner_text()
    none = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    other = visit(before=lambda context: context.add_init_script(none))
    assert "keeps nothing for this page" in other.page.locator("#notices").inner_text()
    for each in (seen, other):
        each.check()
        each.page.context.close()


# ------------------------------------------------------------------------------------------ widths, keyboard, readers


@pytest.mark.parametrize("width", [360, 800, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_desktops(width: int, scheme: str, clean: Seen) -> None:
    page = clean.page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    for tab in page.locator("#tabs [role=tab]").all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 1440:  # the panels scroll; what reveals a part of one does not move the page
            page.set_viewport_size({"width": width, "height": 300})
            assert page.evaluate("document.documentElement.scrollHeight") == 300
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1440, "height": 900})
    clean.check()


def test_a_screen_reader_can_use_it(clean: Seen) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install -e '.[page]'")
    for tab in clean.page.locator("#tabs [role=tab]").all():
        tab.click()
        found = axe.Axe().run(clean.page)
        assert found.violations_count == 0, found.generate_report()


def test_the_keyboard_alone_is_enough(clean: Seen) -> None:
    """Over the files into the editor, an edit, out of it by Escape and Tab, through the tabs, to the check and its Stop."""
    page, focused = clean.page, clean.focused
    clean.open(GELU)
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert focused("#editor .cm-content")
    page.locator("#home").focus()

    def tab_to(selector: str, most: int = 130) -> None:
        for _ in range(most):
            if focused(selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    tab_to("#editor .cm-content")
    page.keyboard.press("Control+Home")
    page.keyboard.type("# a comment")
    page.keyboard.press("Enter")
    assert page.locator("#edited-count").inner_text() == "1 edited"
    page.keyboard.press("Tab")
    assert focused("#editor .cm-content")  # Tab indents, and Shift+Tab takes it back
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert not focused("#editor .cm-content")
    tab_to("[role=tab][aria-selected=true]")
    page.keyboard.press("ArrowRight")
    assert focused("#tab-train") and page.locator("#panel-train").is_visible()
    page.keyboard.press("Home")
    assert focused("#tab-check")
    tab_to("#check-edited")
    page.keyboard.press("Enter")
    page.wait_for_selector("#check-table tr.right", timeout=60_000)
    clean.idle()
    assert focused("#check-edited") and clean.status == "The primitive gelu_tanh is right."
    page.locator("#undo-all").focus()
    page.keyboard.press("Enter")
    assert focused("#editor .cm-content")
    page.locator("#check-edited").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#check-edited:disabled:has-text('Check what I edited')", timeout=60_000)
    clean.idle()
    assert focused("#check-all")  # nothing is edited any more: the button beside it
    page.keyboard.press("Enter")
    page.locator("#stop").focus()
    page.keyboard.press("Enter")
    clean.engine("ready").idle()
    assert focused("#check-all")
    clean.check()


def test_each_tab_keeps_its_place(clean: Seen) -> None:
    """Where the experiments scroll by themselves, and where the page scrolls with them."""
    page = clean.page
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 800})
        for tab in ("chapter", "museum"):  # as if they were not seen before
            page.locator(f"#tab-{tab}").click()
            page.locator("#tabs").evaluate("tabs => (tabs.parentElement.scrollTop = 0)")
            page.evaluate("scrollTo(0, document.getElementById('bench').offsetTop)")
        scroll = "element => element.scrollIntoView({ block: 'start' })"
        places = {"museum": "#bug-no-mask", "chapter": "#cells .cell:nth-child(3)"}
        seen = {}
        for tab, place in places.items():
            page.locator(f"#tab-{tab}").click()
            assert clean.in_sight(f"#panel-{tab} h2")
            page.locator(place).evaluate(scroll)
            seen[tab] = page.locator(place).bounding_box()
        for tab, place in places.items():
            page.locator(f"#tab-{tab}").click()
            assert page.locator(place).bounding_box() == seen[tab]
    page.set_viewport_size({"width": 1440, "height": 900})
    clean.check()


# ------------------------------------------------------------------------- without the editor; exercises and the museum


def test_without_the_bundle_a_text_field_takes_the_editors_place(visit: Visit) -> None:
    seen = visit(
        before=lambda context: context.route("**/codemirror.js", lambda route: route.fulfill(status=404))
    ).ready()
    page = seen.page
    field = page.locator("textarea.plain-editor").first
    seen.open(GELU)
    text = field.input_value()
    field.fill(text.replace(RIGHT, WRONG))
    assert page.locator("#edited-count").inner_text() == "1 edited"
    page.locator("#check-edited").click()
    page.wait_for_selector("#check-table tr.wrong", timeout=60_000)
    page.locator("#undo").click()
    assert field.input_value() == text
    seen.check("404")
    page.context.close()


def test_a_bug_of_the_museum_is_one_edit(visit: Visit) -> None:
    bug = museum.BUGS["no-scale"]
    seen = visit("&bug=no-scale").ready()
    page = seen.page
    page.wait_for_selector("#tab-museum[aria-selected=true]")
    assert page.locator("#edited-count").inner_text() == "1 edited"
    assert seen.text(bug.file) == (served.ROOT / bug.file).read_text("utf-8").replace(bug.right, bug.wrong)
    line = (served.ROOT / bug.file).read_text("utf-8").partition(bug.right)[0].count("\n") + 1
    card, wrong = page.locator("#bug-no-scale"), page.locator("#editor .cm-wrong")
    for word in (bug.name, f"trained with {bug.recipe}.", f"The wrong line is {bug.file}, line {line}."):
        assert word in card.inner_text()
    assert [each.get_attribute("href") for each in card.locator("a").all()] == [
        "../museum.html#no-scale",
        f"../chapters/{bug.chapter}.html",
    ]
    page.locator("#bug-zero-grad").get_by_role("button", name="Switch on").focus()
    at = page.locator("#bug-zero-grad").bounding_box()
    page.keyboard.press("Enter")
    assert page.locator("#file-title").inner_text().startswith(museum.BUGS["zero-grad"].file)
    assert wrong.inner_text().strip() == museum.BUGS["zero-grad"].wrong.strip()
    assert seen.focused("#bug-zero-grad button") and page.locator("#bug-zero-grad").bounding_box()["y"] == at["y"]
    page.keyboard.press("Enter")
    assert page.locator("#edited-count").inner_text() == "1 edited" and wrong.count() == 0
    card.get_by_role("button", name="Switch off").click()
    assert page.locator("#edited-count").inner_text() == "" and "The wrong line" not in card.inner_text()
    for each in museum.BUGS.values():
        if page.locator(f"#bug-{each.name}").count():
            assert page.locator(f"#bug-{each.name}").get_attribute("data-on") == "false"
    steps = page.locator("#steps")
    page.locator("#tab-train").click()
    steps.fill("40")
    assert not museum.BUGS["no-scale"].flags.get("steps") and museum.BUGS["finite-mask"].flags["steps"] == 500
    page.locator("#tab-museum").click()
    page.locator("#bug-finite-mask").get_by_role("button", name="Switch on").click()
    assert steps.input_value() == "500" and steps.is_disabled()
    page.locator("#bug-finite-mask").get_by_role("button", name="train", exact=True).click()
    assert seen.focused("#run")
    both = f"both engines, the edited and the unedited one, are trained with {museum.BUGS['finite-mask'].recipe}."
    assert page.locator(
        "#panel-train .hint", has_text=f"“{museum.BUGS['finite-mask'].title}” is on: {both}"
    ).is_visible()
    page.locator("#step").click()
    seen.idle()
    assert figures(page)["step"] == "1 of 500"
    page.locator("#undo-all").click()
    assert steps.input_value() == "40" and steps.is_enabled()
    page.goto(page.url.replace("no-scale", "leak&exercise=none&file=none.py&chapter=none"))
    seen.ready()
    assert "which the laboratory does not run" in page.locator("#notices").inner_text()
    assert page.locator("#notices a").get_attribute("href") == "../museum.html#leak"
    for each in ("exercise “none”", "chapter “none”", "file “none.py”"):
        assert f"The laboratory has no {each}." in page.locator("#notices").inner_text()
    page.locator("#notices").get_by_role("button", name="Close").first.click()
    assert seen.focused("#tab-museum")
    seen.check()
    page.context.close()


SOLVED = """def fitted(d, shape):
    d = d.sum(axis=tuple(range(d.ndim - len(shape))))
    return d.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def backward(dy, a, b):
    return fitted(dy * b, a.shape), fitted(dy * a, b.shape)
"""


def test_an_exercise_is_stated_checked_and_kept(visit: Visit) -> None:
    """On a phone the statement is the first that one sees. Whatever undo, a reload or another tab does: no text is lost."""
    seen = visit("&exercise=mul", width=390, height=844).ready()
    page = seen.page
    page.wait_for_selector("#tab-exercises[aria-selected=true]")
    assert seen.in_sight("#statement h3") and page.evaluate("scrollY") == 0
    written = page.locator(".exercise-editor .cm-content")
    for each in learn.exercises():
        page.locator("#exercise").select_option(each.name)
        docstring = ast.get_docstring(ast.parse(each.start_text)) or ""
        said = docstring.partition("\n")[2].rpartition("\n\n")[0].replace("Hint: ", "Hint ")
        said = " ".join([each.title, each.name, "belongs to the chapter", f"{titles()[each.chapter]}.", said])
        shown = page.locator("#statement").evaluate("all => [...all.children].map(each => each.textContent).join(' ')")
        assert re.sub(r"\s+|Hint", "", shown).lower() == re.sub(r"\s+|Hint", "", said).lower()
        assert page.locator("#statement a").get_attribute("href") == f"../chapters/{each.chapter}.html"
        assert f"def {each.function}(" in page.locator(".exercise-editor .cm-activeLine").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#exercise option").count() == len(learn.exercises())
    page.locator("#exercise").select_option("mul")
    page.locator("#check-exercise").focus()
    page.locator("#check-exercise").evaluate("button => button.scrollIntoView({ block: 'end' })")
    page.keyboard.press("Enter")
    page.wait_for_selector("#exercise-verdict.wrong", timeout=30_000)
    seen.idle()
    assert page.locator("#panel-exercises .report").inner_text() and seen.status == "mul: not yet"
    assert seen.in_sight("#panel-exercises .result") and seen.focused("#check-exercise")
    written.focus()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("def (:\n")
    page.locator("#check-exercise").click()
    page.wait_for_selector("#panel-exercises .problem", timeout=30_000)
    assert "mul.py, line 1" in page.locator("#panel-exercises .problem").inner_text()
    assert seen.in_sight("#panel-exercises .problem")
    page.reload()
    seen.ready()
    page.keyboard.press("Control+Home")
    assert seen.kept("exercise", "mul").startswith("def (:")
    page.locator("#undo-exercise").click()
    assert seen.kept("exercise", "mul") is None and seen.focused("#redo-exercise")
    page.locator("#exercise").select_option("relu")
    assert page.locator("#redo-exercise").is_hidden() and page.locator("#undo-exercise").is_disabled()
    page.locator("#exercise").select_option("mul")
    page.locator("#redo-exercise").click()
    assert seen.kept("exercise", "mul").startswith("def (:") and page.locator("#redo-exercise").is_hidden()
    seen.write_elsewhere("exercise", "mul", "from elsewhere import all")
    written.get_by_text("from elsewhere import all").wait_for()
    seen.write_elsewhere("edit", GELU, "# from elsewhere")
    page.locator("#editor .cm-content", has_text="# from elsewhere").wait_for()
    assert page.locator("#edited-count").inner_text() == "1 edited"
    page.locator("#undo-all").click()
    page.locator("#tab-exercises").click()
    written.focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(SOLVED)
    page.locator("#check-exercise").click()
    page.locator("#exercise-verdict.right").get_by_role("button", name="relu").click()
    assert page.locator("#exercise").input_value() == "relu" and seen.focused("#exercise")
    seen.check()
    page.context.close()


def titles() -> dict[str, str]:
    """The titles of the chapters."""
    paths = (served.ROOT / "docs" / "chapters").glob("[0-9][0-9]-*.md")
    return {path.stem: re.findall(r"^# (.+)$", path.read_text("utf-8"), re.MULTILINE)[0] for path in paths}
