/** The curves of a training: thin the loss of each batch, thick its average; dots on text that is held out. */

import { number, svg, table } from "./dom.js";

/**
 * @typedef {{step: number, loss: number | string}} Point a word in place of a number that is not finite
 * @typedef {{name: string, kind: "edited" | "original", points: Point[], held: Point[]}} Curve
 */

const HEIGHT = 270,
  LEFT = 34,
  RIGHT = 74,
  TOP = 12,
  BOTTOM = 34;

/** Averages that forget: over more and more batches, about 20 at most. @param {Point[]} points @returns {Point[]} */
export function smooth(points) {
  let average = NaN;
  return points.map(({ step, loss }, i) => {
    if (typeof loss !== "number") return { step, loss };
    const share = 2 / (1 + Math.min(20, 1 + i / 5));
    average = Number.isNaN(average) ? loss : average + share * (loss - average);
    return { step, loss: average };
  });
}

/** Round numbers from low to high, about `count` of them. @param {number} low @param {number} high */
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) || 0; at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

/**
 * @param {Curve[]} curves @param {number} steps of the whole training @param {{name: string, loss: number}[]} baselines
 * @param {number} width in pixels
 */
export function chart(curves, steps, baselines, width) {
  const scale = scaleOf(curves, steps, baselines, width);
  const drawing = svg("svg", {
    class: "chart",
    width,
    height: HEIGHT,
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "img",
    "aria-label": said(curves),
  });
  drawing.append(
    ...axes(scale),
    ...baselines.filter(({ loss }) => loss <= scale.high).flatMap((each) => baseline(each, scale)),
    ...curves.flatMap((curve) => drawn(curve, scale)),
    ...names(curves, scale),
  );
  return drawing;
}

/** @typedef {ReturnType<typeof scaleOf>} Scale */

/**
 * From steps and losses to pixels, x and y. A loss far above that of guessing is drawn at the upper edge.
 * @param {Curve[]} curves @param {number} steps @param {{loss: number}[]} baselines @param {number} width
 */
export function scaleOf(curves, steps, baselines, width) {
  const all = curves.flatMap((curve) => [...curve.points, ...curve.held]).map((point) => point.loss);
  const finite = /** @type {number[]} */ (all.filter((loss) => typeof loss === "number"));
  const known = [...baselines.map((each) => each.loss), ...finite];
  const low = Math.max(0, Math.min(...known) - 0.15);
  // A text of one letter has no loss at all.
  const high = Math.max(Math.min(Math.max(...known) * 1.03, baselines[0].loss * 2.2), low + 0.1);
  const x = (/** @type {number} */ step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(1, steps);
  const y = (/** @type {number} */ loss) =>
    TOP + (HEIGHT - TOP - BOTTOM) * (1 - (Math.min(Math.max(loss, low), high) - low) / (high - low));
  return { low, high, steps, width, x, y };
}

/** @param {Scale} scale */
function axes({ low, high, steps, width, x, y }) {
  const losses = ticks(low, high, 5).flatMap((loss) => [
    svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }),
    svg("text", { x: LEFT - 7, y: y(loss) + 4, "text-anchor": "end" }, String(+loss.toFixed(2))),
  ]);
  const below = (/** @type {number} */ at, /** @type {number} */ up, /** @type {string} */ text) =>
    svg("text", { x: at, y: HEIGHT - up, "text-anchor": "middle" }, text);
  const numbers = ticks(0, steps, width < 420 ? 3 : 5).map((step) => below(x(step), BOTTOM - 17, String(step)));
  return [...losses, ...numbers, below((LEFT + width - RIGHT) / 2, 2, "step")];
}

/** The loss of a model that knows little. @param {{name: string, loss: number}} of @param {Scale} scale */
function baseline({ name, loss }, { width, y }) {
  return [
    svg("line", { class: "baseline", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }),
    svg("text", { x: width - RIGHT + 6, y: y(loss) + 4 }, name),
  ];
}

/** A curve, its average, its dots. @param {Curve} curve @param {Scale} scale */
function drawn({ kind, points, held }, scale) {
  const dots = held.filter(({ loss }) => typeof loss === "number");
  return [
    svg("path", { class: `raw ${kind}`, d: line(points, scale) }),
    svg("path", { class: `smooth ${kind}`, d: line(smooth(points), scale) }),
    ...dots.map(({ step, loss }) => svg("circle", { class: kind, cx: scale.x(step), cy: scale.y(Number(loss)), r: 4 })),
  ];
}

/** The path of a curve; a loss that is not finite leaves a gap. @param {Point[]} points @param {Scale} scale */
function line(points, { x, y }) {
  return points
    .map(({ step, loss }, i) => {
      if (typeof loss !== "number") return "";
      const isJoined = i > 0 && typeof points[i - 1].loss === "number";
      return `${isJoined ? "L" : "M"}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`;
    })
    .join("");
}

/** The names of two curves at their ends, one above the other. @param {Curve[]} curves @param {Scale} scale */
function names(curves, { x, y }) {
  if (curves.length < 2) return [];
  const ends = curves.flatMap(({ name, kind, points }) => {
    const last = smooth(points).at(-1);
    if (!last || typeof last.loss !== "number") return [];
    return [{ name, kind, x: x(last.step) + 8, y: y(last.loss) }];
  });
  ends.sort((a, b) => a.y - b.y);
  if (ends.length === 2 && ends[1].y - ends[0].y < 15) {
    const middle = (ends[0].y + ends[1].y) / 2;
    [ends[0].y, ends[1].y] = [middle - 7.5, middle + 7.5];
  }
  return ends.map((end) => svg("text", { class: end.kind, x: end.x, y: end.y + 4 }, end.name));
}

/** The chart in words. @param {Curve[]} curves */
function said(curves) {
  return curves
    .map(({ name, points }) => {
      const last = points.at(-1);
      if (!last) return `${name}: no step yet`;
      const loss = typeof last.loss === "number" ? number(last.loss, 3) : last.loss;
      const first = number(Number(points[0].loss), 3);
      return `Loss of the ${name} engine: ${first} at step ${points[0].step}, ${loss} at step ${last.step}`;
    })
    .join(". ");
}

/** The same as numbers, of at most 30 steps. @param {Curve[]} curves */
export function numbers(curves) {
  const steps = [...new Set(curves.flatMap((curve) => curve.points.map((point) => point.step)))].sort((a, b) => a - b);
  const every = Math.ceil(steps.length / 30);
  const some = steps.filter((_, i) => i % every === 0 || i === steps.length - 1);
  const head = ["step", ...curves.map(({ name }) => name)];
  const body = some.map((step) => [String(step), ...curves.map(({ points }) => lossAt(points, step))]);
  return table("Loss of the batch, in nats", head, body);
}

/** @param {Point[]} points @param {number} step */
function lossAt(points, step) {
  const loss = points.find((point) => point.step === step)?.loss;
  return typeof loss === "number" ? number(loss) : (loss ?? "");
}
