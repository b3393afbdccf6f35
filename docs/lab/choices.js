/** What a training is asked for: its text, how many steps, and whether the unedited engine trains beside it. */

import { el, whole } from "./dom.js";

/** @typedef {import("./main.js").Workbench} Workbench */

const LARGEST = 2_000_000; // bytes of a text
const MOST_STEPS = 5000;

export class Choices {
  /**
   * @param {Workbench} bench @param {HTMLElement} problems where a file is refused
   * @param {{other: () => void, text: () => void}} told other: another choice; text: the reader's own text came
   */
  constructor(bench, problems, told) {
    this.bench = bench;
    this.problems = problems;
    this.told = told;
    /** @type {{name: string, content: string} | null} a text of the reader's */
    this.own = null;
    /** @type {string | null} the steps that the reader chose, while a bug of the museum sets them */
    this.chosenSteps = null;
    /** @type {Promise<void> | null} a file that is being read */
    this.reading = null;
    this.layText();
    this.laySteps();
    this.compare = el("input", { type: "checkbox", id: "compare", checked: true });
    this.compare.onchange = () => told.other();
    this.compareField = el("label", { class: "check-field" }, this.compare, "with the unedited engine beside it");
    this.flags = el("p", { class: "hint", hidden: true });
    const text = el("label", { class: "field" }, "text", this.text);
    this.element = el("div", { class: "controls" }, text, this.stepsField, this.wrong, this.compareField, this.file);
  }

  layText() {
    this.text = el(
      "select",
      { id: "text" },
      el("option", { value: "served" }, "this project's documents"),
      el("option", { value: "own" }, "a file of mine…"),
    );
    const label = "A text to train on";
    this.file = el("input", { type: "file", id: "file", class: "visually-hidden", tabindex: -1, "aria-label": label });
    this.text.onchange = () => (this.text.value === "own" ? this.file.click() : this.told.other());
    this.file.onchange = () => (this.reading = this.take());
    this.file.oncancel = () => this.own || (this.text.value = "served");
  }

  laySteps() {
    const limits = { min: 1, max: MOST_STEPS, step: 1, value: 300, "aria-describedby": "steps-wrong" };
    this.steps = el("input", { type: "number", id: "steps", ...limits });
    this.wrong = el("span", { class: "field-wrong", id: "steps-wrong", role: "status" });
    this.stepsField = el("label", { class: "field" }, "steps", this.steps);
    this.steps.oninput = () => this.checkSteps(); // at each key: a press on a button moves nothing under it
    this.steps.onchange = () => this.told.other();
  }

  /** Say below the field what is wrong with the steps. */
  checkSteps() {
    this.wrong.textContent = wrongSteps(this.steps.value);
    this.steps.setAttribute("aria-invalid", String(this.wrong.textContent !== ""));
  }

  /** @returns {Promise<boolean>} whether a training can begin; if not, the field that is wrong has the keyboard */
  async areRight() {
    await this.reading;
    this.checkSteps();
    if (this.wrong.textContent === "") return true;
    this.steps.focus();
    return false;
  }

  /** What Python gets of them. Python is there, and the text came with it. */
  given() {
    return { text: this.content, steps: Number(this.steps.value), compare: this.compare.checked };
  }

  /** The text that is chosen. */
  get content() {
    return this.text.value === "own" && this.own ? this.own.content : this.bench.engine.text;
  }

  enable() {
    const { isBusy } = this.bench;
    for (const each of [this.text, this.compare]) each.disabled = isBusy;
    this.compareField.hidden = Object.keys(this.bench.files.edits()).length === 0;
    this.enableSteps();
    this.flags.textContent = this.bench.recipes().join(" ");
    this.flags.hidden = this.flags.textContent === "";
  }

  /** A bug of the museum that is on may set the steps; after it, those that the reader chose come back. */
  enableSteps() {
    const { steps } = this.bench.flags();
    if (steps !== undefined) this.chosenSteps ??= this.steps.value;
    const shown = String(steps ?? this.chosenSteps ?? this.steps.value);
    if (this.steps.value !== shown) {
      this.steps.value = shown;
      this.checkSteps();
    }
    if (steps === undefined) this.chosenSteps = null;
    this.steps.disabled = this.bench.isBusy || steps !== undefined;
    this.steps.title = steps === undefined ? "" : "The bug that is on shows after so many steps";
  }

  /** A file of the reader's. */
  async take() {
    const [file] = this.file.files;
    if (!file) return;
    try {
      this.own = { name: file.name, content: await textOf(file) };
    } catch (error) {
      if (!this.own) this.text.value = "served";
      const message = /** @type {Error} */ (error).message;
      return this.bench.show(this.problems, { kind: "", message, place: null, lines: [] });
    } finally {
      this.file.value = "";
    }
    this.text.value = "own";
    const option = /** @type {HTMLOptionElement} */ (this.text.options[1]);
    option.textContent = file.name;
    this.told.text();
  }
}

/** What is wrong with a number of steps, in words. @param {string} text of the field; "" if it is no number */
export function wrongSteps(text) {
  const range = `a whole number from 1 to ${whole(MOST_STEPS)}`;
  const steps = Number(text);
  if (text.trim() === "") return `Enter ${range}.`;
  return Number.isInteger(steps) && 1 <= steps && steps <= MOST_STEPS ? "" : `${text} is not ${range}.`;
}

/**
 * The text of a file, to train on. An error says what is wrong with it.
 * @param {{name: string, size: number, arrayBuffer: () => Promise<ArrayBuffer>}} file
 */
export async function textOf(file) {
  if (file.size > LARGEST) {
    const size = `“${file.name}” has ${(file.size / 1e6).toFixed(1)} MB`;
    throw new Error(`${size}; a text may have ${LARGEST / 1e6} MB here. Take a part of it.`);
  }
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Error(`“${file.name}” cannot be read: is it still there?`);
  });
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`“${file.name}” is no text in UTF-8.`);
  }
  if (content.includes("\0")) throw new Error(`“${file.name}” is no text in UTF-8: it has null characters.`);
  return content.replace(/\r\n?/g, "\n");
}
