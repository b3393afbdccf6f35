/** The gradient check: a row for each primitive, green where every error is below its limit, red where one is not. */

import { byId, el, number } from "./dom.js";
import { problem } from "./problem.js";

/** @typedef {import("./main.js").Workbench} Workbench */

/** @type {[string, string, string][]} a check, its column, what it means */
const CHECKS = [
  ["differences", "differences", "against central differences, in float64"],
  ["composed", "composed", "against the form that is written out in smaller operations"],
  ["ulps", "float32", "in float32, in units of what rounding the inputs does anyway"],
];

/** @param {Workbench} bench @param {HTMLElement} panel */
export function checkPanel(bench, panel) {
  const check = new Check(bench);
  panel.append(
    el("h2", {}, "Are the derivatives right?"),
    hint(
      "Every backward is compared, element by element, with differences of its own forward, f(x + h) − f(x − h).",
    ),
    el("div", { class: "controls" }, check.edited, check.all),
    check.problems,
    check.summary,
    check.old,
    check.table,
    hint(...CHECKS.map(([, title, about]) => `${title}: the error ${about}. `)),
    firstTry(bench),
  );
}

/** The buttons, the table, and what it is about. */
class Check {
  /** @param {Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.of = ""; // the edits that the table is about
    /** @type {string[]} the primitives in it */
    this.names = [];
    this.edited = el("button", { type: "button", class: "main", id: "check-edited" }, "Check what I edited");
    this.all = el("button", { type: "button", id: "check-all" }, "Check all primitives");
    this.summary = el("p", { class: "summary", role: "status", id: "check-summary" });
    this.problems = el("div", {});
    this.old = el("p", { class: "hint", hidden: true }, "This is from before your last edit.");
    this.body = el("tbody", {});
    this.table = tableOf(this.body);
    this.edited.onclick = () => this.run((found) => this.ofEdits(found));
    this.all.onclick = () => this.run(namesOf);
    bench.files.changed.add(() => this.enable());
    bench.busy.add(() => this.enable());
    this.enable();
  }

  /**
   * The primitives that the edits concern. After an undo nothing may be edited any more: then those of the table are
   * checked again. @param {any} found @returns {string[]}
   */
  ofEdits(found) {
    if (found.shared.length) return namesOf(found);
    return found.edited.length ? found.edited : this.names;
  }

  /** @param {(found: any) => string[]} choose */
  async run(choose) {
    const failed = await this.bench.run("Checking derivatives", this.problems, () => this.check(choose));
    if (failed) this.summary.textContent = failed.stopped ? "Stopped." : "";
  }

  /** @param {(found: any) => string[]} choose the primitives */
  async check(choose) {
    const { bench, body, summary, table } = this;
    body.replaceChildren();
    summary.className = "summary";
    summary.textContent = "Importing the engine";
    const edits = bench.files.edits();
    const found = await bench.engine.ask("primitives", { edits });
    this.names = choose(found);
    byId("first-try").hidden = true;
    table.hidden = this.names.length === 0;
    this.of = "";
    const wrong = await this.examine(found.rows);
    summary.textContent = verdictOf(this.names, wrong);
    summary.classList.add(wrong.length ? "wrong" : "right");
    this.of = JSON.stringify(edits);
  }

  /** Examine one after the other. @param {any[]} rows about all @returns {Promise<string[]>} those that are wrong */
  async examine(rows) {
    const { bench, names } = this;
    const abouts = new Map(rows.map((row) => [row.name, row]));
    /** @type {string[]} */
    const wrong = [];
    for (const [i, name] of names.entries()) {
      const row = await bench.engine.ask("examine", { name });
      if (row.wrong.length) wrong.push(name);
      this.show(row, rowOf(bench, row, abouts.get(name)));
      bench.say(`Checking derivatives: ${i + 1} of ${names.length}`);
    }
    return wrong;
  }

  /** Those that are wrong stand above the right ones. @param {any} row @param {HTMLElement[]} shown */
  show(row, shown) {
    const firstRight = this.body.querySelector("tr.right");
    if (row.wrong.length && firstRight) firstRight.before(...shown);
    else this.body.append(...shown);
  }

  enable() {
    const { bench } = this;
    const edits = bench.files.edits();
    const isOld = this.of !== "" && this.of !== JSON.stringify(edits);
    const isEdited = Object.keys(edits).length > 0;
    this.edited.textContent = isEdited || !isOld ? "Check what I edited" : "Check these again";
    this.edited.disabled = bench.isBusy || !(isEdited || isOld);
    this.all.disabled = bench.isBusy;
    this.table.classList.toggle("old", isOld);
    this.old.hidden = !isOld;
  }
}

/** @param {...(string | HTMLElement)} parts */
const hint = (...parts) => el("p", { class: "hint" }, ...parts);

/** @param {HTMLElement} body */
function tableOf(body) {
  const columns = CHECKS.map(([, title, about]) => el("th", { scope: "col", title: about }, title));
  const verdict = el("th", { scope: "col", class: "verdict" }, "verdict");
  return el(
    "div",
    { class: "scrolls", tabindex: 0, role: "region", "aria-label": "The gradient check", hidden: true },
    el(
      "table",
      { id: "check-table" },
      el("caption", {}, "The largest error of each primitive over its sample calls"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "primitive"), verdict, ...columns)),
      body,
    ),
  );
}

/** A first experiment, until something is checked. @param {Workbench} bench */
function firstTry(bench) {
  const open = () => bench.files.open("tinytensor/ops/gelu.py", lineOf(bench));
  const gelu = el("button", { type: "button", class: "link", onclick: open }, "gelu.py");
  const code = (/** @type {string} */ text) => el("code", {}, text);
  return el(
    "div",
    { class: "first", id: "first-try" },
    el("p", {}, "For a start:"),
    el(
      "ol",
      {},
      el("li", {}, "Open ", gelu, " and put a minus before ", code("dy"), " in ", code("gelu_tanh_backward"), "."),
      el("li", {}, "Check what you edited: its row turns red."),
      el("li", {}, "Train: the loss is above that of the unedited engine. Undo the file, and train again."),
    ),
  );
}

/** @param {string[]} names @param {string[]} wrong */
function verdictOf(names, wrong) {
  if (names.length === 0) return "No primitive is in a file that you edited.";
  if (names.length === 1) return `The primitive ${names[0]} is ${wrong.length ? "wrong" : "right"}.`;
  if (wrong.length === 0) return `All ${names.length} primitives are right.`;
  const are = wrong.length === 1 ? "is" : "are";
  return `${wrong.length} of ${names.length} primitives ${are} wrong: ${wrong.join(", ")}.`;
}

/** @param {any} found @returns {string[]} */
const namesOf = (found) => found.rows.map((/** @type {any} */ row) => row.name);

/** The line of the first experiment. @param {Workbench} bench */
function lineOf(bench) {
  const lines = bench.files.text("tinytensor/ops/gelu.py").split("\n");
  const at = lines.findIndex((line) => line.includes("return (dy * derivative"));
  return at < 0 ? null : at + 1;
}

/** A row of the table, and what failed under it. @param {Workbench} bench @param {any} row @param {any} about */
function rowOf(bench, row, about) {
  const isWrong = row.wrong.length > 0;
  const open = () => bench.files.open(about.file);
  const name = el("button", { type: "button", class: "link", onclick: open }, row.name);
  const found = el(
    "tr",
    { class: isWrong ? "wrong" : "right", "data-name": row.name },
    el("th", { scope: "row", title: about.formula }, name),
    el("td", { class: "verdict" }, row.failed ? "✗ fails" : isWrong ? "✗ wrong" : "✓ right"),
    ...errorsOf(row),
  );
  return row.failed ? [found, failureOf(bench, row)] : [found];
}

/** The cells with the errors. @param {any} row @returns {HTMLElement[]} */
function errorsOf(row) {
  if (row.failed) return [el("td", { colspan: CHECKS.length }, row.failed.kind)];
  return CHECKS.map(([check]) => {
    const error = row.errors[check];
    return el("td", { class: row.wrong.includes(check) && "too-large" }, error === null ? "–" : shown(error));
  });
}

/** @param {Workbench} bench @param {any} row */
function failureOf(bench, row) {
  const told = problem(row.failed, (file, line) => bench.files.open(file, line, true));
  return el("tr", { class: "wrong" }, el("td", { colspan: CHECKS.length + 2 }, told));
}

/** @param {number | string} error */
const shown = (error) =>
  typeof error === "string" ? (error === "nan" ? "nan" : "∞") : error === 0 ? "0" : number(error, 2);
