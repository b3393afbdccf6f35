/** The cells of a chapter: they can be edited, they run in order in one Python, and show what they print and draw. */

import { el } from "./dom.js";
import { makeEditor } from "./editor.js";
import { problem } from "./problem.js";

/**
 * @typedef {import("./main.js").Workbench} Workbench
 * @typedef {{name: string, title: string, cells: string[]}} Chapter
 */

/** @param {Workbench} bench @param {HTMLElement} panel @param {Chapter[]} chapters @param {string | null} asked */
export function cellsPanel(bench, panel, chapters, asked) {
  const choice = el(
    "select",
    { id: "chapter" },
    ...chapters.map(({ name, title }) => el("option", { value: name, selected: name === asked }, title)),
  );
  const list = el("div", { id: "cells" });
  const all = el("button", { type: "button", class: "main", id: "run-all" }, "Run all cells");
  const restart = el("button", { type: "button", id: "restart" }, "Start over");
  const undo = el("button", { type: "button", class: "plain", id: "undo-cells" }, "Undo my changes");
  const problems = el("div", {});
  panel.append(
    el("h2", {}, "A chapter's code"),
    el(
      "p",
      { class: "hint" },
      "The cells share their names, and run on the engine as you edited it. ",
      el("kbd", {}, "Ctrl"),
      " ",
      el("kbd", {}, "Enter"),
      " runs one.",
    ),
    el("div", { class: "controls" }, el("label", { class: "field" }, "chapter", choice)),
    el("div", { class: "controls" }, all, restart, undo),
    problems,
    list,
  );
  /** @type {Cell[]} */
  let cells = [];
  let shown = 0;
  const show = async () => {
    const mine = ++shown;
    const chapter = /** @type {Chapter} */ (chapters.find(({ name }) => name === choice.value));
    const made = chapter.cells.map((code, i) => new Cell(bench, chapter, i, code));
    list.replaceChildren(...made.map((cell) => cell.element));
    cells = made;
    for (const cell of made) if (mine === shown) await cell.start();
  };
  const run = (/** @type {Cell[]} */ some) =>
    bench.run("Running", problems, async () => {
      for (const cell of some) if (!(await cell.run())) break;
    });
  choice.onchange = show;
  all.onclick = async () => {
    for (const cell of cells) cell.clear();
    await bench.run("Running", problems, async () => {
      await bench.engine.ask("restart", { chapter: choice.value });
      for (const cell of cells) if (!(await cell.run())) break;
    });
  };
  restart.onclick = () => {
    for (const cell of cells) cell.clear();
    return bench.run("Starting over", problems, () => bench.engine.ask("restart", { chapter: choice.value }));
  };
  undo.onclick = () => cells.forEach((cell) => cell.undo());
  list.addEventListener("run", (/** @type {any} */ event) => run([event.detail]));
  bench.busy.add(() => {
    for (const each of [all, restart]) each.disabled = bench.isBusy;
    for (const cell of cells) cell.button.disabled = bench.isBusy;
  });
  return show();
}

class Cell {
  /** @param {Workbench} bench @param {Chapter} chapter @param {number} i @param {string} code */
  constructor(bench, chapter, i, code) {
    this.bench = bench;
    this.chapter = chapter;
    this.number = i + 1;
    this.code = code;
    this.key = `${chapter.name} ${this.number}`;
    this.said = el("span", {}, `cell ${this.number}`);
    this.button = el(
      "button",
      { type: "button", class: "plain", disabled: bench.isBusy, "aria-label": `Run cell ${this.number}` },
      "Run",
    );
    this.button.onclick = () => this.ask();
    this.place = el("div", {});
    this.output = el("div", { role: "status", "aria-label": `Output of cell ${this.number}` });
    this.element = el(
      "div",
      { class: "cell" },
      el("div", { class: "cell-head" }, this.said, this.button),
      this.place,
      this.output,
    );
  }

  async start() {
    this.editor = await makeEditor(this.place, {
      label: `Code of cell ${this.number}`,
      text: this.bench.store.get("cell", this.key) ?? this.code,
      lines: false,
      changed: (text) => this.bench.store.set("cell", this.key, text === this.code ? undefined : text),
      run: () => this.ask(),
    });
  }

  ask() {
    if (!this.bench.isBusy) this.element.dispatchEvent(new CustomEvent("run", { bubbles: true, detail: this }));
  }

  undo() {
    this.bench.store.set("cell", this.key, undefined);
    this.editor?.replace(this.code);
  }

  clear() {
    this.output.replaceChildren();
    this.said.textContent = `cell ${this.number}`;
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
      code: this.editor?.text ?? this.code,
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
      throw error;
    }
  }

  /** @param {string} file @param {number | null} line */
  open(file, line) {
    if (file !== `cell ${this.number}`) return this.bench.files.open(file, line, true);
    this.editor?.mark(line, true);
    this.editor?.focus();
    return true;
  }
}
