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
  const edited = el("button", { type: "button", class: "main", id: "check-edited" }, "Check what I edited");
  const all = el("button", { type: "button", id: "check-all" }, "Check all primitives");
  const summary = el("p", { class: "summary", role: "status", id: "check-summary" });
  const body = el("tbody", {});
  const table = el(
    "div",
    { class: "scrolls", tabindex: 0, role: "region", "aria-label": "The gradient check", hidden: true },
    el(
      "table",
      { id: "check-table" },
      el("caption", {}, "The largest error of each primitive over its sample calls"),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "primitive"),
          el("th", { scope: "col", class: "verdict" }, "verdict"),
          ...CHECKS.map(([, title, about]) => el("th", { scope: "col", title: about }, title)),
        ),
      ),
      body,
    ),
  );
  const problems = el("div", {});
  const old = el("p", { class: "hint", hidden: true }, "This is from before your last edit.");
  panel.append(
    el("h2", {}, "Are the derivatives right?"),
    el(
      "p",
      { class: "hint" },
      "Every backward is compared with differences of its own forward, f(x + h) − f(x − h), element by element.",
    ),
    el("div", { class: "controls" }, edited, all),
    problems,
    summary,
    old,
    table,
    el("p", { class: "hint" }, ...CHECKS.map(([, title, about]) => `${title}: the error ${about}. `)),
    el(
      "div",
      { class: "first", id: "first-try" },
      el("p", {}, "For a start:"),
      el(
        "ol",
        {},
        el(
          "li",
          {},
          "Open ",
          el(
            "button",
            { type: "button", class: "link", onclick: () => bench.files.open("tinytensor/ops/gelu.py", lineOf(bench)) },
            "gelu.py",
          ),
          " and put a minus before ",
          el("code", {}, "dy"),
          " in ",
          el("code", {}, "gelu_tanh_backward"),
          ".",
        ),
        el("li", {}, "Check what you edited: its row turns red."),
        el("li", {}, "Train: the loss goes elsewhere. Undo the file, and all is well."),
      ),
    ),
  );

  let checked = ""; // the edits that the table is about
  /** @type {string[]} */
  let last = []; // the primitives in it
  /** @param {(found: any) => string[]} choose */
  const run = (choose) =>
    bench
      .run("Checking derivatives", problems, async () => {
        body.replaceChildren();
        summary.className = "summary";
        summary.textContent = "Importing the engine";
        const edits = bench.files.edits();
        const found = await bench.engine.ask("primitives", { edits });
        const names = (last = choose(found));
        const formulas = new Map(found.rows.map((/** @type {any} */ row) => [row.name, row]));
        byId("first-try").hidden = true;
        table.hidden = names.length === 0;
        checked = "";
        /** @type {string[]} */
        const wrong = [];
        for (const [i, name] of names.entries()) {
          const row = await bench.engine.ask("examine", { name });
          if (row.wrong.length) wrong.push(name);
          const shown = rowOf(bench, row, formulas.get(name));
          const firstRight = body.querySelector("tr.right");
          if (row.wrong.length && firstRight) firstRight.before(...shown);
          else body.append(...shown);
          bench.say(`Checking derivatives: ${i + 1} of ${names.length}`);
        }
        summary.textContent = verdictOf(names, wrong);
        summary.classList.add(wrong.length ? "wrong" : "right");
        checked = JSON.stringify(edits);
      })
      .then((failed) => {
        if (failed && !failed.stopped) summary.textContent = "";
        if (failed?.stopped) summary.textContent = "Stopped.";
      });
  // After an undo nothing may be edited any more: then those of the table are checked again.
  const again = (/** @type {any} */ found) => (found.edited.length ? found.edited : last);
  edited.onclick = () => run((found) => (found.shared.length ? namesOf(found) : again(found)));
  all.onclick = () => run(namesOf);
  const names = () => {
    const isOld = checked !== "" && checked !== JSON.stringify(bench.files.edits());
    const isEdited = Object.keys(bench.files.edits()).length > 0;
    edited.textContent = isEdited || !isOld ? "Check what I edited" : "Check these again";
    edited.disabled = bench.isBusy || !(isEdited || isOld);
    all.disabled = bench.isBusy;
    table.classList.toggle("old", isOld);
    old.hidden = !isOld;
  };
  bench.files.changed.add(names);
  bench.busy.add(names);
  names();
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

/** @param {Workbench} bench @param {any} row @param {any} about @returns {HTMLElement[]} */
function rowOf(bench, row, about) {
  const isWrong = row.wrong.length > 0;
  const open = () => bench.files.open(about.file);
  const cells = row.failed
    ? [el("td", { colspan: CHECKS.length }, row.failed.kind)]
    : CHECKS.map(([check]) => {
        const error = row.errors[check];
        const isLarge = row.wrong.includes(check);
        return el("td", { class: isLarge && "too-large" }, error === null ? "–" : shown(error));
      });
  const found = [
    el(
      "tr",
      { class: isWrong ? "wrong" : "right", "data-name": row.name },
      el(
        "th",
        { scope: "row", title: about.formula },
        el("button", { type: "button", class: "link", onclick: open }, row.name),
      ),
      el("td", { class: "verdict" }, row.failed ? "✗ fails" : isWrong ? "✗ wrong" : "✓ right"),
      ...cells,
    ),
  ];
  if (row.failed)
    found.push(
      el(
        "tr",
        { class: "wrong" },
        el(
          "td",
          { colspan: CHECKS.length + 2 },
          problem(row.failed, (file, line) => bench.files.open(file, line, true)),
        ),
      ),
    );
  return found;
}

/** @param {number | string} error */
const shown = (error) =>
  typeof error === "string" ? (error === "nan" ? "nan" : "∞") : error === 0 ? "0" : number(error, 2);
