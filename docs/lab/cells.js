/** The cells of a chapter: they can be edited, they run in order in one Python, and show what they print and draw. */

import { el } from "./dom.js";
import { makeEditor } from "./editor.js";
import { reveal } from "./place.js";
import { failedOf, problem } from "./problem.js";
import { Texts, waysBack } from "./texts.js";

/**
 * @typedef {import("./main.js").Workbench} Workbench
 * @typedef {{name: string, title: string, file: string | null, cells: string[], hidden?: boolean[]}} Chapter
 */

/** Such a cell prepares something or checks the chapter's numbers, those of the answers too. */
const NOT_SHOWN = "Not on the chapter's page: it prepares or checks numbers, those of the answers too";

/** @param {Chapter} chapter @param {number} i */
const keyOf = (chapter, i) => `${chapter.name} ${i + 1}`;

/** A link to a chapter, or its name in a laboratory without the site. @param {Chapter | undefined} chapter */
export const chapterLink = (chapter, name = "") =>
  chapter ? el("a", { href: `../chapters/${chapter.name}.html`, target: "_blank" }, chapter.title) : name;

/** @param {Workbench} bench @param {HTMLElement} panel @param {Chapter[]} chapters @param {string | null} asked */
export function cellsPanel(bench, panel, chapters, asked) {
  const made = new Cells(bench, chapters);
  made.lay(panel, asked);
  return made.show();
}

class Cells {
  /** @param {Workbench} bench @param {Chapter[]} chapters */
  constructor(bench, chapters) {
    this.bench = bench;
    this.chapters = chapters;
    /** @type {Cell[]} those of the chapter that is shown */
    this.cells = [];
    this.shown = 0;
    const codes = chapters.flatMap((each) => each.cells.map((code, i) => [keyOf(each, i), code]));
    const editor = (/** @type {string} */ key) => this.cells.find((cell) => cell.key === key)?.editor;
    this.texts = new Texts(bench.store, "cell", Object.fromEntries(codes), editor);
    bench.texts.set(this.texts.kind, this.texts);
    this.about = el("p", { class: "hint", id: "chapter-about" });
    this.problems = el("div", {});
    this.list = el("div", { id: "cells" });
    this.list.addEventListener("run", (/** @type {any} */ { detail }) => this.run([detail]));
  }

  /** @param {HTMLElement} panel @param {string | null} asked the chapter to begin with */
  lay(panel, asked) {
    const option = (/** @type {Chapter} */ { name, title }) =>
      el("option", { value: name, selected: name === asked }, title);
    this.choice = el("select", { id: "chapter", onchange: () => this.show() }, ...this.chapters.map(option));
    const keys = ["Ctrl", "Enter"].flatMap((key) => [el("kbd", {}, key), " "]);
    const shared = "The cells share their names, and run on the engine as you edited it. ";
    panel.append(
      el("h2", {}, "A chapter's code"),
      el("p", { class: "hint" }, shared, ...keys, "runs one."),
      el("div", { class: "controls" }, el("label", { class: "field" }, "chapter", this.choice)),
      this.about,
      el("div", { class: "controls" }, ...this.buttons()),
      this.problems,
      this.list,
    );
  }

  buttons() {
    const { bench } = this;
    const button = (/** @type {string} */ id, /** @type {string} */ text, kind = "") =>
      el("button", { type: "button", id, class: kind }, text);
    const all = button("run-all", "Run all cells", "main");
    const restart = button("restart", "Start over");
    all.onclick = () => this.run(this.cells, true);
    restart.onclick = () => this.run([], true);
    bench.busy.add(() => {
      for (const each of [all, restart]) each.disabled = bench.isBusy;
      for (const cell of this.cells) cell.button.disabled = bench.isBusy;
    });
    const undo = button("undo-cells", "Undo my changes", "plain");
    const redo = button("redo-cells", "Bring back", "plain");
    this.back = waysBack(this.texts, () => this.cells.map(({ key }) => key), undo, redo);
    return [all, restart, undo, redo];
  }

  /** Show the chosen chapter. */
  async show() {
    const mine = ++this.shown;
    const chapter = /** @type {Chapter} */ (this.chapters.find(({ name }) => name === this.choice.value));
    const made = chapter.cells.map((_, i) => new Cell(this.bench, this.texts, chapter, i));
    this.about.replaceChildren(...aboutOf(this.bench, chapter));
    this.list.replaceChildren(...made.map((cell) => cell.element));
    this.cells = made;
    this.back?.();
    for (const cell of made) if (mine === this.shown) await cell.start();
  }

  /** Run some cells, until one fails. @param {Cell[]} some @param {boolean} [anew] without the names of before */
  run(some, anew = false) {
    if (anew) for (const cell of this.cells) cell.clear();
    return this.bench.run(some.length ? "Running" : "Starting over", this.problems, async () => {
      if (anew) await this.bench.engine.ask("restart", { chapter: this.choice.value });
      for (const cell of some) if (!(await cell.run())) return cell.tellFailed();
    });
  }
}

/** What the chapter is, and the file that it is about. @param {Workbench} bench @param {Chapter} chapter */
function aboutOf(bench, chapter) {
  const file = chapter.file;
  const link = el("button", { type: "button", class: "link", onclick: () => file && bench.files.open(file) }, file);
  return ["The page with its text: ", chapterLink(chapter), ". ", ...(file ? ["Its code is in ", link, "."] : [])];
}

class Cell {
  /** @param {Workbench} bench @param {Texts} texts @param {Chapter} chapter @param {number} i */
  constructor(bench, texts, chapter, i) {
    this.bench = bench;
    this.texts = texts;
    this.chapter = chapter;
    this.number = i + 1;
    this.key = keyOf(chapter, i);
    this.said = el("span", {}, `cell ${this.number}`);
    this.button = el(
      "button",
      { type: "button", class: "plain", disabled: bench.isBusy, "aria-label": `Run cell ${this.number}` },
      "Run",
    );
    this.button.onclick = () => this.ask();
    this.place = el("div", {});
    const folded = () => el("details", { class: "not-shown" }, el("summary", {}, NOT_SHOWN), this.place);
    this.frame = chapter.hidden?.[i] ? folded() : this.place;
    this.output = el("div", { role: "status", "aria-label": `Output of cell ${this.number}` });
    this.element = el(
      "div",
      { class: "cell" },
      el("div", { class: "cell-head" }, this.said, this.button),
      this.frame,
      this.output,
    );
  }

  async start() {
    this.editor = await makeEditor(this.place, {
      label: `Code of cell ${this.number}`,
      text: this.texts.text(this.key),
      lines: false,
      changed: (text) => this.texts.write(this.key, text),
      run: () => this.ask(),
    });
  }

  ask() {
    if (!this.bench.isBusy) this.element.dispatchEvent(new CustomEvent("run", { bubbles: true, detail: this }));
  }

  clear() {
    this.output.replaceChildren();
    this.said.textContent = `cell ${this.number}`;
  }

  /** Name it in the status line, and bring its error into sight. */
  tellFailed() {
    this.bench.say(`Cell ${this.number} failed`, true);
    reveal(this.output.querySelector(".problem") ?? this.element);
  }

  /** @returns {Promise<boolean>} whether it ran without an error */
  async run() {
    const { bench } = this;
    this.clear();
    this.said.textContent = `cell ${this.number}, running`;
    const started = performance.now();
    const given = {
      edits: bench.files.edits(),
      chapter: this.chapter.name,
      code: this.texts.text(this.key),
      number: this.number,
    };
    try {
      const { printed, value, figures, failed } = await bench.engine.ask("cell", given);
      const text = printed + (value === null ? "" : value);
      this.output.append(
        ...(text ? [el("pre", { class: "output" }, text)] : []),
        ...figures.map((/** @type {string} */ png) =>
          el("img", { src: `data:image/png;base64,${png}`, alt: `A figure of cell ${this.number}` }),
        ),
        ...(failed ? [problem(failed, (file, line) => this.open(file, line))] : []),
      );
      const seconds = (performance.now() - started) / 1000;
      const time = `${Math.max(0.1, seconds).toFixed(1)} s`;
      this.said.textContent = `cell ${this.number}, ${failed ? "failed" : "ran"} in ${time}`;
      return !failed;
    } catch (error) {
      this.clear();
      if (!failedOf(error).stopped) this.bench.say(`Cell ${this.number} failed`, true);
      throw error;
    }
  }

  /** @param {string} file @param {number | null} line */
  open(file, line) {
    if (file !== `cell ${this.number}`) return this.bench.files.open(file, line, true);
    this.frame.setAttribute("open", ""); // where it is folded
    this.editor?.mark(line, true);
    this.editor?.focus();
    return true;
  }
}
