/** Section 5: the gradient on its way back: through the blocks, into every parameter, and to every token. */

import { el, later, number, table, tokenMark, whole } from "./dom.js";
import { legend, rangeOf } from "./colour.js";
import { marked, onFollow } from "./follow.js";
import { fitted, HeatMap } from "./heatmap.js";
import { Strip } from "./strip.js";
import { stream } from "./structure.js";
import { fillWhenOpen } from "./values.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {import("./subject.js").Cell} Cell */

/** @param {Subject} subject @param {HTMLElement} section @param {(cell: Cell) => void} open */
export function showBackward(subject, section, open) {
  section.append(...throughBlocks(subject), ...intoParameters(subject, open));
  if (subject.content.has("saliency") && subject.T > 1) section.append(...toTokens(subject));
}

/** The norm of the gradient at every place of the stream, the loss first. @param {Subject} subject @returns {Node[]} */
function throughBlocks(subject) {
  const titles = new Map(
    /** @type {[string, string][]} */ ([
      ...stream(subject.config).map(({ name, title }) => [name, title]),
      ["norm.output", "after the last norm"],
      ["head.output", "logits"],
    ]),
  );
  const title = (/** @type {string} */ name) =>
    titles.get(name) ??
    titles.get(
      [subject.called.get(name)?.name, ...(subject.called.get(name)?.same ?? [])].find((other) => titles.has(other)) ??
        "",
    ) ??
    name;
  const rows = [...subject.data.flow.blocks].reverse();
  const most = Math.max(...rows.map((/** @type {any} */ row) => row.gradient)) || 1;
  const list = el(
    "ol",
    { class: "bars flow", "aria-label": "Norm of the gradient, from the logits back to the embedding" },
    ...rows.map((/** @type {any} */ row) =>
      el(
        "li",
        {},
        el("span", { class: "bar-name" }, title(row.name)),
        el(
          "span",
          { class: "bar", "aria-hidden": "true" },
          el("span", { style: { width: `${(100 * row.gradient) / most}%` } }),
        ),
        el("span", { class: "figure" }, number(row.gradient, 3)),
      ),
    ),
  );
  const range = rangeOf(rows.flatMap((/** @type {any} */ row) => row.gradients));
  const grid = new HeatMap({
    label: "Norm of the gradient of each token's vector: rows are places, columns tokens",
    rows: rows.length,
    columns: subject.T,
    kind: "weight",
    range,
    width: fitted(subject.T, 700, 4, 22),
    height: 18,
    gutter: 172,
    tokens: "column",
    at: (row, t) => rows[row].gradients[t],
    rowName: (row) => title(rows[row].name),
    columnName: (t) => subject.seen(t, 2),
    describe: (row, t) => [
      `${title(rows[row].name)}, ${subject.said(t)}`,
      `norm of its gradient ${number(rows[row].gradients[t], 3)}`,
      `norm of its vector ${number(rows[row].values[t], 3)}`,
    ],
  });
  onFollow((t) => grid.mark(t));
  return [
    el("h3", {}, "Back through the blocks"),
    el(
      "p",
      {},
      "The backward pass begins at the loss and goes down the list. At each place: the norm ‖∂loss/∂x‖ of the " +
        "gradient of all numbers there. Through every residual connection it passes unchanged, and each block adds " +
        "what its own parts ask for.",
    ),
    list,
    el(
      "p",
      {},
      "The same for every token: where in the text the loss would change most if the vector at that place moved.",
    ),
    el(
      "div",
      { class: "figure-card" },
      grid.element,
      legend("weight", range, "norm of the gradient of a token's vector"),
    ),
  ];
}

/** @param {Subject} subject @param {(cell: Cell) => void} open @returns {Node[]} */
function intoParameters(subject, open) {
  const rows = subject.data.flow.parameters;
  const sizes = rows.map((/** @type {any} */ row) => row.norm).filter((/** @type {number} */ x) => x > 0);
  const low = Math.log(Math.min(...sizes) / 1.5),
    high = Math.log(Math.max(...sizes));
  const width = (/** @type {number} */ x) => (x > 0 ? (100 * (Math.log(x) - low)) / (high - low || 1) : 0);
  const bar = (/** @type {number} */ x) =>
    el("span", { class: "bar inline", "aria-hidden": "true" }, el("span", { style: { width: `${width(x)}%` } }));
  const body = rows.map((/** @type {any} */ row) => [
    el("code", {}, row.name),
    row.shape.map(whole).join(" × "),
    el("span", { class: "with-bar" }, bar(row.norm), number(row.norm, 3)),
    number(row.weight, 3),
    number(row.ratio ?? (row.weight ? row.norm / row.weight : null), 3),
  ]);
  const box = el(
    "details",
    { class: "group" },
    el(
      "summary",
      {},
      el("h3", {}, "The parameters, number by number"),
      el("span", { class: "count" }, "open one of their cells to see why its gradient is what it is"),
    ),
  );
  if (!subject.isLarge)
    fillWhenOpen(box, () =>
      box.append(...[...subject.model.weights.keys()].map((name) => parameter(subject, name, open))),
    );
  return [
    el("h3", {}, "Into the parameters"),
    el(
      "p",
      {},
      "What a step of training would follow: the norm of each parameter's gradient for this text, its own norm, " +
        "and the ratio of both. The bars are logarithmic.",
    ),
    el(
      "div",
      { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Gradients of the parameters" },
      table(
        "Gradients of the parameters",
        ["parameter", "shape", "norm of the gradient", "norm of the weights", "ratio"],
        body,
        { class: "numbers" },
      ),
    ),
    ...(subject.isLarge ? [] : [box]),
  ];
}

/** @param {Subject} subject @param {string} name @param {(cell: Cell) => void} open */
function parameter(subject, name, open) {
  const { shape, array } = subject.numbers(name);
  const [rows, columns] = shape.length === 2 ? shape : [1, shape[0]];
  const range = rangeOf(array);
  const index = (/** @type {number} */ i, /** @type {number} */ j) => (shape.length === 2 ? [i, j] : [j]);
  const grid = new HeatMap({
    label: `Values of ${name}`,
    rows,
    columns,
    kind: "signed",
    range,
    at: (i, j) => array[i * columns + j],
    width: fitted(columns, 780, 2, 12),
    height: rows === 1 ? 16 : fitted(rows, 220, 2, 12),
    tallest: 300,
    describe: (i, j) => [subject.label({ name, index: index(i, j) }), number(array[i * columns + j])],
    open: (i, j) => open({ name, index: index(i, j) }),
  });
  return el(
    "figure",
    { class: "picture wide" },
    el("figcaption", {}, el("code", {}, name), ` ${shape.join(" × ")}`),
    grid.element,
    legend("signed", range, "weight"),
  );
}

/** |d loss_t / d embedding_s|: which tokens each prediction depends on. @param {Subject} subject @returns {Node[]} */
function toTokens(subject) {
  const { T } = subject;
  const saliency = /** @type {import("./forward.js").Value} */ (subject.content.array("saliency")).array;
  const range = rangeOf(saliency);
  const at = (/** @type {number} */ t, /** @type {number} */ s) => (s > t ? NaN : saliency[t * T + s]);
  const strip = new Strip(
    subject.tokens,
    "The text; colours show how much the loss after the followed token depends on each",
    (s) => [subject.said(s), s > marked() ? "later: no effect" : `gradient ${number(at(marked(), s), 3)}`],
  );
  const says = el("p", { class: "after-line" });
  const size = fitted(T, 420, 2, 20);
  const grid = new HeatMap({
    label: "Saliency: how much the loss of each prediction depends on each token. Rows are predictions, columns tokens",
    rows: T - 1,
    columns: T - 1,
    kind: "weight",
    range,
    width: size,
    height: size,
    gutter: size >= 9 ? 22 : 0,
    tokens: "row",
    tallest: 460,
    at,
    rowName: (t) => subject.seen(t, 2),
    columnName: size >= 9 ? (s) => subject.seen(s, 2) : undefined,
    describe: (t, s) => [
      `prediction after ${subject.seen(t, 8)} (${t}): ${subject.seen(t + 1, 8)}`,
      s > t ? `${subject.seen(s, 8)} (${s}) comes later` : `by ${subject.seen(s, 8)} (${s}): ${number(at(t, s), 3)}`,
    ],
  });
  onFollow((t, kept) => {
    grid.mark(t);
    const isLast = t >= T - 1;
    says.replaceChildren(
      ...(isLast
        ? ["Nothing follows the last token, so it has no loss."]
        : ["What the prediction of ", tokenMark(subject.tokens[t + 1].text), ` after token ${t} depends on:`]),
    );
    strip.colour(
      {
        at: (s) => (isLast ? NaN : at(t, s)),
        kind: "weight",
        range: Math.max(...Array.from({ length: t + 1 }, (_, s) => at(t, s) || 0), 1e-30),
      },
      kept,
    );
  });
  return [
    el("h3", {}, "Back to the tokens: saliency"),
    el(
      "p",
      {},
      "The length of the gradient of one prediction's loss by the vector of each token before it, " +
        "‖∂lossₜ/∂embeddingₛ‖: the longer, the more would a small change of that token's vector change the " +
        "prediction.",
    ),
    el("div", { class: "figure-card" }, says, strip.element),
    el("div", { class: "figure-card" }, grid.element, legend("weight", range, "norm of the gradient")),
    later("Saliency as a table", () =>
      table(
        "What each prediction depends on most",
        ["prediction after", "of", "depends most on"],
        subject.tokens
          .slice(0, -1)
          .map((_, t) => [
            `${subject.seen(t, 8)} (${t})`,
            tokenMark(subject.tokens[t + 1].text),
            strongest(subject, t, at),
          ]),
      ),
    ),
  ];
}

/**
 * The three tokens with the largest saliency.
 * @param {Subject} subject @param {number} t @param {(t: number, s: number) => number} at
 */
function strongest(subject, t, at) {
  const order = Array.from({ length: t + 1 }, (_, s) => s)
    .sort((a, b) => at(t, b) - at(t, a))
    .slice(0, 3);
  return order.map((s) => `${subject.seen(s, 6)} (${s}) ${number(at(t, s), 2)}`).join(", ");
}
