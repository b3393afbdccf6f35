/** The page from its parts: the files at once, Python when it is there, and what both do together. */

import { cellsPanel } from "./cells.js";
import { checkPanel } from "./check.js";
import { byId, el } from "./dom.js";
import { Engine } from "./engine.js";
import { exercisesPanel } from "./exercises.js";
import { Files } from "./files.js";
import { curvesLink, museumPanel } from "./museum.js";
import { giveBack, reveal } from "./place.js";
import { capital, failedOf, problem, sentence } from "./problem.js";
import { Store } from "./store.js";
import { choose, tab } from "./tabs.js";
import { Training } from "./train.js";

/** @typedef {import("./engine.js").Failed} Failed */

const asked = new URLSearchParams(location.search);
const SLOW = 8000; // milliseconds without a word from Python, after which the page says how to stop it

/** What the panels share: Python, the files, the store, and one piece of work at a time. */
export class Workbench {
  /** @param {import("./engine.js").Lab} lab @param {any} pyodide */
  constructor(lab, pyodide) {
    this.lab = lab;
    this.store = new Store(() => localStorage, notice);
    this.files = new Files(lab.files, lab.hashes, this.store);
    this.engine = new Engine(lab, pyodide, {
      progress: (said, loaded, of) => this.progress(said, loaded, of),
      state: (state) => this.state(state),
    });
    /** @type {Map<string, import("./texts.js").Texts>} all that the reader may change, by its kind in the store */
    this.texts = new Map([[this.files.kind, this.files]]);
    this.isBusy = false;
    /** @type {Element | null} what had the keyboard when the work began */
    this.from = null;
    /** @type {Set<() => void>} called when work begins and ends */
    this.busy = new Set();
    /** @type {Set<() => void>} called when Python ended, and forgot what it had */
    this.ended = new Set();
    /** @type {Set<() => void>} called when Python is there */
    this.arrived = new Set();
    this.heard = 0;
    /** What a bug that is on needs of the training's configuration. @type {() => Record<string, any>} */
    this.flags = () => ({});
    /** The same as sentences, one for each bug that needs it. @type {() => string[]} */
    this.recipes = () => [];
  }

  /** @param {string} said @param {boolean} [isLast] of a piece of work: it stays when that ends */
  say(said, isLast = false) {
    this.heard = performance.now();
    if (byId("status").textContent !== said) byId("status").textContent = said;
    byId("detail").textContent = "";
    this.last = isLast ? said : "";
  }

  /**
   * Do one piece of work with Python. What fails is shown in the place, and returned.
   * @param {string} said @param {HTMLElement} place @param {() => Promise<void>} work
   * @param {(file: string, line: number | null) => boolean} [open] @returns {Promise<Failed | null>}
   */
  async run(said, place, work, open = (file, line) => this.files.open(file, line, true)) {
    if (this.isBusy) return null;
    place.replaceChildren();
    this.set(true);
    this.say(said);
    try {
      await this.engine.start();
      this.say(said);
      await work();
      const verdict = place.parentElement?.querySelector(".summary");
      if (verdict?.textContent) reveal(verdict.closest(".result") ?? verdict);
      this.say(this.last || verdict?.textContent || this.ready());
      return null;
    } catch (error) {
      const failed = failedOf(error);
      if (!failed.stopped) {
        place.replaceChildren(problem(failed, open));
        reveal(place);
        const said = this.last || "An error; your edits are kept";
        this.say(this.engine.state === "failed" ? "Python is not there" : said);
      }
      return failed;
    } finally {
      this.set(false);
    }
  }

  /** Wait until no work is done. */
  async free() {
    while (this.isBusy)
      await new Promise((done) => {
        const listen = () => {
          if (this.isBusy) return;
          this.busy.delete(listen);
          done(null);
        };
        this.busy.add(listen);
      });
  }

  /** @param {HTMLElement} place @param {Failed} failed */
  show(place, failed) {
    place.replaceChildren(problem(failed, (file, line) => this.files.open(file, line, true)));
  }

  /** @param {boolean} isBusy */
  set(isBusy) {
    if (isBusy) this.from = document.activeElement;
    this.isBusy = isBusy;
    byId("stop").hidden = !isBusy;
    for (const each of this.busy) each();
    if (!isBusy) giveBack(this.from);
  }

  ready() {
    const { python, numpy } = this.engine.versions;
    return python ? `Ready: Python ${python}, NumPy ${numpy}` : "Ready";
  }

  /** @param {string} said @param {number} [loaded] @param {number} [of] */
  progress(said, loaded, of) {
    if (of && this.engine.state !== "loading") return; // one file failed, and others still come in
    this.heard = performance.now();
    const bar = /** @type {HTMLProgressElement} */ (byId("loading"));
    if (byId("status").textContent !== said) byId("status").textContent = said;
    const mega = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
    byId("detail").textContent = of ? `${mega(loaded ?? 0)} of ${mega(of)} MB` : "";
    if (of) [bar.max, bar.value] = [of, loaded ?? 0];
  }

  /** @param {import("./engine.js").State} state */
  state(state) {
    byId("loading").hidden = state !== "loading";
    byId("retry").hidden = state !== "failed";
    document.documentElement.dataset.engine = state;
    if (state === "ready" && !this.isBusy) this.say(this.ready());
    if (state === "empty") for (const each of this.ended) each();
    if (state === "ready") for (const each of this.arrived) each();
  }

  async stop() {
    this.say("Stopped; Python starts again");
    try {
      await this.engine.stop();
      if (!this.isBusy) this.say("Stopped. Your edits are kept; what was trained is gone.");
    } catch (error) {
      if (!failedOf(error).stopped) this.offline(error); // else it was stopped once more, and that call tells
    }
  }

  /** Python could not be loaded. @param {any} error */
  offline(error) {
    const failed = failedOf(error);
    this.say("Python could not be loaded");
    notice(`${capital(sentence(failed))} Your edits are kept.`, "bad offline");
  }

  /** @returns {Promise<boolean>} whether Python is there */
  async load() {
    try {
      await this.engine.start();
    } catch (error) {
      if (failedOf(error).stopped) return this.load(); // a stop starts it anew
      this.offline(error);
      return false;
    }
    for (const each of byId("notices").querySelectorAll(".offline")) each.remove();
    return true;
  }
}

/**
 * A line over the page, until it is closed.
 * @param {string} text @param {string} [kind] @param {...HTMLElement} buttons or links
 */
function notice(text, kind = "", ...buttons) {
  const line = el("p", { class: `notice ${kind}` }, el("span", {}, text), ...buttons);
  const close = el("button", { type: "button", class: "plain" }, "Close");
  close.onclick = () => {
    line.remove();
    giveBack(close);
  };
  line.append(close);
  const same = [...byId("notices").children].find((each) => each.firstChild?.textContent === text);
  if (same) same.remove();
  byId("notices").append(line);
  return line;
}

// --------------------------------------------------------------------------------------------------------------- theme

function theme() {
  const root = document.documentElement;
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} colours`);
  };
  button.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  };
  system.addEventListener("change", show);
  show();
}

// --------------------------------------------------------------------------------------------------------------- start

/** @param {string} name @returns {Promise<any>} */
async function read(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} could not be loaded: the server said ${answer.status}`);
  return answer.json();
}

async function main() {
  theme();
  const [lab, pinned, { chapters }] = await Promise.all(["lab.json", "pyodide.json", "snippets.json"].map(read));
  const local = asked.get("pyodide");
  const from = new URL(local === null ? pinned.from : local.endsWith("/") ? local : `${local}/`, document.baseURI).href;
  const bench = new Workbench(lab, { from, files: pinned.files });
  byId("stop").onclick = () => bench.stop();
  const begin = beginning(bench, chapters);
  byId("retry").onclick = () => begin().then(() => giveBack(byId("retry")));
  watch(bench);
  skip(bench.files);
  panels(bench, chapters);
  known("chapter", chapters.map(nameOf));
  known("file", Object.keys(lab.files));
  const about = chapters.find((/** @type {any} */ each) => each.name === asked.get("chapter"));
  await bench.files.start(asked.get("file") ?? about?.file ?? undefined);
  tellEdits(bench.files);
  document.documentElement.dataset.page = "ready";
  await begin();
  document.documentElement.dataset.ready = "";
}

/**
 * A function that loads Python; when it is there for the first time, the exercises and the museum come.
 * @param {Workbench} bench @param {any[]} chapters
 */
function beginning(bench, chapters) {
  /** @type {Promise<void> | null} */
  let looking = null;
  bench.arrived.add(() => {
    looking ??= more(bench, chapters).then((found) => {
      if (!found) looking = null; // Python ended before it answered; it is asked again when it is there
    });
  });
  return async () => {
    if (await bench.load()) await looking;
  };
}

/** Watch for Python that says nothing, and for what other tabs of the browser write. @param {Workbench} bench */
function watch(bench) {
  setInterval(() => {
    const seconds = (performance.now() - bench.heard) / 1000;
    if (bench.engine.state === "busy" && seconds * 1000 > SLOW)
      byId("detail").textContent = `${seconds.toFixed(0)} s without a word. If it never ends, press Stop.`;
  }, 1000);
  addEventListener("storage", (event) => {
    const [kind, name] = bench.store.changed(event) ?? ["", ""];
    bench.texts.get(kind)?.reread(name);
  });
}

/** The tabs that need no Python to be shown. @param {Workbench} bench @param {any[]} chapters */
function panels(bench, chapters) {
  checkPanel(bench, tab("check", "Check"));
  const training = new Training(bench, tab("train", "Train"));
  bench.ended.add(() => training.lost());
  if (chapters.length) cellsPanel(bench, tab("chapter", "Chapters"), chapters, asked.get("chapter"));
  choose(asked.has("chapter") && chapters.length ? "chapter" : "check");
  if (["chapter", "exercise", "bug"].some((each) => asked.has(each))) experimentsFirst();
}

/** Tell of edits of files that the engine does not have, or has in another version. @param {Files} files */
function tellEdits(files) {
  const strangers = files.strangers();
  if (strangers.length)
    notice(
      `You edited files that this version of the engine does not have (${strangers.join(", ")}). ` +
        "They stay in this browser.",
    );
  for (const path of files.outdated()) older(files, path);
}

/** @param {any} each */
const nameOf = ({ name }) => name;

/** Tell it if the address asks for what is not there. @param {string} kind @param {string[]} names */
function known(kind, names) {
  const name = asked.get(kind);
  if (name !== null && !names.includes(name)) notice(`The laboratory has no ${kind} “${name}”.`);
}

/** The link of the skip leads into the editor, which has no address of its own. @param {Files} files */
function skip(files) {
  byId("skip").onclick = (event) => {
    event.preventDefault();
    files.focus();
  };
}

/** What the address asks for stands before the files where all is in one column, as on a phone. */
function experimentsFirst() {
  const wide = matchMedia("(min-width: 1160px)");
  const [page, bench] = [/** @type {HTMLElement} */ (document.querySelector("main")), byId("bench")];
  const order = () => (wide.matches ? page.append(bench) : page.prepend(bench));
  wide.addEventListener("change", order);
  order();
}

/** The engine has another version of a file than the one that was edited. @param {Files} files @param {string} path */
function older(files, path) {
  const text =
    `Your ${path} is an edit of another version of this file, and takes its place. ` +
    "Its difference has what you changed, and what changed since.";
  const button = (/** @type {string} */ title, /** @type {() => void} */ press) =>
    el("button", { type: "button", class: "plain", onclick: press }, title);
  const line = notice(
    text,
    "older",
    button("Show the difference", () => {
      files.open(path);
      files.showChanges(true);
    }),
    button("Undo my edit", () => {
      files.undo([path]);
      line.remove();
    }),
    button("Keep my edit", () => {
      files.keep(path);
      line.remove();
    }),
  );
}

/**
 * The exercises and the museum, when nothing else is done. @param {Workbench} bench @param {any[]} chapters
 * @returns {Promise<boolean>} false if Python was not there
 */
async function more(bench, chapters) {
  /** @type {{exercises: any[], bugs: any[]} | null} */
  let found = null;
  const look = async () => {
    found = { exercises: await bench.engine.ask("exercises"), bugs: await bench.engine.ask("bugs") };
    await show(bench, found, chapters);
  };
  while (!found) {
    await bench.free();
    const failed = await bench.run("Looking for exercises", el("div", {}), look);
    if (!failed || failed.stopped) continue; // other work came first, or Stop
    if (bench.engine.state === "failed") bench.offline(failed);
    else notice(`The exercises or the museum cannot be shown: ${sentence(failed)}`, "bad");
    return bench.engine.state === "ready";
  }
  return true;
}

/** @param {Workbench} bench @param {{exercises: any[], bugs: any[]}} found @param {any[]} chapters */
async function show(bench, { exercises, bugs: all }, chapters) {
  const bugs = all.filter((bug) => bug.file in bench.lab.files);
  known("bug", all.map(nameOf));
  known("exercise", exercises.map(nameOf));
  const bug = all.find(({ name }) => name === asked.get("bug"));
  if (bug && !bugs.includes(bug))
    notice(
      `“${bug.title}” is in ${bug.file}, which the laboratory does not run. ` +
        `In a terminal: python -m gpt.museum ${bug.name}`,
      "",
      ...(chapters.length ? [curvesLink(bug.name)] : []),
    );
  if (exercises.length)
    await exercisesPanel(bench, tab("exercises", "Exercises"), exercises, asked.get("exercise"), chapters);
  if (bugs.length) museumPanel(bench, tab("museum", "Museum"), bugs, asked.get("bug"), chapters);
  if (asked.has("exercise") && exercises.length) choose("exercises");
  if (asked.has("bug") && bugs.length) choose("museum");
}

main().catch((error) => {
  byId("status").textContent = "The page could not be loaded";
  const why = error instanceof Error ? error.message : error;
  notice(`${why}. Is the connection there? Then load the page again.`, "bad");
});
