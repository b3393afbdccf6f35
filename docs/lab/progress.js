/** A training as it is seen: its figures, the curves of the loss, and what the models write on the way. */

import { chart, numbers, smooth } from "./chart.js";
import { el, later, number, refill, whole } from "./dom.js";

/** @typedef {{points: import("./chart.js").Point[], held: import("./chart.js").Point[]}} Side */

export class Progress {
  constructor() {
    /** @type {Record<string, Side>} by engine: the loss of each batch, and on held-out text */
    this.sides = {};
    /** @type {{name: string, loss: number}[]} */
    this.baselines = [];
    this.total = 300; // steps of the training
    this.drawing = el("div", { id: "chart" });
    this.figures = el("dl", { class: "figures", id: "figures" });
    this.samples = el("ol", { class: "samples", id: "samples", "aria-label": "What the model writes" });
    this.table = later("The losses as numbers", () => numbers(this.curves()));
  }

  get isEmpty() {
    return Object.keys(this.sides).length === 0;
  }

  /** @param {string[]} sides the engines that train; none: nothing is shown */
  begin(sides) {
    this.sides = Object.fromEntries(sides.map((side) => [side, { points: [], held: [] }]));
    this.samples.replaceChildren();
    if (!this.isEmpty) return;
    this.drawing.replaceChildren();
    this.figures.replaceChildren();
  }

  /** The losses of steps. @param {{step: number, losses: Record<string, number | string>}[]} rows */
  add(rows) {
    for (const { step, losses } of rows)
      for (const [side, loss] of Object.entries(losses)) this.sides[side].points.push({ step, loss });
  }

  /** Whether the samples of this step are there. @param {number} step */
  hasSamples(step) {
    return this.samples.firstElementChild?.dataset.step === String(step);
  }

  /**
   * What the models write after a step, and their loss on held-out text.
   * @param {number} step @param {Record<string, {text: string | null, loss: number | string}>} found by engine
   */
  addSamples(step, found) {
    const item = el("li", { "data-step": step }, el("span", { class: "at" }, `step ${step}`));
    const isCompared = Object.keys(this.sides).length > 1;
    for (const [side, { text, loss }] of Object.entries(found)) {
      if (text === null) continue;
      this.sides[side].held.push({ step, loss });
      const who = isCompared && el("span", { class: "who" }, `${side} engine`);
      item.append(el("div", { class: side }, who, el("q", {}, text.replace(/\n/g, "↵"))));
    }
    this.samples.prepend(item);
  }

  /** @returns {import("./chart.js").Curve[]} */
  curves() {
    return Object.entries(this.sides).map(([side, { points, held }]) => ({
      name: side,
      kind: /** @type {"edited" | "original"} */ (side),
      points,
      held,
    }));
  }

  /** Draw the curves, and the figures if Python still has the model. @param {any} facts @param {number} speed */
  draw(facts, speed) {
    if (this.isEmpty) return;
    if (facts) {
      this.showFigures(facts, speed);
      this.total = facts.steps;
      this.baselines = [
        { name: "guessing", loss: facts.uniform },
        { name: "frequencies", loss: facts.unigram },
      ];
    }
    const curves = this.curves();
    const width = Math.max(280, Math.min(this.drawing.clientWidth || 560, 680));
    this.drawing.replaceChildren(chart(curves, this.total, this.baselines, width), legend(curves));
    refill(this.table);
  }

  /** @param {any} facts @param {number} speed milliseconds of a step */
  showFigures(facts, speed) {
    const isCompared = facts.sides.length > 1;
    const rows = [
      ["step", `${whole(facts.step)} of ${whole(facts.steps)}`],
      ...facts.sides.map((/** @type {string} */ side) => [isCompared ? `loss, ${side}` : "loss", this.last(side)]),
      ["a step takes", speed ? `${speed.toFixed(0)} ms` : "–"],
      ["characters", `${whole(facts.characters)}, ${facts.different} different`],
      ["parameters", whole(facts.parameters)],
    ];
    const figure = ([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
    this.figures.replaceChildren(...rows.map(figure));
  }

  /** The last loss of an engine in words: the average, since that of one batch jumps. @param {string} side */
  last(side) {
    const loss = smooth(this.sides[side].points).at(-1)?.loss;
    if (loss === undefined) return "–";
    if (typeof loss === "number") return number(loss, 4);
    return loss === "nan" ? "not a number" : "∞";
  }
}

/** @param {import("./chart.js").Curve[]} curves */
function legend(curves) {
  const swatch = (/** @type {string} */ kind) => el("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  return el(
    "ul",
    { class: "legend" },
    ...curves.map(({ name, kind }) => el("li", {}, swatch(kind), `${name} engine`)),
    el("li", {}, "thin: each batch; thick: average; dots: text that training never sees"),
  );
}
