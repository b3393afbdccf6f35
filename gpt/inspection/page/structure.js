/**
 * The steps of the forward pass in order: what each computes, from which values and parameters. The page explains by
 * this list what forward.js computes; the names are the same.
 */

/** @typedef {import("./forward.js").Config} Config */

/**
 * @typedef {object} Step
 * @property {string} name of the value that it computes
 * @property {string} group the part of the model
 * @property {string} title
 * @property {string} says what one sees
 * @property {string} operation a case of derive.js
 * @property {string[]} inputs names of values
 * @property {string} [module] the path of the module whose parameters it uses
 * @property {number} [layer]
 * @property {number} [first] of the heads that it takes, as split does
 */

/** @param {Config} config @returns {Step[]} */
export function steps(config) {
  const start = [...embeddingSteps(config)];
  if (config.model !== "gpt") {
    return [...start, headStep("embedding.output"), LOSS];
  }
  let x = start[start.length - 1].name;
  const all = start;
  for (let layer = 0; layer < config.layers; layer++) {
    all.push(...attentionSteps(config, layer, x), ...feedForwardSteps(config, layer));
    x = `blocks.${layer}.output`;
  }
  const norm = {
    name: "norm.output",
    group: "Prediction",
    title: "the stream, normalised",
    operation: "norm",
    module: "norm",
    inputs: [x],
    says: "The last norm brings every token's vector to the same length before the head reads it.",
  };
  return [...all, norm, headStep("norm.output"), LOSS];
}

/** @type {Step} */
const LOSS = {
  name: "output.1",
  group: "Prediction",
  title: "the loss",
  operation: "loss",
  inputs: ["head.output"],
  says: "One number: the mean of −ln p over the tokens that came. The backward pass begins here.",
};

/** @param {Config} config @returns {Step[]} */
function embeddingSteps(config) {
  const group = "Embedding";
  const rows = {
    name: "embedding.output",
    group,
    title: "a vector for each token",
    operation: "rows",
    module: "embedding",
    inputs: [],
    says: "Each token takes its row of the embedding matrix. Equal tokens have equal rows.",
  };
  if (config.model !== "gpt" || config.positions !== "learned") return [rows];
  return [
    rows,
    {
      name: "position_embedding.output",
      group,
      title: "a vector for each position",
      operation: "positions",
      module: "position_embedding",
      inputs: [],
      says: "Each position takes its row of a second matrix, so that the model can tell the first token from others.",
    },
    {
      name: "blocks.0.input",
      group,
      title: "both added",
      operation: "add",
      inputs: ["embedding.output", "position_embedding.output"],
      says: "The residual stream begins here: a vector for each token, to which every block adds.",
    },
  ];
}

/** @param {string} x @returns {Step} */
const headStep = (x) => ({
  name: "head.output",
  group: "Prediction",
  title: "logits",
  operation: "linear",
  module: "head",
  inputs: [x],
  says:
    "A number for each token of the vocabulary: the larger, the more probable is it as the next one. Softmax makes " +
    "probabilities of them.",
});

/** @param {Config} config @param {number} layer @param {string} x @returns {Step[]} */
function attentionSteps(config, layer, x) {
  const path = `blocks.${layer}.attention`;
  const at = { group: `Block ${layer}, attention`, layer };
  const G = config.kv_heads || config.heads;
  const q = config.qk_norm ? `${path}.q_norm.output` : `${path}.split.0`;
  const k = config.qk_norm ? `${path}.k_norm.output` : `${path}.split.1`;
  // The trace calls queries and keys by the norm that takes them, if there is one.
  const [asked, found] = config.qk_norm
    ? [`${path}.q_norm.input`, `${path}.k_norm.input`]
    : [`${path}.split.0`, `${path}.split.1`];
  const turn = config.positions === "rotary";
  /** @type {(Step | false)[]} */
  const list = [
    {
      ...at,
      name: `blocks.${layer}.attention_norm.output`,
      title: "a normalised copy",
      operation: "norm",
      module: `blocks.${layer}.attention_norm`,
      inputs: [x],
      says: "Attention reads this copy; the stream itself stays as it is.",
    },
    {
      ...at,
      name: `${path}.qkv.output`,
      title: "queries, keys and values side by side",
      operation: "linear",
      module: `${path}.qkv`,
      inputs: [`blocks.${layer}.attention_norm.output`],
      says: "One product of matrices makes all three, for all heads.",
    },
    {
      ...at,
      name: asked,
      title: "queries",
      operation: "split",
      first: 0,
      inputs: [`${path}.qkv.output`],
      says: "What each token asks, a part for each head.",
    },
    {
      ...at,
      name: found,
      title: "keys",
      operation: "split",
      first: config.heads,
      inputs: [`${path}.qkv.output`],
      says: "What each token can be found by.",
    },
    {
      ...at,
      name: `${path}.split.2`,
      title: "values",
      operation: "split",
      first: config.heads + G,
      inputs: [`${path}.qkv.output`],
      says: "What a token gives to those that look at it.",
    },
    config.qk_norm && {
      ...at,
      name: `${path}.q_norm.output`,
      title: "queries, normalised",
      operation: "norm",
      module: `${path}.q_norm`,
      inputs: [asked],
      says: "All queries get about the same length, which bounds the scores.",
    },
    config.qk_norm && {
      ...at,
      name: `${path}.k_norm.output`,
      title: "keys, normalised",
      operation: "norm",
      module: `${path}.k_norm`,
      inputs: [found],
      says: "All keys get about the same length.",
    },
    turn && {
      ...at,
      name: `${path}.rotary`,
      title: "queries, turned by their position",
      operation: "rotary",
      inputs: [q],
      says: "Pairs of numbers turn by an angle that grows with the position, so that a score depends on the distance.",
    },
    turn && {
      ...at,
      name: `${path}.rotary#2`,
      title: "keys, turned by their position",
      operation: "rotary",
      inputs: [k],
      says: "The same for the keys.",
    },
    {
      ...at,
      name: `${path}.scores`,
      title: "scores",
      operation: "scores",
      inputs: turn ? [`${path}.rotary`, `${path}.rotary#2`] : [q, k],
      says: "How well the query of a row fits the key of a column. The future is masked: −∞.",
    },
    {
      ...at,
      name: `${path}.weights`,
      title: "attention weights",
      operation: "softmax",
      inputs: [`${path}.scores`],
      says: "Softmax makes each row positive, with sum 1.",
    },
    {
      ...at,
      name: `${path}.matmul#2`,
      title: "mixtures of values",
      operation: "mix",
      inputs: [`${path}.weights`, `${path}.split.2`],
      says: "Each token takes the values of those it looks at, by their weights.",
    },
    {
      ...at,
      name: `${path}.projection.output`,
      title: "what attention adds",
      operation: "linear",
      module: `${path}.projection`,
      inputs: [`${path}.matmul#2`],
      says: "The heads side by side, brought back to the width of the stream.",
    },
    {
      ...at,
      name: `blocks.${layer}.feed_forward_norm.input`,
      title: "the stream after attention",
      operation: "add",
      inputs: [x, `${path}.projection.output`],
      says: "The residual: what came in, and what attention found.",
    },
  ];
  return /** @type {Step[]} */ (list.filter(Boolean));
}

/** @param {Config} config @param {number} layer @returns {Step[]} */
function feedForwardSteps(config, layer) {
  const path = `blocks.${layer}.feed_forward`;
  const at = { group: `Block ${layer}, feed-forward`, layer };
  const x = `${path}_norm.input`,
    copy = `${path}_norm.output`;
  const gated = config.activation === "swiglu";
  /** @type {(Step | false)[]} */
  const list = [
    {
      ...at,
      name: copy,
      title: "a normalised copy",
      operation: "norm",
      module: `${path}_norm`,
      inputs: [x],
      says: "The two layers read this copy, each token on its own.",
    },
    {
      ...at,
      name: `${path}.up.output`,
      title: "what the first layer finds",
      operation: "linear",
      module: `${path}.up`,
      inputs: [copy],
      says: "Each channel is a pattern that the layer looks for.",
    },
    gated && {
      ...at,
      name: `${path}.gate.output`,
      title: "the gate",
      operation: "linear",
      module: `${path}.gate`,
      inputs: [copy],
      says: "A third matrix decides how much of each pattern passes.",
    },
    {
      ...at,
      name: `${path}.activation.output`,
      title: gated ? "the gate, opened" : "after the nonlinearity",
      operation: "activation",
      inputs: [`${path}.${gated ? "gate" : "up"}.output`],
      says: gated ? "SiLU: negative gates are nearly shut." : "Patterns that were not found are nearly zero now.",
    },
    gated && {
      ...at,
      name: `${path}.projection.input`,
      title: "what passes the gate",
      operation: "multiply",
      inputs: [`${path}.activation.output`, `${path}.up.output`],
      says: "The pattern, times the gate.",
    },
    {
      ...at,
      name: `${path}.projection.output`,
      title: "what feed-forward adds",
      operation: "linear",
      module: `${path}.projection`,
      inputs: [`${path}.${gated ? "projection.input" : "activation.output"}`],
      says: "Each pattern that was found adds its column to the stream.",
    },
    {
      ...at,
      name: `blocks.${layer}.output`,
      title: "the stream after the block",
      operation: "add",
      inputs: [x, `${path}.projection.output`],
      says: "The residual again: the next block reads this.",
    },
  ];
  return /** @type {Step[]} */ (list.filter(Boolean));
}

/**
 * The values on the residual stream, from the embedding to the end, with what each is.
 * @param {Config} config @returns {{name: string, title: string}[]}
 */
export function stream(config) {
  if (config.model !== "gpt") return [{ name: "embedding.output", title: "embedding" }];
  const start = { name: config.positions === "learned" ? "blocks.0.input" : "embedding.output", title: "embedding" };
  const layers = Array.from({ length: config.layers }, (_, layer) => [
    { name: `blocks.${layer}.feed_forward_norm.input`, title: `block ${layer}, attention` },
    { name: `blocks.${layer}.output`, title: `block ${layer}, feed-forward` },
  ]);
  return [start, ...layers.flat()];
}
