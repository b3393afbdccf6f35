/** Section 4: every value of the pass in order, as colours, beside its gradient. A cell opens the panel. */

import { clamp, el, number } from "./dom.js";
import { legend, rangeOf } from "./colour.js";
import { onFollow } from "./follow.js";
import { fitted, HeatMap } from "./heatmap.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {import("./subject.js").Cell} Cell */
/** @typedef {import("./structure.js").Step} Step */

/** @param {Subject} subject @param {HTMLElement} section @param {(cell: Cell) => void} open */
export function showValues(subject, section, open) {
  const groups = new Map();
  for (const step of subject.steps) groups.set(step.group, [...(groups.get(step.group) ?? []), step]);
  for (const [group, steps] of groups) {
    const box = el(
      "details",
      { class: "group", open: groups.size <= 4 || group === "Embedding" || group === "Block 0, attention" },
      el(
        "summary",
        {},
        el("h3", {}, group),
        el("span", { class: "count" }, `${steps.length} ${steps.length === 1 ? "value" : "values"}`),
      ),
    );
    section.append(box);
    fillWhenOpen(box, () => box.append(...steps.map((/** @type {Step} */ step) => card(subject, step, open))));
  }
}

/**
 * Make what is in a details element when it is open for the first time.
 * @param {HTMLDetailsElement} box @param {() => void} fill
 */
export function fillWhenOpen(box, fill) {
  let isFilled = false;
  const look = () => {
    if (!box.open || isFilled) return;
    isFilled = true;
    fill();
  };
  look();
  box.addEventListener("toggle", look);
}

/** @param {Subject} subject @param {Step} step @param {(cell: Cell) => void} open */
function card(subject, step, open) {
  const value = subject.value(step.name),
    gradient = subject.gradient(step.name);
  return el(
    "article",
    { class: "step" },
    el(
      "header",
      {},
      el("h4", {}, step.title),
      el(
        "p",
        { class: "step-name" },
        el("code", {}, step.name),
        ` ${shapeOf(subject, step.name)}`,
        el("span", { class: "step-formula" }, subject.formula(step.name)),
      ),
      el("p", {}, step.says),
    ),
    el(
      "div",
      { class: "pair" },
      picture(subject, step.name, value, "value", open),
      gradient
        ? picture(subject, step.name, gradient, "gradient", open)
        : el("p", { class: "note" }, "No gradient was kept for this value."),
    ),
  );
}

/** (64 tokens, 128 channels). @param {Subject} subject @param {string} name */
function shapeOf(subject, name) {
  if (name === "output.1") return "(one number)";
  const axes = subject.axes(name);
  const names = {
    token: "tokens",
    source: "tokens looked at",
    head: "heads",
    channel: "channels",
    vocabulary: "vocabulary",
  };
  return `(${subject
    .numbers(name)
    .shape.map((n, i) => `${n} ${names[/** @type {keyof names} */ (axes[i])] ?? axes[i]}`)
    .join(", ")})`;
}

/**
 * A value or a gradient: rows are tokens; columns are channels, heads beside each other.
 * @param {Subject} subject @param {string} name @param {import("./forward.js").Value} numbers @param {string} what
 * @param {(cell: Cell) => void} open
 */
function picture(subject, name, numbers, what, open) {
  const { shape, array } = numbers;
  const T = shape[shape.length - 2],
    n = shape[shape.length - 1],
    heads = shape.length === 3 ? shape[0] : 1;
  const index = (/** @type {number} */ t, /** @type {number} */ j) =>
    heads === 1 && shape.length === 2 ? [t, j] : [Math.floor(j / n), t, j % n];
  const isWeight = what === "value" && /\.weights$/.test(name);
  const at = (/** @type {number} */ t, /** @type {number} */ j) =>
    isWeight && j % n > t ? NaN : array[(Math.floor(j / n) * T + t) * n + (j % n)]; // the future is blank everywhere
  const range = isWeight ? 1 : rangeOf(array);
  const grid = new HeatMap({
    label: `${what === "value" ? "Values" : "Gradients"} of ${name}: rows are tokens`,
    rows: T,
    columns: heads * n,
    kind: isWeight ? "weight" : "signed",
    range,
    at,
    width: fitted(heads * n, 400, 2, 16),
    height: clamp(Math.floor(230 / T), 3, 13),
    gutter: T <= 28 && T === subject.T ? 26 : 0,
    rowName: (t) => subject.seen(t, 2),
    groups: heads > 1 ? n : undefined,
    tokens: T === subject.T ? "row" : undefined,
    tallest: 330,
    describe: (t, j) => {
      const cell = { name, index: index(t, j) };
      return [subject.label(cell), `value ${number(subject.at(cell))}`, `gradient ${number(subject.gradientAt(cell))}`];
    },
    open: (t, j) => open({ name, index: index(t, j) }),
  });
  onFollow((t) => grid.mark(t));
  return el(
    "figure",
    { class: "picture" },
    el("figcaption", {}, what),
    grid.element,
    legend(isWeight ? "weight" : "signed", range, `root mean square ${number(rms(array), 3)}`),
  );
}

/** @param {ArrayLike<number>} array √(Σ x² / n) of the finite numbers */
function rms(array) {
  let sum = 0,
    count = 0;
  for (let i = 0; i < array.length; i++) {
    if (!Number.isFinite(array[i])) continue;
    sum += array[i] ** 2;
    count++;
  }
  return Math.sqrt(sum / Math.max(count, 1));
}
