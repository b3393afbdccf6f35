"""The built site and its laboratory in Chromium, Firefox and WebKit (Safari's engine), by hand:

    python tests/lab/other_browsers.py SITE PYODIDE [--only BROWSER …] [--tries NAME …] [--pictures FOLDER]

SITE is a site that Sphinx built, PYODIDE a folder with the files that docs/lab/pyodide.json pins. They come from another
origin than the page, with the headers of a CDN. It needs Selenium (pip install selenium), the browsers, their drivers and a
display (Debian: apt-get install chromium-driver firefox-esr webkit2gtk-driver, xvfb for xvfb-run; geckodriver on the PATH).
It prints a table of what was tried, and exits 1 if something failed. `said` is what a page wrote to the console.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

# ruff: noqa: E402
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from static_server import Files, serve

GELU, SIGN, LINE = "tinytensor/ops/gelu.py", "dy * derivative,)", "y = x * s\n"
CHAPTERS = ("02-tape", "03-derivatives", "06-layer-norm")  # one without figures; two with formulas of all kinds
# Errors and warnings of a page go to the server: each driver has another way to the console, and WebKit's has none.
TELL = b"""<script>{
const tell = (what) => navigator.sendBeacon("/said", String(what));
for (const kind of ["error", "warn"]) { const was = console[kind]; console[kind] = (...all) => (tell(all), was(...all)); }
addEventListener("error", ({ message, target }) => /prefetch|next/.test(target.rel) || tell(message ?? target.outerHTML), true);
addEventListener("unhandledrejection", (event) => tell(event.reason));
}</script>"""


class Page(Files):
    """The site; each page tells what goes wrong in it."""

    said: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        Page.said.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def send_head(self) -> Any:
        path = Path(self.translate_path(self.path))
        if path.suffix != ".html" or not path.is_file():
            return super().send_head()
        content = path.read_bytes().replace(b"<head>", b"<head>" + TELL, 1)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)


class Host(Files):
    """Pyodide's files as jsDelivr sends them: compressed, for every origin."""

    def send_head(self) -> Any:
        content = gzip.compress(Path(self.translate_path(self.path)).read_bytes(), 1)
        self.send_response(200)
        for name, value in {
            "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "Timing-Allow-Origin": "*",
            "X-Content-Type-Options": "nosniff", "Content-Type": self.guess_type(self.path), "Content-Encoding": "gzip",
            "Content-Length": str(len(content)),
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        return io.BytesIO(content)


# ------------------------------------------------------------------------------------------------------------- browsers


def chromium(folder: str) -> Any:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox"):  # Chromium's sandbox refuses root
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": folder})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def firefox(folder: str) -> Any:
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.set_preference("browser.download.folderList", 2)
    options.set_preference("browser.download.dir", folder)
    return webdriver.Firefox(options, webdriver.FirefoxService(shutil.which("geckodriver")))


def webkit(folder: str) -> Any:
    Path(folder, "user-dirs.dirs").write_text(f'XDG_DOWNLOAD_DIR="{folder}"\n', "utf-8")
    environment = {**os.environ, "XDG_CONFIG_HOME": folder}
    options = webdriver.WebKitGTKOptions()
    options.binary_location = next(str(path) for path in Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))
    options.add_argument("--automation")
    return webdriver.WebKitGTK(
        options, service=webdriver.WebKitGTKService(shutil.which("WebKitWebDriver"), env=environment)
    )


# --------------------------------------------------------------------------------------------------------------- visits


@dataclass
class Visit:
    """One browser, and what a reader does with it."""

    name: str
    browser: Any
    site: str
    pyodide: str
    downloads: Path
    pictures: Path | None

    def __call__(self, script: str, *given: Any) -> Any:
        return self.browser.execute_script(script, *given)

    def until(self, condition: str, seconds: float = 120) -> None:
        """Wait for an expression of the page."""
        WebDriverWait(self.browser, seconds, 0.1).until(lambda _: self(f"return !!({condition})"), condition)

    def lab(self, query: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{self.site}lab/index.html?pyodide={self.pyodide}{query}")
        self.until("document.documentElement.dataset.ready === ''")

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def show(self, selector: str) -> None:
        self("document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", selector)

    def click(self, selector: str) -> None:
        self.show(selector)
        self.find(selector).click()

    def picture(self, name: str) -> None:
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(str(self.pictures / f"{self.name}-{name}.png"))

    def idle(self) -> None:
        self.until("document.querySelector('#stop').hidden", 600)

    def type(self, before: str, *keys: str) -> None:
        """Press keys in gelu.py, open in the editor, before this text."""
        above = (ROOT / GELU).read_text("utf-8").partition(before)[0]
        self("document.querySelector('#editor .cm-content').focus()")
        actions = ActionChains(self.browser, duration=0)
        actions.key_down(Keys.CONTROL).send_keys(Keys.HOME).key_up(Keys.CONTROL)
        actions.send_keys(Keys.DOWN * above.count("\n"), Keys.HOME, Keys.HOME)  # the first one goes to the first letter
        actions.send_keys(Keys.RIGHT * len(above.rpartition("\n")[2]), *keys).perform()

    def verdicts(self) -> dict[str, list[str]]:
        """The primitives of the check by verdict."""
        self.idle()
        found: dict[str, list[str]] = {}
        rows = "return [...document.querySelectorAll('#check-table tr[data-name]')].map(e => [e.className, e.dataset.name])"
        for verdict, name in self(rows):
            found.setdefault(verdict, []).append(name)
        return found


def loads(visit: Visit) -> str:
    started = time.perf_counter()
    visit.lab(f"&file={GELU}")
    assert visit.text("#status").startswith("Ready: Python"), visit.text("#notices")
    return f"{time.perf_counter() - started:.1f} s"


def check_is_green(visit: Visit) -> str:
    visit.click("#check-all")
    found = visit.verdicts()
    assert [*found] == ["right"] and len(found["right"]) > 60, found
    return f"{len(found['right'])} rows"


def wrong_sign_is_red(visit: Visit) -> None:
    visit.type(SIGN, "-")
    visit.click("#check-edited")
    assert visit.verdicts() == {"wrong": ["gelu_tanh"]}
    visit.click("#undo")
    visit.click("#check-edited")
    assert visit.verdicts() == {"right": ["gelu_tanh"]}


def trains(visit: Visit) -> str:
    visit.click("#tab-train")
    visit(
        "const steps = arguments[0]; steps.value = 300; steps.dispatchEvent(new Event('change'))", visit.find("#steps")
    )
    started = time.perf_counter()
    visit.click("#run")
    visit.until("document.querySelector('#figures').textContent.includes('300 of 300')", 600)
    seconds = time.perf_counter() - started
    visit.idle()
    loss, step = (float(re.search(f"{name}([0-9.]+)", visit.text("#figures"))[1]) for name in ("loss", "a step takes"))  # type: ignore[index]
    assert loss < 2.2, loss
    visit.show("#chart svg")
    visit.picture("trained")
    box = visit("const box = document.querySelector('#chart path.smooth').getBBox(); return [box.width, box.height]")
    assert min(box) > 50, box
    return f"{seconds:.0f} s, {step:.0f} ms a step"


def inspector_opens(visit: Visit) -> None:
    visit.click("#look")
    visit.until("document.querySelector('#page-link')")
    own = visit.browser.current_window_handle
    visit.click("#page-link")
    WebDriverWait(visit.browser, 30).until(lambda browser: len(browser.window_handles) == 2)
    visit.browser.switch_to.window(next(each for each in visit.browser.window_handles if each != own))
    visit.until("document.documentElement.dataset.ready !== undefined", 60)
    visit.picture("inspector")
    visit.browser.close()
    visit.browser.switch_to.window(own)


def weights_are_kept(visit: Visit) -> None:
    sample = visit.text("#samples q")
    visit.click("#save")
    WebDriverWait(visit.browser, 30).until(lambda _: [*visit.downloads.glob("*.safetensors")], "a download")
    visit.idle()
    visit.click("#reset")
    assert visit.text("#samples q") == ""
    visit.find("#weights").send_keys(str(next(visit.downloads.glob("*.safetensors"))))
    visit.until("document.querySelector('#samples q')")
    assert visit.text("#samples q") == sample
    visit.idle()


def stop_ends_a_loop(visit: Visit) -> None:
    visit.click("#tab-check")
    visit.type(LINE, "while True: ")
    visit.click("#check-edited")
    time.sleep(1.5)
    visit.click("#stop")
    visit.until("document.documentElement.dataset.engine === 'ready'")
    visit.lab(f"&file={GELU}")
    assert "while True: y = x * s" in visit.text("#editor .cm-content")
    visit.click("#undo")
    visit.click("#check-all")
    assert [*visit.verdicts()] == ["right"]


def is_dark(visit: Visit) -> None:
    colours = [visit("return getComputedStyle(document.body).backgroundColor")]
    visit.click("#theme")
    visit.until("!document.getAnimations().length")
    colours.append(visit("return getComputedStyle(document.body).backgroundColor"))
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert light > 600 and dark < 200, colours
    visit.picture("dark")
    visit.click("#theme")


def cells_run(visit: Visit) -> str:
    visit.lab(f"&chapter={CHAPTERS[0]}")
    visit.click("#run-all")
    visit.idle()
    heads = visit("return [...document.querySelectorAll('#cells .cell-head > span')].map((each) => each.textContent)")
    assert len(heads) > 2 and all(", ran in" in head for head in heads), heads
    return f"{len(heads)} cells"


def exercise_is_checked(visit: Visit) -> None:
    for verdict in ("Not yet.", "Solved."):
        visit.lab("&exercise=mul")
        visit.click("#check-exercise")
        visit.idle()
        assert visit.text("#exercise-verdict") == verdict
        solution = (ROOT / "tests" / "learn" / "solutions" / "mul.py").read_text("utf-8")
        visit("localStorage.setItem('tinytensor.laboratory:exercise:mul', arguments[0])", solution)


# What MathML has to look like: a fraction's parts one above the other, limits below, an index aside, a cell around its letters.
FORMULAS = """
const box = (each) => each.getBoundingClientRect(), all = (what) => [...document.querySelectorAll(what)], wrong = [];
const tell = (each) => wrong.push(each.outerHTML.slice(0, 200));
for (const each of all("mfrac")) if (box(each.children[0]).bottom > box(each.children[1]).top + 1) tell(each);
for (const each of all("munder")) if (box(each.children[1]).top < box(each.children[0]).top) tell(each);
for (const each of all("msub, msup")) if (box(each.children[1]).left < box(each.children[0]).right - 3) tell(each);
for (const each of all("mtd *")) if (box(each).right > box(each.closest("mtd")).right + 2) tell(each);
for (const each of all("math")) if (box(each).height < 5 || box(each).width < 3) tell(each);
return [all("math").length, wrong];
"""


def formulas_are_set(visit: Visit) -> str:
    number = 0
    for name in CHAPTERS:
        visit.browser.get(f"{visit.site}chapters/{name}.html")
        visit.until("document.fonts.check('16px Mathematics') && document.fonts.status === 'loaded'")
        formulas, wrong = visit(FORMULAS)
        assert formulas > 20 and not wrong, wrong
        number += formulas
        visit.show("div.math mfrac, math")
        visit.picture(f"formulas-{name}")
    return f"{number} formulas"


def phones_fit(visit: Visit) -> None:
    """In a frame of a phone's width: the windows of some browsers have a smallest width."""
    visit.browser.get(f"{visit.site}search.html")
    for page in ("lab/index.html?pyodide=" + visit.pyodide, *(f"chapters/{name}.html" for name in CHAPTERS)):
        frame = f"<iframe width=360 height=780 style='border:0' src='/{page}'></iframe>"
        visit("document.body.innerHTML = arguments[0]", frame)
        inside = "document.querySelector('iframe').contentDocument"
        visit.until(f"{inside}?.readyState === 'complete' && {inside}.body.firstElementChild")
        if page.startswith("lab"):
            visit.until(f"{inside}.documentElement.dataset.ready === ''")
        tabs = visit(f"return {inside}.querySelectorAll('#tabs [role=tab]').length")
        for at in range(tabs or 1):
            visit(f"{inside}.querySelectorAll('#tabs [role=tab]')[{at}]?.click()")
            width = visit(f"return {inside}.documentElement.scrollWidth")
            assert width <= 360, (page, at, width)
        visit.picture("phone-" + page.partition("/")[0])


TRIES: list[Callable[[Visit], str | None]] = [
    loads, check_is_green, wrong_sign_is_red, trains, inspector_opens, weights_are_kept, stop_ends_a_loop, is_dark, cells_run,
    exercise_is_checked, formulas_are_set, phones_fit,
]  # fmt: skip


def tried(visit: Visit, names: list[str]) -> dict[str, str]:
    """What each try said: a remark, or why it failed."""
    said = {}
    for each in (each for each in TRIES if each.__name__ in names):
        Page.said.clear()
        try:
            remark = "yes" if (found := each(visit)) is None else found
            assert not Page.said, f"console: {Page.said}"
        except Exception as error:
            remark = f"FAILED: {type(error).__name__}: {str(error).strip().partition('Stacktrace')[0]}"[:600]
            visit.picture(f"failed-{each.__name__}")
        said[each.__name__.replace("_", " ")] = remark
        print(f"{visit.name:9} {each.__name__:22} {remark}", flush=True)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, metavar="SITE")
    parser.add_argument("pyodide", type=Path, metavar="PYODIDE")
    browsers, names = {each.__name__: each for each in (chromium, firefox, webkit)}, [each.__name__ for each in TRIES]
    parser.add_argument("--only", nargs="+", default=[*browsers], choices=browsers, metavar="BROWSER")
    parser.add_argument("--tries", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    (_, site), (_, pyodide) = serve(options.site, Page), serve(options.pyodide, Host)
    table = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            browser = browsers[name](folder)
            browser.set_window_size(1440, 900)
            title = f"{name} {browser.capabilities['browserVersion']}"
            table[title] = tried(Visit(name, browser, site, pyodide, Path(folder), options.pictures), options.tries)
            browser.quit()
    print("", "| | " + " | ".join(table) + " |", "|---|" + "---|" * len(table), sep="\n")
    for each in next(iter(table.values())):
        print(f"| {each} | " + " | ".join(said[each].partition(":")[0] for said in table.values()) + " |")
    return int(any(remark.startswith("FAILED") for said in table.values() for remark in said.values()))


if __name__ == "__main__":
    sys.exit(main())
