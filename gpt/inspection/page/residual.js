/**
 * Section 3: the residual stream: what the head would say after each half of a block, and what each part adds to the
 * score of the token that came.
 */

import { el, later, number, onlyFinite, percent, table, visible } from "./dom.js";
import { legend, rangeOf } from "./colour.js";
import { marked, onFollow } from "./follow.js";
import { lens, losses } from "./forward.js";
import { HeatMap } from "./heatmap.js";
import { stream } from "./structure.js";
import { bars, topOf } from "./text.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {import("./forward.js").Value} Value */
/**
 * What the head says at one place of the stream.
 * @typedef {{title: string, name: string, loss: (number | null)[], top: (t: number) => {id: number, p: number}[]}}
 * Stage
 */

const GUTTER = 172; // pixels for the names of stages

/** Wide enough for the longest token, if that is not very long. @param {Subject} subject */
function widthOf(subject) {
  return Math.min(
    72,
    Math.max(22, 9 * Math.max(...subject.tokens.map((token) => [...visible(token.text)].length)) + 6),
  );
}

/** @param {Subject} subject @returns {Stage[]} */
function stages(subject) {
  const places = stream(subject.config);
  if (subject.isLarge) {
    return subject.data.lens.map((/** @type {any} */ each, /** @type {number} */ i) => ({
      title: places[i]?.title ?? each.name,
      name: each.name,
      loss: each.loss,
      top: (/** @type {number} */ t) =>
        each.top[t].map((/** @type {number} */ id, /** @type {number} */ j) => ({ id, p: each.p[t][j] })),
    }));
  }
  return places.map(({ name, title }) => {
    const logits = lens(subject.model, subject.value(name));
    const best = new Map();
    const top = (/** @type {number} */ t) => best.get(t) ?? (best.set(t, topOf(logits, t)), best.get(t));
    return { title, name, loss: [...losses(logits, subject.ids.slice(1)), null], top };
  });
}

/** @param {Subject} subject @param {HTMLElement} section */
export function showResidual(subject, section) {
  const all = stages(subject);
  const grid = new HeatMap({
    label:
      "Logit lens: rows are places of the residual stream, columns tokens; a cell has the most probable next token",
    rows: all.length,
    columns: subject.T,
    kind: "weight",
    range: 1,
    width: widthOf(subject),
    height: 26,
    gutter: GUTTER,
    tokens: "column",
    tallest: 460,
    at: (row, t) => (all[row].loss[t] === null ? NaN : Math.exp(-(/** @type {number} */ (all[row].loss[t])))),
    text: (row, t) => visible(subject.text(all[row].top(t)[0].id), 8),
    rowName: (row) => all[row].title,
    columnName: (t) => subject.seen(t, 8),
    describe: (row, t) => [
      `${all[row].title}, ${subject.said(t)}`,
      ...all[row].top(t).map(({ id, p }) => `${visible(subject.text(id), 10)} ${percent(p)}`),
      ...(all[row].loss[t] === null ? [] : [`came: ${subject.seen(t + 1, 10)}, loss ${number(all[row].loss[t], 3)}`]),
    ],
  });
  const steps = el("div", { class: "lens-steps" });
  const show = () => {
    const t = marked();
    const came = t + 1 < subject.T ? subject.ids[t + 1] : null;
    steps.replaceChildren(
      ...all.map((stage) =>
        el(
          "div",
          { class: "lens-step" },
          el("h4", {}, stage.title),
          bars(subject, stage.top(t).slice(0, 3), came, `Most probable after ${subject.said(t)}: ${stage.title}`),
        ),
      ),
    );
  };
  onFollow((t) => {
    grid.mark(t);
    show();
  });
  const means = all.map((stage) => [
    stage.title,
    stage.loss.length > 1
      ? number(
          onlyFinite(stage.loss).reduce((sum, x, _, list) => sum + x / list.length, 0),
          4,
        )
      : "–",
  ]);
  section.append(
    el(
      "div",
      { class: "figure-card" },
      grid.element,
      legend("weight", 1, "probability of the token that came; what is written is the most probable one"),
    ),
    el("h3", {}, "What it would say after the token that you follow"),
    steps,
    later("Mean loss at each place", () =>
      table("If the head read the stream here, in nats", ["place", "mean loss"], means),
    ),
  );
  if (!subject.isLarge && subject.config.model === "gpt" && subject.T > 1) section.append(...shares(subject));
}

/**
 * The score of the token that came, as a sum: the logit less the mean logit is linear in what the parts add to the
 * stream, once the last norm's mean and deviation are taken as they are.
 * @param {Subject} subject
 * @returns {{rows: {title: string, at: number[]}[], total: number[]}}
 */
export function attributed(subject) {
  const { config, T, ids } = subject;
  const C = config.width;
  const last = subject.value(`blocks.${config.layers - 1}.output`);
  const directions = directionsOf(subject, last);
  const product = (/** @type {(t: number, c: number) => number} */ x) =>
    Array.from({ length: T - 1 }, (_, t) => {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += x(t, c) * directions[t * C + c];
      return sum;
    });
  const start = subject.value(config.positions === "learned" ? "blocks.0.input" : "embedding.output");
  /** @type {{title: string, at: number[]}[]} */
  const rows = [{ title: "embedding", at: product((t, c) => start.array[t * C + c]) }];
  for (let layer = 0; layer < config.layers; layer++) {
    const path = `blocks.${layer}.attention`;
    const mixed = subject.value(`${path}.matmul#2`),
      W = subject.numbers(`${path}.projection.weight`),
      D = C / config.heads;
    for (let h = 0; h < config.heads; h++)
      rows.push({ title: `block ${layer}, head ${h}`, at: product(headAdds(mixed, W, h, D, C)) });
    if (subject.isParameter(`${path}.projection.bias`))
      rows.push({
        title: `block ${layer}, attention bias`,
        at: product((_, c) => subject.numbers(`${path}.projection.bias`).array[c]),
      });
    const added = subject.value(`blocks.${layer}.feed_forward.projection.output`);
    rows.push({ title: `block ${layer}, feed-forward`, at: product((t, c) => added.array[t * C + c]) });
  }
  const bias = lastBias(subject, ids);
  if (bias) rows.push({ title: "bias of the last norm", at: bias });
  return { rows, total: Array.from({ length: T - 1 }, (_, t) => rows.reduce((sum, row) => sum + row.at[t], 0)) };
}

/**
 * What head h adds to channel c of token t: its mixture of values, times its columns of the projection.
 * @param {Value} mixed @param {Value} W @param {number} h @param {number} D @param {number} C
 */
function headAdds(mixed, W, h, D, C) {
  const T = mixed.shape[1];
  return (/** @type {number} */ t, /** @type {number} */ c) => {
    let sum = 0;
    for (let i = 0; i < D; i++) sum += mixed.array[(h * T + t) * D + i] * W.array[c * C + h * D + i];
    return sum;
  };
}

/**
 * Row v of the head less the mean of all rows.
 * @param {Subject} subject @param {number} v @param {Float64Array} mean @returns {(c: number) => number}
 */
function rowOf(subject, v, mean) {
  const W = subject.model.weights.get("head.weight") ?? subject.numbers("embedding.weight");
  return (c) => W.array[v * mean.length + c] - mean[c];
}

/** The mean row of the head. @param {Subject} subject */
function meanRow(subject) {
  const W = subject.model.weights.get("head.weight") ?? subject.numbers("embedding.weight");
  const [V, C] = W.shape;
  const mean = new Float64Array(C);
  for (let v = 0; v < V; v++) for (let c = 0; c < C; c++) mean[c] += W.array[v * C + c] / V;
  return mean;
}

/**
 * For each token the vector whose product with a part of the stream is that part's share of the score:
 * d = w (W[v] − mean W) / σ, less its mean where the norm takes the mean away, as (x − mean x) · d = x · (d − mean d).
 * @param {Subject} subject @param {Value} last the stream at the end
 */
function directionsOf(subject, last) {
  const { config, T, ids } = subject;
  const C = config.width,
    mean = meanRow(subject),
    isCentred = config.norm === "layer";
  const w = subject.model.weights.get("norm.weight");
  const directions = new Float64Array(T * C);
  for (let t = 0; t + 1 < T; t++) {
    const row = rowOf(subject, ids[t + 1], mean),
      x = last.array.subarray(t * C, (t + 1) * C);
    let middle = 0;
    if (isCentred) for (let c = 0; c < C; c++) middle += x[c] / C;
    let square = 0;
    for (let c = 0; c < C; c++) square += (x[c] - middle) ** 2 / C;
    const inverse = 1 / Math.sqrt(square + config.norm_eps);
    let all = 0;
    for (let c = 0; c < C; c++) all += directions[t * C + c] = (w ? w.array[c] : 1) * row(c) * inverse;
    if (isCentred) for (let c = 0; c < C; c++) directions[t * C + c] -= all / C;
  }
  return directions;
}

/**
 * What the bias of the last norm adds to the score of each token that came; null without one.
 * @param {Subject} subject @param {number[]} ids
 */
function lastBias(subject, ids) {
  const bias = subject.model.weights.get("norm.bias"),
    mean = meanRow(subject);
  if (!bias) return null;
  return ids.slice(1).map((id) => {
    const row = rowOf(subject, id, mean);
    return Float64Array.from(bias.array).reduce((sum, b, c) => sum + b * row(c), 0);
  });
}

/** @param {Subject} subject @returns {Node[]} */
function shares(subject) {
  const { rows, total } = attributed(subject);
  const range = rangeOf(rows.flatMap((row) => row.at));
  const grid = new HeatMap({
    label: "What each part adds to the score of the token that came: rows are parts, columns tokens",
    rows: rows.length,
    columns: subject.T - 1,
    kind: "signed",
    range,
    width: widthOf(subject),
    height: 16,
    gutter: GUTTER,
    tokens: "column",
    tallest: 420,
    at: (row, t) => rows[row].at[t],
    rowName: (row) => rows[row].title,
    columnName: (t) => subject.seen(t, 8),
    describe: (row, t) => [
      `${rows[row].title}: ${number(rows[row].at[t], 3)}`,
      `to the score of ${subject.seen(t + 1, 8)} after ${subject.seen(t, 8)}`,
      `all parts: ${number(total[t], 3)}`,
    ],
  });
  onFollow((t) => grid.mark(t < subject.T - 1 ? t : null));
  return [
    el("h3", {}, "Which part spoke for the token that came"),
    el(
      "p",
      {},
      "The score of the token that came is its logit minus the mean of all logits. The embedding, each head and each " +
        "feed-forward part add a vector to the stream; the last norm divides the sum by its deviation, and the head " +
        "reads it. With that deviation held fixed, each part adds one number to the score. Blue parts raise it, " +
        "orange parts lower it. The numbers of a column add up to the score.",
    ),
    el("div", { class: "figure-card" }, grid.element, legend("signed", range, "added to the logit")),
  ];
}
