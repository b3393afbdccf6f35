/**
 * The panel of one number: how it came about, from which inputs, where in the source; its gradient, what it passes
 * back, and the check of that derivative. Its inputs are buttons, so one can walk from the loss down to a weight.
 */

import { byId, el, number, signed, table, tokenMark } from "./dom.js";
import { derive, gradientOf, why } from "./derive.js";
import { follow, tip } from "./follow.js";
import { computing } from "./subject.js";

/**
 * @typedef {import("./subject.js").Subject} Subject
 * @typedef {import("./subject.js").Cell} Cell
 * @typedef {import("./subject.js").Call} Call
 */

const SHOWN = 8; // rows of a table, until all are asked for

export class Panel {
  /** @param {Subject} subject */
  constructor(subject) {
    this.subject = subject;
    this.element = byId("panel");
    this.content = byId("panel-content");
    /** @type {Cell[]} the way to what is shown */
    this.trail = [];
    /** @type {HTMLElement | null} where the focus was */
    this.origin = null;
    byId("panel-close").addEventListener("click", () => this.close());
    byId("panel-back").addEventListener("click", () => this.back());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.element.hidden) this.close();
    });
  }

  /** @param {Cell} cell */
  open(cell) {
    if (this.element.hidden) {
      this.origin = /** @type {HTMLElement | null} */ (document.activeElement);
      this.trail = [];
    }
    this.trail.push(cell);
    this.show();
  }

  back() {
    if (this.trail.length < 2) return;
    this.trail.pop();
    this.show();
  }

  close() {
    this.element.hidden = true;
    document.body.classList.remove("has-panel");
    if (this.origin?.isConnected) this.origin.focus({ preventScroll: true });
  }

  show() {
    const cell = this.trail[this.trail.length - 1];
    tip(null);
    const before = this.origin?.getBoundingClientRect().top ?? 0;
    this.element.hidden = false;
    document.body.classList.add("has-panel"); // makes room, so that lines above may break elsewhere
    const after = this.origin?.getBoundingClientRect().top ?? 0,
      sheet = this.element.getBoundingClientRect();
    const isCovered = sheet.left === 0 && sheet.top > 0 && after > sheet.top - 30; // on a phone it comes from below
    scrollBy({ top: isCovered ? after - sheet.top / 2 : after - before, behavior: "instant" });
    byId("panel-back").toggleAttribute("disabled", this.trail.length < 2);
    const parts = this.subject.isParameter(cell.name) ? this.parameter(cell) : this.value(cell);
    const title = el(
      "h2",
      { id: "panel-title", tabindex: -1 },
      this.subject.isParameter(cell.name) ? "A weight" : (this.subject.step.get(cell.name)?.title ?? "A value"),
    );
    this.content.replaceChildren(
      title,
      el("p", { class: "step-name" }, el("code", {}, this.subject.label(cell))),
      ...parts,
    );
    this.element.scrollTop = 0;
    title.focus({ preventScroll: true });
  }

  /** A cell as a button that shows it. @param {Cell} cell @returns {Node} */
  link(cell) {
    const parts = this.subject.label(cell).split(/(?<=\.)|(?=\[)/); // a line may break there
    return el(
      "button",
      { type: "button", class: "cell-link", onclick: () => this.open(cell) },
      ...parts.flatMap((part, i) => (i ? [el("wbr"), part] : [part])),
    );
  }

  // ---------------------------------------------------------------------------------------------------------- a value

  /** @param {Cell} cell @returns {Node[]} */
  value(cell) {
    const { subject } = this;
    const dy = subject.gradientAt(cell);
    const derivation = subject.isLarge ? undefined : derive(subject, cell);
    const calls = subject.calls(cell.name);
    return [
      numbers([
        ["value", number(subject.at(cell), 6)],
        ["gradient ∂loss/∂value", number(dy, 4)],
      ]),
      el(
        "p",
        { class: "hint" },
        dy === null
          ? "No gradient was kept here."
          : `If this number grew by 0.01, the loss would change by about ${signed(0.01 * dy, 3)} nats.`,
      ),
      heading("How it came about"),
      el("p", { class: "formula" }, subject.formula(cell.name)),
      derivation && el("p", { class: "formula numbers" }, `${derivation.formula} = ${number(derivation.result, 6)}`),
      derivation?.note && el("p", { class: "hint" }, derivation.note),
      derivation && derivation.terms.length > 0 && this.terms(derivation.terms, dy),
      !derivation &&
        el("p", { class: "note" }, "The weights are too large for a page, so the inputs of this number are not here."),
      ...this.users(cell),
      ...sources(subject, calls),
    ].filter(Boolean);
  }

  /** The inputs, those that matter most first. @param {import("./derive.js").Term[]} terms @param {number | null} dy */
  terms(terms, dy) {
    const { subject } = this;
    const adds = terms.some((term) => term.part !== undefined);
    const size = (/** @type {import("./derive.js").Term} */ term) => Math.abs(term.part ?? (adds ? 0 : term.slope));
    const sorted = [...terms].sort((a, b) => size(b) - size(a) || Math.abs(b.slope) - Math.abs(a.slope));
    const times = (/** @type {import("./derive.js").Term} */ { times: by }) =>
      by === undefined
        ? ""
        : typeof by === "number"
          ? number(by)
          : el("span", {}, number(subject.at(by)), el("br"), this.link(by));
    const hasTimes = terms.some((term) => term.times !== undefined && term.part !== undefined);
    const rows = sorted.map((term) => [
      el("span", {}, this.link(term.cell)),
      number(subject.at(term.cell)),
      ...(hasTimes ? [term.part === undefined ? "" : times(term)] : []),
      ...(adds ? [number(term.part)] : []),
      number(dy === null ? null : dy * term.slope, 3),
    ]);
    const head = [
      "input",
      "its value",
      ...(hasTimes ? ["times"] : []),
      ...(adds ? ["adds"] : []),
      "gradient passed to it",
    ];
    return longTable(
      `${terms.length} ` +
        `${terms.length === 1 ? "input" : "inputs"}${adds ? ", what adds most first" : ", the steepest first"}`,
      head,
      rows,
    );
  }

  /** Which values read this one. @param {Cell} cell @returns {Node[]} */
  users({ name }) {
    const users = this.subject.steps.filter((step) => step.inputs.includes(name));
    if (!users.length) return [];
    return [
      el(
        "p",
        { class: "hint" },
        "Read by ",
        ...users.flatMap((step, i) => [i ? ", " : "", el("code", {}, step.name)]),
        ". Its gradient is the sum of what these pass back.",
      ),
    ];
  }

  // ------------------------------------------------------------------------------------------------------ a parameter

  /** @param {Cell} cell @returns {Node[]} */
  parameter(cell) {
    const { subject } = this;
    const shares = why(subject, cell);
    if (!shares)
      return [
        numbers([["value", number(subject.at(cell), 6)]]),
        el("p", { class: "note" }, "The page has no gradients from which to say why."),
      ];
    const sum = shares.reduce((all, share) => all + share.part, 0);
    const sorted = [...shares].sort((a, b) => Math.abs(b.part) - Math.abs(a.part));
    const rows = sorted.map((share) => [
      el(
        "span",
        {},
        el("button", { type: "button", class: "cell-link", onclick: () => follow(share.t) }, `${share.t}`),
        " ",
        tokenMark(subject.tokens[share.t].text),
      ),
      el("span", {}, number(share.dy, 3), el("br"), this.link(share.from)),
      share.through ? el("span", {}, number(share.x, 3), el("br"), this.link(share.through)) : number(share.x, 3),
      number(share.part, 3),
    ]);
    return [
      numbers([
        ["value", number(subject.at(cell), 6)],
        ["gradient ∂loss/∂weight", number(sum, 4)],
      ]),
      el(
        "p",
        { class: "hint" },
        sum === 0
          ? "Nothing in this text asks it to change."
          : `A step against the gradient would make it ${sum > 0 ? "smaller" : "larger"}.`,
      ),
      heading("Why: what each position asks for"),
      el("p", { class: "formula" }, formulaOf(cell.name)),
      longTable(
        `${shares.length} ${shares.length === 1 ? "use" : "uses"}, the strongest first; their sum is ${number(sum, 4)}`,
        ["position", "gradient of the output", "input", "asks for"],
        rows,
      ),
      ...this.norms(cell.name),
    ];
  }

  /** The whole gradient, summed in the page, beside the engine's. @param {string} name @returns {Node[]} */
  norms(name) {
    const row = this.subject.data.flow.parameters.find((/** @type {any} */ each) => each.name === name);
    const gradient = gradientOf(this.subject, name);
    if (!row || !gradient) return [];
    const norm = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
    return [
      heading("The check"),
      el(
        "p",
        { id: "why-check", "data-page": String(norm), "data-engine": String(row.norm) },
        `All gradients of ${name}, summed like this in the page, have the norm ${number(norm, 5)}; those of the ` +
          `engine's backward pass ${number(row.norm, 5)}. The page has gradients of values in half precision, 11 ` +
          "bits.",
      ),
    ];
  }
}

/** @param {string} name */
function formulaOf(name) {
  if (name.endsWith(".bias")) return "y = … + b, so ∂loss/∂b[o] = Σₜ dy[t, o]";
  if (/norm\.weight$/.test(name)) return "y = w · x̂ …, so ∂loss/∂w[c] = Σₜ dy[t, c] x̂[t, c]";
  if (/embedding\.weight$/.test(name))
    return "y[t] = W[id of t], so ∂loss/∂W[v, c] = Σ dy[t, c] over the positions with token v";
  return "y = x Wᵀ …, so ∂loss/∂W[o, i] = Σₜ dy[t, o] x[t, i]";
}

/** @param {string} text */
const heading = (text) => el("h3", {}, text);

/** @param {[string, string][]} pairs */
function numbers(pairs) {
  return el(
    "dl",
    { class: "numbers-list" },
    ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/**
 * A table whose first rows are shown, and all on demand.
 * @param {string} caption @param {string[]} head @param {(Node | string)[][]} rows
 */
function longTable(caption, head, rows) {
  const box = el("div", { class: "long" });
  const show = (/** @type {number} */ count) => {
    box.classList.toggle("all", rows.length <= count);
    const more =
      rows.length > count &&
      el("button", { type: "button", class: "plain", onclick: () => show(rows.length) }, `Show all ${rows.length}`);
    const inner = el(
      "div",
      { class: "scrolls", tabindex: 0, role: "region", "aria-label": caption },
      table(caption, head, rows.slice(0, count)),
    );
    box.replaceChildren(...[inner, more].filter(Boolean));
  };
  show(SHOWN);
  return box;
}

// --------------------------------------------------------------------------------------------------------- the source

/**
 * The lines of the model and of the pair of functions, and the check, for the calls that made a value.
 * @param {Subject} subject @param {Call[]} calls @returns {Node[]}
 */
function sources(subject, calls) {
  if (!calls.length) return [];
  const call = calls[calls.length - 1];
  const line = [...call.lines].reverse().find(([file]) => excerpt(subject, file, 0, true));
  const shown = computing(calls).length ? computing(calls) : calls;
  const several =
    calls.length > 1 &&
    el(
      "p",
      { class: "hint" },
      `Made by ${calls.length} calls: ${calls.map((each) => each.primitive).join(", ")}. Each is a pair of ` +
        "functions. Calls that only move, mask or scale numbers are not shown below.",
    );
  return [
    heading("In the source"),
    several,
    line &&
      code(
        subject,
        line[0],
        line[1],
        line[1],
        `The model asks for it: ${line[0]}, line ${line[1]}, in ${line[2]}`,
        true,
      ),
    ...shown.flatMap((each, i, list) => [
      each.pair.forward &&
        code(
          subject,
          each.pair.forward[0],
          each.pair.forward[1],
          each.pair.forward[2],
          `Forward of ${each.primitive}, ${each.formula}: ${each.pair.forward[0]}, line ${each.pair.forward[1]}`,
          i === list.length - 1,
        ),
      each.pair.backward &&
        code(
          subject,
          each.pair.backward[0],
          each.pair.backward[1],
          each.pair.backward[2],
          `Backward of ${each.primitive}: ${each.pair.backward[0]}, line ${each.pair.backward[1]}`,
          false,
        ),
    ]),
    heading("The derivative, checked by numbers"),
    el("ul", { class: "checks" }, ...calls.filter((each) => each.check).map((each) => checked(each))),
    !calls.some((each) => each.check) &&
      el("p", { class: "note" }, "Nothing was checked here: this step has no derivative of its own."),
  ].filter(Boolean);
}

/** @param {Call} call */
function checked(call) {
  const check = /** @type {NonNullable<Call["check"]>} */ (call.check);
  const how =
    `${call.primitive}: ${check.elements} derivatives beside central differences in float64, largest error ` +
    `${number(check.error, 2)} at a scale of ${number(check.scale, 2)}, allowed ${number(check.tolerance, 2)}`;
  return el(
    "li",
    { class: check.ok ? "ok" : "bad" },
    `${check.ok ? "agrees" : "DISAGREES"}, ${how}. `,
    check.worst && el("span", { class: "hint" }, `The farthest apart: ${check.worst}.`),
  );
}

/**
 * The excerpt in which a line stands.
 * @param {Subject} subject @param {string} file @param {number} line @param {boolean} [any]
 * @returns {[number, string[]] | undefined}
 */
function excerpt(subject, file, line, any = false) {
  const excerpts = Object.entries(subject.data.sources[file] ?? {}).map(
    ([first, text]) => /** @type {[number, string[]]} */ ([Number(first), String(text).replace(/\n$/, "").split("\n")]),
  );
  return excerpts.find(([first, lines]) => any || (first <= line && line < first + lines.length));
}

/**
 * Source with the numbers of its lines; `from` to `to` are what is shown if it is a function, and what is marked if it
 * is a line.
 * @param {Subject} subject @param {string} file @param {number} from @param {number} to @param {string} title
 * @param {boolean} isOpen
 */
function code(subject, file, from, to, title, isOpen) {
  const found = excerpt(subject, file, from);
  if (!found) return el("p", { class: "note" }, title);
  const [first, lines] = found;
  const isLine = from === to;
  const shown = lines
    .map((text, i) => ({ text, at: first + i }))
    .filter(({ at }) => isLine || (at >= from && at <= to));
  const pre = el(
    "pre",
    { tabindex: 0, "aria-label": title },
    ...shown.map(({ text, at }) =>
      el(
        "span",
        { class: isLine && at === from ? "line here" : "line" },
        el("span", { class: "line-number" }, String(at)),
        el("span", { class: "line-text" }, `${text}\n`),
      ),
    ),
  );
  const box = el("details", { class: "source", open: isOpen }, el("summary", {}, title), pre);
  const centre = () => {
    const here = pre.querySelector(".here");
    if (here && box.open) pre.scrollTop = here.offsetTop - pre.clientHeight / 2;
  };
  requestAnimationFrame(centre);
  box.addEventListener("toggle", centre);
  return box;
}
