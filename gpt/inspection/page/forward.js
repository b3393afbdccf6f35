/**
 * The forward pass of gpt/model.py in plain JavaScript: every number of it, under the names that tinytensor.trace
 * gives. What the trace does not name has the name that gpt/inspection/values.py gives it: "rotary#2" is the second
 * call of rotary in its module.
 *
 * Weights are the float32 numbers of the checkpoint; sums and products are in float64, so the results are closer to the
 * exact ones than the engine's own. A batch of one window is taken for granted: shapes here have no batch axis.
 *
 * Letters as in gpt/model.py: T tokens, C width, H heads, G heads of keys and values, D = C / H, V tokens in the
 * vocabulary.
 */

/**
 * An array with its shape, in row-major order.
 * @typedef {{shape: number[], array: Float64Array | Float32Array | Int32Array}} Value
 *
 * What gpt/config.py calls GPTConfig, as far as the forward pass reads it.
 * @typedef {{model: string, width: number, heads: number, kv_heads: number, layers: number, qk_norm: boolean,
 *   attention_scale: string, positions: string, activation: string, norm: string, norm_eps: number}} Config
 *
 * The configuration and the parameters by their names.
 * @typedef {{config: Config, weights: Map<string, Value>}} Model
 *
 * An edit gets a copy of a value, writes into it, and the pass goes on with that copy.
 * @typedef {(value: Value) => void} Edit
 */

/** @param {number[]} shape @returns {Value} */
export function zeros(shape) {
  return { shape, array: new Float64Array(shape.reduce((n, size) => n * size, 1)) };
}

/** One run of the model: keeps each value under its name, and applies the edits, as tinytensor.trace does. */
class Pass {
  /** @param {Model} model @param {Map<string, Edit[]>} edits */
  constructor(model, edits) {
    this.model = model;
    this.edits = edits;
    /** @type {Map<string, Value>} */
    this.values = new Map();
  }

  /** The parameter of this name; undefined where the model has none, as a bias. @param {string} name */
  weight(name) {
    return this.model.weights.get(name);
  }

  /** Keep x, or what the edits of this name make of it. @param {string} name @param {Value} x @returns {Value} */
  keep(name, x) {
    const edits = this.edits.get(name);
    if (edits) {
      x = { shape: x.shape, array: x.array.slice() };
      for (const edit of edits) edit(x);
    }
    this.values.set(name, x);
    return x;
  }

  /**
   * Run a module: its input, what `compute` makes of it, and its output are kept.
   * An edit of the input is for this module alone: the caller's x stays as it is.
   * @param {string} path @param {Value} x @param {(x: Value) => Value} compute
   */
  module(path, x, compute) {
    return this.keep(`${path}.output`, compute(this.keep(`${path}.input`, x)));
  }
}

/**
 * Run the model on the tokens.
 * @param {Model} model
 * @param {number[]} ids
 * @param {Map<string, Edit[]>} [edits] by the name of the value
 * @returns {Map<string, Value>} every value, in the order in which they are computed; the logits are "head.output"
 */
export function forward(model, ids, edits = new Map()) {
  const pass = new Pass(model, edits);
  const { config } = model;
  let x = pass.module("embedding", { shape: [ids.length], array: Int32Array.from(ids) }, (at) =>
    rows(need(pass, "embedding.weight"), at.array),
  );
  if (config.model === "gpt") {
    if (config.positions === "learned") {
      const positions = { shape: [ids.length], array: Int32Array.from(ids.keys()) };
      const added = pass.module("position_embedding", positions, (at) =>
        rows(need(pass, "position_embedding.weight"), at.array),
      );
      x = plus(x, added);
    }
    for (let layer = 0; layer < config.layers; layer++) x = block(pass, layer, x);
    x = norm(pass, "norm", x);
  }
  linear(pass, "head", x);
  return pass.values;
}

/**
 * A block: attention, then feed-forward; each adds its result to x.
 * @param {Pass} pass @param {number} layer @param {Value} x
 */
function block(pass, layer, x) {
  const path = `blocks.${layer}`;
  return pass.module(path, x, (x) => {
    const attended = attention(pass, `${path}.attention`, layer, norm(pass, `${path}.attention_norm`, x));
    x = plus(x, attended);
    return plus(x, feedForward(pass, `${path}.feed_forward`, norm(pass, `${path}.feed_forward_norm`, x)));
  });
}

/** Causal self-attention. @param {Pass} pass @param {string} path @param {number} layer @param {Value} x (T, C) */
function attention(pass, path, layer, x) {
  const { heads: H, kv_heads, width, attention_scale, qk_norm, positions } = pass.model.config;
  const G = kv_heads || H;
  const D = width / H;
  return pass.module(path, x, (x) => {
    const qkv = linear(pass, `${path}.qkv`, x); // (T, (H + 2 G) D): the queries, keys and values side by side
    let q = pass.keep(`${path}.split.0`, heads(qkv, 0, H, D)); // (H, T, D)
    let k = pass.keep(`${path}.split.1`, heads(qkv, H, G, D)); // (G, T, D)
    const v = pass.keep(`${path}.split.2`, heads(qkv, H + G, G, D));
    if (qk_norm) {
      q = rmsNorm(pass, `${path}.q_norm`, q);
      k = rmsNorm(pass, `${path}.k_norm`, k);
    }
    if (positions === "rotary") {
      q = pass.keep(`${path}.rotary`, turned(q));
      k = pass.keep(`${path}.rotary#2`, turned(k));
    }
    const scale = { head: D ** -0.5, layer: D ** -0.5 / (layer + 1), none: 1 }[attention_scale];
    const scores = pass.keep(`${path}.scores`, scored(q, k, /** @type {number} */ (scale)));
    const weights = pass.keep(`${path}.weights`, softmax(scores));
    const mixed = pass.keep(`${path}.matmul#2`, mix(weights, v)); // (H, T, D)
    return linear(pass, `${path}.projection`, sideBySide(mixed)); // (T, C)
  });
}

/**
 * The two layers for each token on its own; three with a gate.
 * @param {Pass} pass @param {string} path @param {Value} x (T, C)
 */
function feedForward(pass, path, x) {
  return pass.module(path, x, (x) => {
    const kind = pass.model.config.activation;
    const activation = `${path}.activation`;
    let up = linear(pass, `${path}.up`, x);
    if (kind === "swiglu") {
      const gate = pass.module(activation, linear(pass, `${path}.gate`, x), (x) => each(x, ACTIVATIONS.silu));
      up = times(gate, up);
    } else {
      up = pass.module(activation, up, (x) => each(x, ACTIVATIONS[kind]));
    }
    return linear(pass, `${path}.projection`, up);
  });
}

/** y = x Wᵀ + b for x (T, I) and W (O, I). @param {Pass} pass @param {string} path @param {Value} x */
function linear(pass, path, x) {
  const weight = pass.weight(`${path}.weight`) ?? need(pass, "embedding.weight"); // without one, the head is tied
  return pass.module(path, x, (x) => timesTransposed(x, weight, pass.weight(`${path}.bias`)));
}

/** The norm of the configuration over the last axis. @param {Pass} pass @param {string} path @param {Value} x */
function norm(pass, path, x) {
  return pass.model.config.norm === "rms" ? rmsNorm(pass, path, x) : layerNorm(pass, path, x);
}

/** y = w (x − mean) / √(variance + ε) + b. @param {Pass} pass @param {string} path @param {Value} x */
function layerNorm(pass, path, x) {
  return pass.module(path, x, (x) => {
    const scaled = normalised(x, pass.model.config.norm_eps, true);
    return affine(scaled, pass.weight(`${path}.weight`), pass.weight(`${path}.bias`));
  });
}

/** y = w x / √(mean(x²) + ε): no mean is taken away. @param {Pass} pass @param {string} path @param {Value} x */
function rmsNorm(pass, path, x) {
  return pass.module(path, x, (x) =>
    affine(normalised(x, pass.model.config.norm_eps, false), pass.weight(`${path}.weight`), undefined),
  );
}

// ------------------------------------------------------------------------------------------------ functions of arrays

/**
 * x̂: each row of x divided by its deviation; with `centred`, after its mean was taken away.
 * @param {Value} x @param {number} eps @param {boolean} centred @returns {Value}
 */
export function normalised(x, eps, centred) {
  const y = zeros(x.shape);
  const n = x.shape[x.shape.length - 1];
  for (let start = 0; start < x.array.length; start += n) {
    let mean = 0;
    if (centred) for (let i = 0; i < n; i++) mean += x.array[start + i] / n;
    let variance = 0;
    for (let i = 0; i < n; i++) variance += (x.array[start + i] - mean) ** 2 / n;
    const inverse = 1 / Math.sqrt(variance + eps);
    for (let i = 0; i < n; i++) y.array[start + i] = (x.array[start + i] - mean) * inverse;
  }
  return y;
}

/** w x + b over the last axis. @param {Value} x @param {Value | undefined} weight @param {Value | undefined} bias */
function affine(x, weight, bias) {
  const n = x.shape[x.shape.length - 1];
  return each(x, (value, i) => value * (weight ? weight.array[i % n] : 1) + (bias ? bias.array[i % n] : 0));
}

/** @param {Value} x @param {(value: number, index: number) => number} f @returns {Value} */
function each(x, f) {
  const y = zeros(x.shape);
  for (let i = 0; i < y.array.length; i++) y.array[i] = f(x.array[i], i);
  return y;
}

/** @param {Value} a @param {Value} b */
const plus = (a, b) => each(a, (value, i) => value + b.array[i]);

/** @param {Value} a @param {Value} b */
const times = (a, b) => each(a, (value, i) => value * b.array[i]);

/** Rows of a matrix, one for each index. @param {Value} matrix (N, C) @param {ArrayLike<number>} at @returns {Value} */
function rows(matrix, at) {
  const width = matrix.shape[1];
  const y = zeros([at.length, width]);
  for (let t = 0; t < at.length; t++) {
    y.array.set(matrix.array.subarray(at[t] * width, (at[t] + 1) * width), t * width);
  }
  return y;
}

/**
 * x Wᵀ + b, where nearly all the time goes: four rows of W at once read each number of x once for four sums.
 * @param {Value} x (T, I) @param {Value} weight (O, I) @param {Value | undefined} bias (O,) @returns {Value} (T, O)
 */
function timesTransposed(x, weight, bias) {
  const [T, I] = x.shape;
  const O = weight.shape[0];
  const result = zeros([T, O]);
  const X = x.array,
    W = weight.array,
    Y = result.array;
  for (let t = 0; t < T; t++) {
    let o = 0;
    for (; o + 4 <= O; o += 4) {
      let a = 0,
        b = 0,
        c = 0,
        d = 0;
      for (let i = 0, p = t * I, w = o * I; i < I; i++, p++, w++) {
        const value = X[p];
        a += value * W[w];
        b += value * W[w + I];
        c += value * W[w + 2 * I];
        d += value * W[w + 3 * I];
      }
      const y = t * O + o;
      Y[y] = a;
      Y[y + 1] = b;
      Y[y + 2] = c;
      Y[y + 3] = d;
    }
    for (; o < O; o++) {
      let sum = 0;
      for (let i = 0; i < I; i++) sum += X[t * I + i] * W[o * I + i];
      Y[t * O + o] = sum;
    }
    if (bias) for (o = 0; o < O; o++) Y[t * O + o] += bias.array[o];
  }
  return result;
}

/**
 * Some heads of x (T, heads · D), as (count, T, D).
 * @param {Value} x @param {number} first @param {number} count @param {number} D
 */
function heads(x, first, count, D) {
  const [T, width] = x.shape;
  const y = zeros([count, T, D]);
  for (let h = 0; h < count; h++) {
    for (let t = 0; t < T; t++) {
      const from = t * width + (first + h) * D;
      y.array.set(x.array.subarray(from, from + D), (h * T + t) * D);
    }
  }
  return y;
}

/** The heads side by side: (H, T, D) -> (T, H D). @param {Value} x @returns {Value} */
function sideBySide(x) {
  const [H, T, D] = x.shape;
  const y = zeros([T, H * D]);
  for (let h = 0; h < H; h++) {
    for (let t = 0; t < T; t++) {
      const from = (h * T + t) * D;
      y.array.set(x.array.subarray(from, from + D), t * H * D + h * D);
    }
  }
  return y;
}

/**
 * The angle by which rotary positions turn pair j at position t.
 * @param {number} t @param {number} j @param {number} D
 */
export const angle = (t, j, D) => t * 10000 ** ((-2 * j) / D);

/**
 * Rotary positions: each pair of numbers turns by its angle, as in gpt/rotary.py.
 * @param {Value} x (…, T, D) @returns {Value}
 */
function turned(x) {
  const [H, T, D] = x.shape;
  const y = zeros(x.shape);
  for (let t = 0; t < T; t++) {
    for (let j = 0; 2 * j < D; j++) {
      const cos = Math.cos(angle(t, j, D)),
        sin = Math.sin(angle(t, j, D));
      for (let h = 0; h < H; h++) {
        const p = (h * T + t) * D + 2 * j;
        y.array[p] = x.array[p] * cos - x.array[p + 1] * sin;
        y.array[p + 1] = x.array[p] * sin + x.array[p + 1] * cos;
      }
    }
  }
  return y;
}

/**
 * Scores scale · q kᵀ (H, T, T), and −∞ for the future. H / G heads of queries share a head of keys.
 * @param {Value} q @param {Value} k @param {number} scale
 */
function scored(q, k, scale) {
  const [H, T, D] = q.shape;
  const shared = H / k.shape[0];
  const y = zeros([H, T, T]);
  const Q = q.array,
    K = k.array;
  for (let h = 0; h < H; h++) {
    const key = Math.floor(h / shared) * T;
    for (let t = 0; t < T; t++) {
      const row = (h * T + t) * T;
      for (let s = 0; s <= t; s++) {
        let sum = 0;
        for (let i = 0, p = (h * T + t) * D, r = (key + s) * D; i < D; i++, p++, r++) sum += Q[p] * K[r];
        y.array[row + s] = sum * scale;
      }
      y.array.fill(-Infinity, row + t + 1, row + T);
    }
  }
  return y;
}

/**
 * eˣ / Σ eˣ over the last axis; the largest x is taken away first, so that nothing overflows.
 * @param {Value} x @returns {Value}
 */
export function softmax(x) {
  const y = zeros(x.shape);
  const n = x.shape[x.shape.length - 1];
  for (let start = 0; start < y.array.length; start += n) {
    let largest = -Infinity;
    for (let i = start; i < start + n; i++) largest = Math.max(largest, x.array[i]);
    let sum = 0;
    for (let i = start; i < start + n; i++) sum += y.array[i] = Math.exp(x.array[i] - largest);
    for (let i = start; i < start + n; i++) y.array[i] /= sum;
  }
  return y;
}

/** Mixtures of values: weights (H, T, T) · v (G, T, D) -> (H, T, D). @param {Value} weights @param {Value} v */
function mix(weights, v) {
  const [H, T] = weights.shape;
  const D = v.shape[2];
  const shared = H / v.shape[0];
  const y = zeros([H, T, D]);
  for (let h = 0; h < H; h++) {
    const from = Math.floor(h / shared) * T;
    for (let t = 0; t < T; t++) {
      for (let s = 0; s < T; s++) {
        const weight = weights.array[(h * T + t) * T + s];
        if (weight === 0) continue; // the future, unless an edit lets a token see it
        for (let i = 0; i < D; i++) y.array[(h * T + t) * D + i] += weight * v.array[(from + s) * D + i];
      }
    }
  }
  return y;
}

/** @type {Record<string, (x: number) => number>} */
export const ACTIVATIONS = {
  "gelu-tanh": (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

/**
 * erf x = 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (1 · 3 · 5 … (2n + 1)). All terms have one sign, so none cancels.
 * Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 7.1.6.
 * @param {number} x
 */
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x); // 1 − erf 6 is 2e-17
  let term = x,
    sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The parameter of this name. @param {Pass} pass @param {string} name @returns {Value} */
function need(pass, name) {
  const found = pass.weight(name);
  if (!found) throw new Error(`the page has no parameter ${name}`);
  return found;
}

// ----------------------------------------------------------------------------------------------- what follows from it

/**
 * What the head would predict from a residual stream: head(norm(x)). At the end this is the model's own prediction.
 * Source: nostalgebraist, "interpreting GPT: the logit lens", 2020.
 * @param {Model} model @param {Value} x (T, C) @returns {Value} logits (T, V)
 */
export function lens(model, x) {
  const pass = new Pass(model, new Map());
  return linear(pass, "head", model.config.model === "gpt" ? norm(pass, "norm", x) : x);
}

/**
 * −ln p(target) for each row of the logits, in nats.
 * @param {Value} logits (T, V) @param {number[]} targets at most T
 */
export function losses(logits, targets) {
  const V = logits.shape[1];
  return targets.map((target, t) => {
    let largest = -Infinity,
      sum = 0;
    for (let v = 0; v < V; v++) largest = Math.max(largest, logits.array[t * V + v]);
    for (let v = 0; v < V; v++) sum += Math.exp(logits.array[t * V + v] - largest);
    return Math.log(sum) + largest - logits.array[t * V + target];
  });
}

/** The edit that switches a head off: its weights are 0, so it adds nothing. @param {number} head @returns {Edit} */
export const withoutHead = (head) => (weights) => {
  const size = weights.shape[1] * weights.shape[2];
  weights.array.fill(0, head * size, (head + 1) * size);
};

/**
 * The edit that puts row t of another pass's value in the place of this one's.
 * @param {Value} other @param {number} t @returns {Edit}
 */
export const withRow = (other, t) => (x) => {
  const width = x.shape[1];
  x.array.set(other.array.subarray(t * width, (t + 1) * width), t * width);
};
