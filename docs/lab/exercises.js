/** The exercises of gpt.learn: what is to be written, a stub to fill in, and a check that says what is wrong. */

import { chapterLink } from "./cells.js";
import { el } from "./dom.js";
import { makeEditor } from "./editor.js";
import { capital } from "./problem.js";
import { Texts, waysBack } from "./texts.js";

/**
 * @typedef {import("./main.js").Workbench} Workbench @typedef {import("./cells.js").Chapter} Chapter
 * @typedef {{name: string, title: string, kind: string, chapter: string, start: string}} Exercise
 * @typedef {{kind: "text" | "formulas" | "hint", text: string}} Piece
 */

/**
 * The paragraphs of a file's docstring, without its first line, which is the title, and its last, which is a command.
 * What is indented are formulas: they stay as they are.
 * @param {string} start @returns {Piece[]}
 */
export function statementOf(start) {
  const [, docstring = ""] = /^[rR]?"""(.*?)"""/s.exec(start) ?? [];
  const paragraphs = docstring.trimEnd().split(/\n\s*\n/).slice(1);
  return paragraphs
    .filter((each) => !each.startsWith("    python -m "))
    .map((each) => {
      if (each.startsWith(" ")) return { kind: "formulas", text: each.replace(/^ {4}/gm, "") };
      const text = each.replace(/\s*\n\s*/g, " ");
      return text.startsWith("Hint: ") ? { kind: "hint", text: capital(text.slice(6)) } : { kind: "text", text };
    });
}

/** A line of formulas: where there is no room for them side by side, one begins a line below. @param {string} line */
const whole = (line) =>
  el("span", { class: "line" }, ...line.split(/( {3,})/).map((each) => (each.trim() ? el("span", {}, each) : each)));

/** @param {Piece} piece */
function shown({ kind, text }) {
  if (kind === "formulas") return el("pre", {}, ...text.split("\n").map(whole));
  if (kind === "hint") return el("details", {}, el("summary", {}, "Hint"), el("p", {}, text));
  const [begin = ""] = /^(Shapes:|Write \w+)/.exec(text) ?? [];
  return el("p", {}, begin && el("strong", {}, begin), text.slice(begin.length));
}

/**
 * @param {Workbench} bench @param {HTMLElement} panel @param {Exercise[]} exercises @param {string | null} asked
 * @param {Chapter[]} chapters
 */
export async function exercisesPanel(bench, panel, exercises, asked, chapters) {
  const made = new Exercises(bench, exercises, chapters);
  made.lay(panel, asked);
  await made.start();
}

class Exercises {
  /** @param {Workbench} bench @param {Exercise[]} all @param {Chapter[]} chapters */
  constructor(bench, all, chapters) {
    this.bench = bench;
    this.all = all;
    this.chapters = chapters;
    /** @type {import("./editor.js").Editor | null} */
    this.editor = null;
    const starts = Object.fromEntries(all.map(({ name, start }) => [name, start]));
    this.texts = new Texts(bench.store, "exercise", starts, (name) => (name === this.chosen.name ? this.editor : null));
    bench.texts.set(this.texts.kind, this.texts);
    this.texts.changed.add(() => this.texts.text(this.chosen.name) === this.chosen.start && this.clear());
    this.place = el("div", { class: "exercise-editor" });
    this.statement = el("div", { class: "statement", id: "statement" });
    this.problems = el("div", {});
    this.verdict = el("p", { class: "summary", role: "status", id: "exercise-verdict" });
    this.report = el("div", {});
  }

  get chosen() {
    return this.all.find(({ name }) => name === this.choice.value) ?? this.all[0];
  }

  /** @param {HTMLElement} panel @param {string | null} asked the exercise to begin with */
  lay(panel, asked) {
    this.choice = el("select", { id: "exercise", onchange: () => this.open() }, ...choicesOf(this.all, asked));
    const check = el("button", { type: "button", class: "main", id: "check-exercise" }, "Check my solution");
    check.onclick = () => this.run();
    this.bench.busy.add(() => (check.disabled = this.bench.isBusy));
    const undo = el("button", { type: "button", class: "plain", id: "undo-exercise" }, "Begin again");
    const redo = el("button", { type: "button", class: "plain", id: "redo-exercise" }, "Bring back");
    this.back = waysBack(this.texts, () => [this.chosen.name], undo, redo);
    const about =
      "The check runs your file, compares it with finite differences and recorded numbers, " +
      "and says which element is wrong.";
    panel.append(
      el("h2", {}, "Exercises"),
      el("p", { class: "hint" }, about),
      el("div", { class: "controls" }, el("label", { class: "field" }, "exercise", this.choice)),
      this.statement,
      this.place,
      el("div", { class: "controls" }, check, undo, redo),
      this.problems,
      el("div", { class: "result" }, this.verdict, this.report),
    );
  }

  async start() {
    const { name } = this.chosen;
    this.editor = await makeEditor(this.place, {
      label: name,
      text: this.texts.text(name),
      changed: (text) => this.texts.write(this.chosen.name, text),
      run: () => this.run(),
    });
    this.open();
  }

  /** Show the chosen exercise. */
  open() {
    const { name, title, start, chapter } = this.chosen;
    const from = this.chapters.find((each) => each.name === chapter);
    this.statement.replaceChildren(
      el("h3", {}, capital(title)),
      el("p", { class: "hint" }, el("code", {}, name), " belongs to the chapter ", chapterLink(from, chapter), "."),
      ...statementOf(start).map(shown),
    );
    const text = this.texts.text(name);
    this.editor?.open(text, `Your solution of ${name}`);
    this.editor?.mark(lineOf(text), false, true);
    this.clear();
    this.back?.();
  }

  clear() {
    this.verdict.textContent = "";
    this.verdict.className = "summary";
    this.report.replaceChildren();
    this.problems.replaceChildren();
  }

  run() {
    if (this.bench.isBusy) return null;
    this.clear();
    const { name } = this.chosen;
    const open = (/** @type {string} */ file, /** @type {number | null} */ line) => {
      if (file !== `${name}.py`) return this.bench.files.open(file, line, true);
      this.editor?.mark(line, true);
      this.editor?.focus();
      return true;
    };
    return this.bench.run("Checking your solution", this.problems, () => this.check(name), open);
  }

  /** The way to the exercise after it. @param {string} name */
  next(name) {
    const after = this.all[this.all.findIndex((each) => each.name === name) + 1];
    if (!after) return [];
    const go = () => {
      this.choice.value = after.name;
      this.open();
      this.choice.focus();
    };
    return [" Next: ", el("button", { type: "button", class: "link", onclick: go }, after.name)];
  }

  /** @param {string} name */
  async check(name) {
    const given = { name, text: this.texts.text(name) };
    const { passed, lines } = await this.bench.engine.ask("check_exercise", given);
    this.verdict.replaceChildren(...(passed ? ["Solved.", ...this.next(name)] : ["Not yet."]));
    this.verdict.classList.add(passed ? "right" : "wrong");
    this.report.replaceChildren(lines.length ? el("pre", { class: "report" }, lines.join("\n")) : "");
    this.bench.say(`${name}: ${passed ? "solved" : "not yet"}`, true);
  }
}

/** A group of choices for each kind. @param {Exercise[]} exercises @param {string | null} asked */
function choicesOf(exercises, asked) {
  const choice = (/** @type {Exercise} */ { name, title }) =>
    el("option", { value: name, selected: name === asked }, `${name}: ${title}`);
  const of = (/** @type {string} */ kind) => exercises.filter((each) => each.kind === kind).map(choice);
  return [...new Set(exercises.map(({ kind }) => kind))].map((kind) => el("optgroup", { label: kind }, ...of(kind)));
}

/** The line where the reader writes: that of the last function of the file. @param {string} text */
function lineOf(text) {
  const lines = text.split("\n");
  return lines.findLastIndex((line) => line.startsWith("def ")) + 1;
}
