/** Section 1: the text, how well the model expected each token, and what it expected in its place. */

import { el, largest, later, number, onlyFinite, percent, svg, table, tokenMark, visible } from "./dom.js";
import { legend } from "./colour.js";
import { follow, glance, marked, onFollow, tip } from "./follow.js";
import { softmax } from "./forward.js";
import { Strip } from "./strip.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {{id: number, p: number}} Guess */

/** @param {number[]} numbers */
export const mean = (numbers) => numbers.reduce((sum, x) => sum + x / numbers.length, 0);

/** The most probable tokens after token t. @param {Subject} subject @param {number} t @returns {Guess[]} */
export function guesses(subject, t) {
  if (subject.isLarge) {
    const last = subject.data.lens[subject.data.lens.length - 1];
    return last.top[t].map((/** @type {number} */ id, /** @type {number} */ i) => ({ id, p: last.p[t][i] }));
  }
  return topOf(/** @type {any} */ (subject.logits), t);
}

/**
 * The most probable tokens of a row of logits.
 * @param {import("./forward.js").Value} logits @param {number} t @returns {Guess[]}
 */
export function topOf(logits, t) {
  const V = logits.shape[1];
  const { array } = softmax({ shape: [V], array: logits.array.slice(t * V, (t + 1) * V) });
  return largest(array, 5).map((id) => ({ id, p: array[id] }));
}

/**
 * Guesses as bars; the one that came is marked.
 * @param {Subject} subject @param {Guess[]} list @param {number | null} came @param {string} caption
 */
export function bars(subject, list, came, caption) {
  return el(
    "ol",
    { class: "bars", "aria-label": caption },
    ...list.map(({ id, p }) =>
      el(
        "li",
        { class: id === came ? "came" : "" },
        tokenMark(subject.text(id), 14),
        el("span", { class: "bar", "aria-hidden": "true" }, el("span", { style: { width: `${100 * p}%` } })),
        el("span", { class: "figure" }, percent(p)),
        id === came && el("span", { class: "came-sign" }, "came"),
      ),
    ),
  );
}

/** @param {Subject} subject @param {HTMLElement} section */
export function showText(subject, section) {
  const { loss, baselines } = subject.data;
  const top = Math.max(4, ...onlyFinite(loss));
  const describe = (/** @type {number} */ t) => [
    subject.said(t),
    t === 0
      ? "the first: nothing predicts it"
      : `loss ${number(loss[t - 1], 3)} nats, expected with ${percent(Math.exp(-loss[t - 1]))}`,
  ];
  const strip = new Strip(subject.tokens, "The text; colours show how little each token was expected", describe);
  strip.colour({ at: (t) => (t === 0 ? NaN : loss[t - 1]), kind: "weight", range: top });
  const after = el("div", { class: "after" });
  onFollow((t) => after.replaceChildren(...expected(subject, t)));
  section.append(
    el(
      "div",
      { class: "figure-card" },
      strip.element,
      legend("weight", top, "nats of loss: the stronger the colour, the less was the token expected"),
    ),
    after,
    ...compared(subject, loss, baselines),
  );
}

/** What the model expected after a token, and what came. @param {Subject} subject @param {number} t */
function expected(subject, t) {
  const next = t + 1 < subject.T ? subject.ids[t + 1] : null;
  const loss = subject.data.loss[t];
  const line = el(
    "p",
    { class: "after-line" },
    "After ",
    el("span", { class: "context" }, ...around(subject, t)),
    next === null
      ? " the text ends. The model expects:"
      : el(
          "span",
          {},
          " came ",
          tokenMark(subject.text(next)),
          `: probability ${percent(Math.exp(-loss))}, loss −ln p = ${number(loss, 3)} nats. The model expected:`,
        ),
  );
  return [line, bars(subject, guesses(subject, t), next, `The five most probable tokens after ${subject.said(t)}`)];
}

/** The last tokens up to t, as text. @param {Subject} subject @param {number} t */
function around(subject, t) {
  const first = Math.max(0, t - 11);
  const marks = subject.tokens.slice(first, t + 1).map((token) => el("bdi", {}, visible(token.text, 10)));
  return [first > 0 ? "…" : "", ...marks];
}

/**
 * The loss of each token beside models that only count.
 * @param {Subject} subject @param {(number | null)[]} loss @param {Record<string, (number | null)[]> | null} baselines
 * @returns {Node[]}
 */
function compared(subject, loss, baselines) {
  const known = onlyFinite(loss);
  if (!known.length)
    return [el("p", { class: "note" }, "One token predicts nothing that is known, so there is no loss.")];
  const models = Object.entries(baselines ?? {});
  const all = [
    { name: "this model", key: "model", value: mean(known) },
    ...models.map(([key, each]) => ({ name: named(key), key, value: mean(onlyFinite(each)) })),
  ].sort((a, b) => a.value - b.value);
  const most = Math.max(...all.map((each) => each.value));
  const rows = el(
    "ol",
    { class: "bars means", "aria-label": "Mean loss of the model and of models that count" },
    ...all.map(({ name, key, value }) =>
      el(
        "li",
        { class: key === "model" ? "came" : "" },
        el("span", { class: "bar-name" }, name),
        el(
          "span",
          { class: "bar", "aria-hidden": "true" },
          el("span", { style: { width: `${(100 * value) / most}%` } }),
        ),
        el("span", { class: "figure" }, number(value, 4)),
      ),
    ),
  );
  const chart = new LossChart(subject, loss, models);
  const numbers = later("The numbers as a table", () =>
    table(
      "Loss of each token in nats",
      ["token", "text", "model", ...models.map(([key]) => named(key))],
      loss
        .slice(0, -1)
        .map((x, t) => [
          String(t + 1),
          tokenMark(subject.tokens[t + 1].text),
          number(x, 4),
          ...models.map(([, each]) => number(each[t], 4)),
        ]),
    ),
  );
  if (!models.length) {
    const why = subject.data.notes?.find((/** @type {string} */ note) => note.startsWith("no baselines: "));
    return [why ? el("p", { class: "note" }, `${why}.`) : "", chart.element, numbers].filter(Boolean);
  }
  return [
    el("h3", {}, "Beside models that only count"),
    el(
      "p",
      {},
      "The baselines know nothing but counts of the training text: how often each token occurs, and what follows " +
        `each${baselines?.ngram ? ", or the last four" : ""}. Mean loss over this text, in nats:`,
    ),
    rows,
    chart.element,
    numbers,
  ];
}

/** @param {string} key */
const named = (key) => ({ uniform: "uniform", unigram: "unigram", bigram: "bigram", ngram: "5-gram" })[key] ?? key;

/** Bars for the loss of each token, with the line of one baseline. */
class LossChart {
  /** @param {Subject} subject @param {(number | null)[]} loss @param {[string, (number | null)[]][]} models */
  constructor(subject, loss, models) {
    this.subject = subject;
    this.loss = loss;
    this.models = models;
    this.chosen = models.length ? models[models.length - 1][0] : "";
    this.holder = el("div", {
      class: "chart",
      tabindex: 0,
      role: "region",
      "aria-label": "Loss of each token, as bars; the table below has the numbers",
    });
    const choices = models.length
      ? el(
          "fieldset",
          { class: "choices" },
          el("legend", {}, "Compare with"),
          ...models.map(([key]) =>
            el(
              "label",
              {},
              el("input", {
                type: "radio",
                name: "baseline",
                value: key,
                checked: key === this.chosen,
                onchange: () => this.choose(key),
              }),
              named(key),
            ),
          ),
        )
      : null;
    this.element = el(
      "div",
      { class: "figure-card" },
      choices,
      this.holder,
      el(
        "p",
        { class: "legend" },
        el("span", { class: "key-bar", "aria-hidden": "true" }),
        el("span", {}, "loss of the model"),
        models.length > 0 && el("span", { class: "key-line", "aria-hidden": "true" }),
        models.length > 0 && el("span", {}, "loss of the baseline"),
      ),
    );
    this.draw();
    onFollow((t) => this.mark(t));
  }

  /** @param {string} key */
  choose(key) {
    this.chosen = key;
    this.draw();
    this.mark(marked());
  }

  draw() {
    const { loss, models, holder, subject } = this;
    const line = models.find(([key]) => key === this.chosen)?.[1] ?? [];
    const count = loss.length - 1,
      step = Math.max(5, Math.min(26, Math.floor(860 / count))),
      high = 150,
      left = 30;
    const top = Math.max(...onlyFinite(loss), ...onlyFinite(line), 1);
    const y = (/** @type {number} */ x) => high - (x / top) * (high - 10);
    const width = left + count * step + 8;
    const drawing = svg("svg", {
      width,
      height: high + 22,
      viewBox: `0 0 ${width} ${high + 22}`,
      "aria-hidden": "true",
    });
    for (let tick = 0; tick <= top; tick += top > 6 ? 2 : 1) {
      drawing.append(
        svg("line", { class: "rule", x1: left, x2: width, y1: y(tick), y2: y(tick) }),
        svg("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
      );
    }
    this.bars = loss.slice(0, -1).map((x, t) =>
      svg("rect", {
        class: "loss-bar",
        x: left + t * step + 1,
        width: Math.max(1, step - 2),
        y: y(x ?? 0),
        height: high - y(x ?? 0),
      }),
    );
    drawing.append(...this.bars);
    const points = line.map((x, t) => (x === null ? "" : `M${left + t * step} ${y(x)}h${step}`)).join("");
    drawing.append(svg("path", { class: "baseline", d: points }));
    if (step >= 9)
      subject.tokens
        .slice(1)
        .forEach((token, t) =>
          drawing.append(
            svg(
              "text",
              { class: "tick", x: left + (t + 0.5) * step, y: high + 15, "text-anchor": "middle" },
              visible(token.text, Math.floor(step / 8)),
            ),
          ),
        );
    const over = (/** @type {PointerEvent} */ event) => {
      const t = Math.floor((event.clientX - drawing.getBoundingClientRect().left - left) / step);
      if (t < 0 || t >= count) return null;
      return t;
    };
    drawing.addEventListener("pointermove", (event) => {
      const t = over(/** @type {PointerEvent} */ (event));
      if (t === null) return;
      glance(t + 1);
      tip(
        [
          subject.said(t + 1),
          `model ${number(loss[t], 3)} nats`,
          ...models.map(([key, each]) => `${named(key)} ${number(each[t], 3)}`),
        ],
        /** @type {PointerEvent} */ (event),
      );
    });
    drawing.addEventListener("pointerleave", () => (glance(null), tip(null)));
    drawing.addEventListener("click", (event) => {
      const t = over(/** @type {any} */ (event));
      if (t !== null) follow(t + 1);
    });
    holder.replaceChildren(drawing);
  }

  /** @param {number} token */
  mark(token) {
    this.bars?.forEach((bar, t) => bar.classList.toggle("marked", t + 1 === token));
  }
}
