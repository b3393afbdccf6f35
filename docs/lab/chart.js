/** The curves of a training: thin the loss of each batch, thick its average; dots on text that is held out. */

import { el, number, svg } from "./dom.js";

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
  const all = curves.flatMap((curve) => [...curve.points, ...curve.held]).map((point) => point.loss);
  const finite = /** @type {number[]} */ (all.filter((loss) => typeof loss === "number"));
  const high = Math.min(Math.max(...baselines.map((each) => each.loss), ...finite) * 1.03, baselines[0].loss * 2.2);
  const low = Math.max(0, Math.min(...finite, ...baselines.map((each) => each.loss)) - 0.15);
  const x = (/** @type {number} */ step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(1, steps);
  const y = (/** @type {number} */ loss) =>
    TOP + (HEIGHT - TOP - BOTTOM) * (1 - (Math.min(Math.max(loss, low), high) - low) / (high - low));
  const line = (/** @type {Point[]} */ points) =>
    points
      .map(({ step, loss }, i) =>
        typeof loss === "number"
          ? `${i && typeof points[i - 1].loss === "number" ? "L" : "M"}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`
          : "",
      )
      .join("");
  const drawing = svg("svg", {
    class: "chart",
    width,
    height: HEIGHT,
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "img",
    "aria-label": said(curves),
  });
  for (const loss of ticks(low, high, 5))
    drawing.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }),
      svg("text", { x: LEFT - 7, y: y(loss) + 4, "text-anchor": "end" }, String(+loss.toFixed(2))),
    );
  for (const step of ticks(0, steps, width < 420 ? 3 : 5))
    drawing.append(svg("text", { x: x(step), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, String(step)));
  drawing.append(svg("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 2, "text-anchor": "middle" }, "step"));
  for (const { name, loss } of baselines)
    if (loss <= high)
      drawing.append(
        svg("line", { class: "baseline", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }),
        svg("text", { x: width - RIGHT + 6, y: y(loss) + 4 }, name),
      );
  /** @type {{at: number, text: any}[]} */
  const ends = [];
  for (const { name, kind, points, held } of curves) {
    const average = smooth(points);
    drawing.append(
      svg("path", { class: `raw ${kind}`, d: line(points) }),
      svg("path", { class: `smooth ${kind}`, d: line(average) }),
    );
    for (const { step, loss } of held)
      if (typeof loss === "number") drawing.append(svg("circle", { class: kind, cx: x(step), cy: y(loss), r: 4 }));
    const last = average.at(-1);
    if (last && typeof last.loss === "number" && curves.length > 1)
      ends.push({ at: y(last.loss), text: svg("text", { class: kind, x: x(last.step) + 8 }, name) });
  }
  ends.sort((a, b) => a.at - b.at);
  if (ends.length === 2 && ends[1].at - ends[0].at < 15) {
    const middle = (ends[0].at + ends[1].at) / 2;
    [ends[0].at, ends[1].at] = [middle - 7.5, middle + 7.5];
  }
  for (const { at, text } of ends) {
    text.setAttribute("y", String(at + 4));
    drawing.append(text);
  }
  return drawing;
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
  const cell = (/** @type {Point[]} */ points, /** @type {number} */ step) => {
    const loss = points.find((point) => point.step === step)?.loss;
    return typeof loss === "number" ? number(loss) : (loss ?? "");
  };
  return el(
    "table",
    {},
    el("caption", {}, "Loss of the batch, in nats"),
    el(
      "thead",
      {},
      el("tr", {}, el("th", { scope: "col" }, "step"), ...curves.map((c) => el("th", { scope: "col" }, c.name))),
    ),
    el(
      "tbody",
      {},
      ...some.map((step) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, String(step)),
          ...curves.map((c) => el("td", {}, cell(c.points, step))),
        ),
      ),
    ),
  );
}
