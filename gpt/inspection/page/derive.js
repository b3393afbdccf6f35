/**
 * How one number of the pass came about: the inputs that entered it, with their values, and what it passes back to
 * each.
 *
 * Forward: y = Σ parts + rest, or another formula, whose result is checked against the pass. Backward: the gradient of
 * y, times dy/dx for each input x, is what this number alone adds to the gradient of x.
 */

import { ACTIVATIONS, angle, losses, normalised, softmax } from "./forward.js";
import { number } from "./dom.js";

/**
 * @typedef {import("./subject.js").Cell} Cell
 * @typedef {import("./subject.js").Subject} Subject
 * @typedef {import("./structure.js").Step} Step
 *
 * An input: its cell, what it is multiplied with (a cell or a number), what that adds to the result, and dy/dx.
 * @typedef {{cell: Cell, times?: Cell | number, part?: number, slope: number}} Term
 *
 * @typedef {object} Derivation
 * @property {Term[]} terms
 * @property {string} formula with the numbers in it
 * @property {number} result what the formula gives
 * @property {string} [note]
 */

/** @param {Subject} subject @param {Cell} cell @returns {Derivation | undefined} */
export function derive(subject, { name, index }) {
  const step = subject.step.get(name);
  return step && DERIVATIONS[step.operation](subject, step, index);
}

/** Σ of what the terms add. @param {Term[]} terms */
const total = (terms) => terms.reduce((sum, term) => sum + (term.part ?? 0), 0);

/**
 * Numbers with the fewest digits, at least 4, that give the result as it is shown beside them, with 6 digits.
 * @param {number[]} values @param {(values: number[]) => number} compute
 */
function enough(values, compute) {
  const result = number(compute(values), 6);
  let digits = 4;
  while (digits < 17 && number(compute(values.map((x) => Number(x.toPrecision(digits)))), 6) !== result) digits++;
  return values.map((x) => number(x, digits));
}

const FORMULAS = {
  "gelu-tanh": "x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2",
  gelu: "x Φ(x)",
  relu: "max(x, 0)",
  silu: "x / (1 + e⁻ˣ)",
  tanh: "tanh x",
};

/**
 * The input of a linear layer may be heads side by side: the number is then one of a head.
 * @param {Subject} subject @param {Step} step @param {number} t @param {number} i @returns {Cell}
 */
function inputCell(subject, step, t, i) {
  const [name] = step.inputs;
  const { shape } = subject.value(name);
  return { name, index: shape.length === 3 ? [Math.floor(i / shape[2]), t, i % shape[2]] : [t, i] };
}

/** @type {Record<string, (subject: Subject, step: Step, index: number[]) => Derivation>} by the operation of a step */
const DERIVATIONS = {
  rows(subject, step, [t, c]) {
    const cell = { name: `${step.module}.weight`, index: [subject.ids[t], c] };
    const value = subject.at(cell);
    return {
      terms: [{ cell, part: value, slope: 1 }],
      formula: `row ${subject.ids[t]} of the matrix, channel ${c}`,
      result: value,
    };
  },

  positions(subject, step, [t, c]) {
    const cell = { name: `${step.module}.weight`, index: [t, c] };
    const value = subject.at(cell);
    return { terms: [{ cell, part: value, slope: 1 }], formula: `row ${t} of the matrix, channel ${c}`, result: value };
  },

  add(subject, step, index) {
    const terms = step.inputs.map((name) => ({ cell: { name, index }, part: subject.at({ name, index }), slope: 1 }));
    const parts = enough(
      terms.map((term) => term.part),
      (values) => values.reduce((sum, x) => sum + x, 0),
    );
    return { terms, formula: parts.join(" + "), result: total(terms) };
  },

  multiply(subject, step, index) {
    const cells = step.inputs.map((name) => ({ name, index }));
    const [a, b] = cells.map((cell) => subject.at(cell));
    const terms = [
      { cell: cells[0], slope: b },
      { cell: cells[1], slope: a },
    ];
    const formula = enough([a, b], ([x, y]) => x * y).join(" · ");
    return { terms, formula, result: a * b };
  },

  linear(subject, step, [t, o]) {
    const name = subject.isParameter(`${step.module}.weight`) ? `${step.module}.weight` : "embedding.weight";
    const weight = subject.numbers(name);
    const input = subject.value(`${step.module}.input`);
    const bias = subject.isParameter(`${step.module}.bias`)
      ? subject.at({ name: `${step.module}.bias`, index: [o] })
      : 0;
    const I = weight.shape[1];
    /** @type {Term[]} */
    const terms = Array.from({ length: I }, (_, i) => {
      const w = weight.array[o * I + i],
        x = input.array[t * I + i];
      return { cell: inputCell(subject, step, t, i), times: { name, index: [o, i] }, part: w * x, slope: w };
    });
    const sum = total(terms);
    const isBiased = subject.isParameter(`${step.module}.bias`);
    if (isBiased) terms.push({ cell: { name: `${step.module}.bias`, index: [o] }, part: bias, slope: 1 });
    const [products, added] = enough([sum, bias], ([x, y]) => x + y);
    return {
      terms,
      formula: `${I} products, Σ = ${products}${isBiased ? `; Σ + bias = ${products} + ${added}` : ""}`,
      result: sum + bias,
    };
  },

  split(subject, step, [h, t, i]) {
    const D = subject.config.width / subject.config.heads;
    const cell = { name: step.inputs[0], index: [t, ((step.first ?? 0) + h) * D + i] };
    return {
      terms: [{ cell, part: subject.at(cell), slope: 1 }],
      formula: `channel ${cell.index[1]} of the row: nothing is computed`,
      result: subject.at(cell),
    };
  },

  /** dy[c]/dx[j] = w[c] (δ(c, j) − 1/n − x̂[c] x̂[j] / n) / σ; without the mean, 1/n falls away. */
  norm(subject, step, index) {
    const name = step.inputs[0];
    const x = subject.value(name);
    const n = x.shape[x.shape.length - 1],
      c = index[index.length - 1];
    const start = index.reduce((place, i, axis) => place * x.shape[axis] + i, 0) - c;
    const row = Float64Array.from(x.array.subarray(start, start + n));
    const isCentred = subject.config.norm === "layer" && !/[qk]_norm$/.test(step.module ?? "");
    const scaled = normalised({ shape: [n], array: row }, subject.config.norm_eps, isCentred).array;
    const mean = isCentred ? row.reduce((sum, value) => sum + value / n, 0) : 0;
    const inverse =
      1 / Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2 / n, 0) + subject.config.norm_eps);
    const weight = { name: `${step.module}.weight`, index: [c] },
      bias = { name: `${step.module}.bias`, index: [c] };
    const w = subject.isParameter(weight.name) ? subject.at(weight) : 1,
      b = subject.isParameter(bias.name) ? subject.at(bias) : 0;
    /** @type {Term[]} */
    const terms = Array.from(row, (_, j) => ({
      cell: { name, index: [...index.slice(0, -1), j] },
      slope: w * inverse * ((c === j ? 1 : 0) - (isCentred ? 1 / n : 0) - (scaled[c] * scaled[j]) / n),
    }));
    if (subject.isParameter(weight.name)) terms.push({ cell: weight, slope: scaled[c] });
    if (subject.isParameter(bias.name)) terms.push({ cell: bias, slope: 1 });
    const shown = enough([w, row[c], mean, inverse, b], ([w, x, mean, inverse, b]) => w * (x - mean) * inverse + b);
    const moved = isCentred ? `(${shown[1]} − ${shown[2]})` : shown[1];
    return {
      terms,
      formula: `${shown[0]} · ${moved} · ${shown[3]}${b ? ` + ${shown[4]}` : ""}`,
      result: w * scaled[c] + b,
      note:
        `${isCentred ? `Mean of the row ${number(mean)}, ` : ""}1 / deviation ${number(inverse)}. Every number of ` +
        `the row has a share in ${isCentred ? "both" : "it"}, so each gets a gradient.`,
    };
  },

  rotary(subject, step, [h, t, i]) {
    const D = subject.value(step.name).shape[2];
    const pair = i >> 1,
      turn = angle(t, pair, D),
      isFirst = i % 2 === 0;
    const a = { name: step.inputs[0], index: [h, t, 2 * pair] },
      b = { name: step.inputs[0], index: [h, t, 2 * pair + 1] };
    const [forA, forB] = isFirst ? [Math.cos(turn), -Math.sin(turn)] : [Math.sin(turn), Math.cos(turn)];
    const terms = [
      { cell: a, times: forA, part: forA * subject.at(a), slope: forA },
      { cell: b, times: forB, part: forB * subject.at(b), slope: forB },
    ];
    return {
      terms,
      formula: `pair ${pair} turned by ${number(turn)} radians: ${isFirst ? "a cos θ − b sin θ" : "a sin θ + b cos θ"}`,
      result: total(terms),
    };
  },

  scores(subject, step, [h, t, s]) {
    const [q, k] = step.inputs.map((name) => subject.value(name));
    const { attention_scale, heads } = subject.config;
    const D = q.shape[2],
      shared = Math.floor(h / (heads / k.shape[0]));
    if (s > t) {
      return { terms: [], formula: `masked: token ${s} is the future of token ${t}`, result: -Infinity };
    }
    const scale =
      attention_scale === "none"
        ? 1
        : D ** -0.5 / (attention_scale === "layer" ? /** @type {number} */ (step.layer) + 1 : 1);
    const cells = Array.from({ length: D }, (_, i) => [
      { name: step.inputs[0], index: [h, t, i] },
      { name: step.inputs[1], index: [shared, s, i] },
    ]);
    const terms = cells.flatMap(([a, b]) => {
      const x = subject.at(a),
        y = subject.at(b);
      return [
        { cell: a, times: b, part: scale * x * y, slope: scale * y },
        { cell: b, times: a, slope: scale * x },
      ];
    });
    const [by, sum] = enough([scale, total(terms) / scale], ([x, y]) => x * y);
    return { terms, formula: `Σ of ${D} products query · key = ${sum}; ${by} · ${sum}`, result: total(terms) };
  },

  /** dw[s]/da[j] = w[s] (δ(s, j) − w[j]). */
  softmax(subject, step, [h, t, s]) {
    const name = step.inputs[0];
    const row = Array.from({ length: t + 1 }, (_, j) => subject.at({ name, index: [h, t, j] }));
    const weights = row.map((_, j) => subject.at({ name: step.name, index: [h, t, j] }));
    const sum = row.reduce((all, a) => all + Math.exp(a), 0);
    if (s > t) return { terms: [], formula: `e^(−∞) = 0: token ${s} is the future of token ${t}`, result: 0 };
    const terms = row.map((_, j) => ({
      cell: { name, index: [h, t, j] },
      slope: weights[s] * ((s === j ? 1 : 0) - weights[j]),
    }));
    const [score, below] = enough([row[s], sum], ([a, sum]) => Math.exp(a) / sum);
    return {
      terms,
      formula: `e^${score} / ${below}`,
      result: Math.exp(row[s]) / sum,
      note: "Every score of the row is in the sum below the line, so each gets a gradient.",
    };
  },

  mix(subject, step, [h, t, i]) {
    const [weights, values] = step.inputs;
    const shared = Math.floor(h / (subject.config.heads / subject.value(values).shape[0]));
    const terms = Array.from({ length: subject.T }, (_, s) => {
      const weight = { name: weights, index: [h, t, s] },
        cell = { name: values, index: [shared, s, i] };
      const w = subject.at(weight),
        v = subject.at(cell);
      return [
        { cell, times: weight, part: w * v, slope: w },
        { cell: weight, times: cell, slope: v },
      ];
    }).flat();
    return {
      terms,
      formula: `Σ of ${t + 1} products weight · value; weights of later tokens are 0`,
      result: total(terms),
    };
  },

  /** loss = 1/n Σ (ln Σ e^a − a[came]), so dloss/da[t, v] = (p[t, v] − 1 if v came) / n. The last token has no loss. */
  loss(subject, step) {
    const name = step.inputs[0],
      logits = subject.value(name),
      [T, V] = logits.shape;
    const p = softmax(logits).array,
      came = subject.ids.slice(1),
      n = T - 1;
    const terms = Array.from({ length: T * V }, (_, i) => {
      const t = Math.floor(i / V),
        v = i % V;
      return { cell: { name, index: [t, v] }, slope: t < n ? (p[i] - (came[t] === v ? 1 : 0)) / n : 0 };
    });
    const each = losses(logits, came);
    return {
      terms,
      formula: `mean of ${each
        .slice(0, 3)
        .map((x) => number(x, 3))
        .join(", ")}${n > 3 ? ", …" : ""}`,
      result: each.reduce((sum, x) => sum + x / n, 0),
      note: "A logit's gradient is its probability, less 1 if its token came, divided by the number of tokens.",
    };
  },

  activation(subject, step, index) {
    const kind =
      subject.config.activation === "swiglu"
        ? "silu"
        : /** @type {keyof typeof FORMULAS} */ (subject.config.activation);
    const cell = { name: step.inputs[0], index };
    const x = subject.at(cell),
      f = ACTIVATIONS[kind],
      h = 1e-5;
    const slope = (f(x + h) - f(x - h)) / (2 * h);
    return {
      terms: [{ cell, slope }],
      formula: `${FORMULAS[kind]} at x = ${enough([x], ([x]) => f(x))[0]}`,
      result: f(x),
      note: `The slope there is ${number(slope)}.`,
    };
  },
};

// ---------------------------------------------------------------------------------------------------- why: parameters

/**
 * What each position adds to the gradient of a number of a parameter: y = W x gives dW[o, i] = Σ dy[t, o] x[t, i].
 * @typedef {{t: number, dy: number, x: number, part: number, from: Cell, through: Cell | null}} Share
 */

/**
 * The steps that use a parameter: one, or two for the embedding if the head is tied to it.
 * @param {Subject} subject @param {string} name
 */
function usesOf(subject, name) {
  const tied = name === "embedding.weight" && !subject.isParameter("head.weight");
  return subject.steps.filter(
    (step) => step.module && (name.slice(0, name.lastIndexOf(".")) === step.module || (tied && step.module === "head")),
  );
}

/** x̂, by which a norm multiplies its weight. @param {Subject} subject @param {Step} step */
function scaledInput(subject, step) {
  const isCentred = subject.config.norm === "layer" && !/[qk]_norm$/.test(step.module ?? "");
  return normalised(subject.value(step.inputs[0]), subject.config.norm_eps, isCentred);
}

/**
 * The shares of all uses of this parameter; undefined where the page has not what it takes.
 * @param {Subject} subject @param {Cell} cell @returns {Share[] | undefined}
 */
export function why(subject, { name, index }) {
  const shares = usesOf(subject, name).map((step) => sharesOf(subject, step, name.endsWith(".bias"), index));
  return shares.some((each) => each === undefined) ? undefined : shares.flat().filter((each) => each !== undefined);
}

/**
 * @param {Subject} subject @param {Step} step @param {boolean} isBias @param {number[]} index
 * @returns {Share[] | undefined}
 */
function sharesOf(subject, step, isBias, index) {
  const dy = subject.gradient(step.name);
  if (!dy) return undefined;
  /** @type {Share[]} */
  const found = [];
  const share = (
    /** @type {number} */ t,
    /** @type {number[]} */ at,
    /** @type {number} */ x,
    /** @type {Cell | null} */ through,
  ) => {
    const from = { name: step.name, index: at },
      d = subject.gradientAt(from) ?? 0;
    found.push({ t, dy: d, x, part: d * x, from, through });
  };
  if (step.operation === "rows" || step.operation === "positions") {
    const used = step.operation === "rows" ? subject.ids : [...subject.ids.keys()];
    used.forEach((id, t) => id === index[0] && share(t, [t, index[1]], 1, null));
  } else if (step.operation === "linear") {
    for (let t = 0; t < subject.T; t++) {
      const through = isBias ? null : inputCell(subject, step, t, index[1]);
      share(t, [t, index[0]], through ? subject.at(through) : 1, through);
    }
  } else {
    const x = subject.value(step.inputs[0]),
      n = x.shape[x.shape.length - 1];
    const scaled = isBias ? null : scaledInput(subject, step).array;
    for (let row = 0; row < x.array.length / n; row++) {
      const at = x.shape.length === 3 ? [Math.floor(row / subject.T), row % subject.T, index[0]] : [row, index[0]];
      share(row % subject.T, at, scaled ? scaled[row * n + index[0]] : 1, null);
    }
  }
  return found;
}

/**
 * The whole gradient of a parameter, Σ of all shares of all its numbers; undefined where the page has not what it
 * takes.
 * @param {Subject} subject @param {string} name @returns {Float64Array | undefined}
 */
export function gradientOf(subject, name) {
  const { shape, array } = subject.numbers(name);
  const gradient = new Float64Array(array.length);
  for (const step of usesOf(subject, name)) {
    const dy = subject.gradient(step.name);
    if (!dy) return undefined;
    if (step.operation === "linear" && shape.length === 2) {
      const x = subject.value(`${step.module}.input`).array,
        [O, I] = shape;
      for (let t = 0; t < subject.T; t++)
        for (let o = 0; o < O; o++)
          for (let i = 0; i < I; i++) gradient[o * I + i] += dy.array[t * O + o] * x[t * I + i];
    } else if (shape.length === 2) {
      const at = step.operation === "rows" ? subject.ids : [...subject.ids.keys()],
        C = shape[1];
      at.forEach((row, t) => {
        for (let c = 0; c < C; c++) gradient[row * C + c] += dy.array[t * C + c];
      });
    } else {
      const x = name.endsWith(".bias") ? null : scaledInput(subject, step).array,
        n = shape[0];
      for (let i = 0; i < dy.array.length; i++) gradient[i % n] += dy.array[i] * (x ? x[i] : 1);
    }
  }
  return gradient;
}
