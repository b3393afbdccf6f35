/** What the page is about: the model, the text, the pass over it, and where each number of it can be found. */

import { forward, losses } from "./forward.js";
import { steps } from "./structure.js";
import { spoken, visible } from "./dom.js";

/**
 * @typedef {import("./forward.js").Value} Value
 * @typedef {import("./forward.js").Model} Model
 * @typedef {import("./data.js").Content} Content
 * @typedef {import("./data.js").Call} Call
 * @typedef {import("./structure.js").Step} Step
 */

/** A cell of a value or of a parameter. @typedef {{name: string, index: number[]}} Cell */

export class Subject {
  /** @param {Content} content */
  constructor(content) {
    this.content = content;
    this.data = content.data;
    this.config = this.data.run.config;
    /** @type {{id: number, text: string}[]} */
    this.tokens = this.data.tokens;
    this.ids = this.tokens.map((token) => token.id);
    this.T = this.ids.length;
    /**
     * Whether the weights were too large for the page: then it has what the engine computed, and computes nothing new.
     */
    this.isLarge = Boolean(this.data.lens);
    this.steps = steps(this.config).filter((step) => !this.isLarge || content.has(`v:${step.name}`));
    this.step = new Map(this.steps.map((step) => [step.name, step]));
    this.called = new Map(
      this.data.values.flatMap((/** @type {any} */ value) =>
        [value.name, ...(value.same ?? [])].map((name) => [name, value]),
      ),
    );
    /** @type {Model} */
    this.model = { config: this.config, weights: new Map() };
    /** @type {Map<string, Value>} */
    this.values = new Map();
  }

  /** The parameters, and the pass over the text. What needs neither can be shown before. */
  run() {
    for (const name of Object.keys(this.data.arrays)) {
      if (name.startsWith("w:")) this.model.weights.set(name.slice(2), /** @type {Value} */ (this.content.array(name)));
    }
    if (this.isLarge) {
      for (const { name } of this.steps) this.values.set(name, /** @type {Value} */ (this.content.array(`v:${name}`)));
    } else {
      this.values = forward(this.model, this.ids);
      const each = losses(this.value("head.output"), this.ids.slice(1));
      this.values.set("output.1", {
        shape: [1, 1],
        array: Float64Array.of(each.reduce((sum, x) => sum + x / each.length, 0)),
      });
    }
  }

  /**
   * What the model expects after each token, before the pass has run: the engine's own logits.
   * @returns {Value | undefined}
   */
  get logits() {
    return this.content.array("logits");
  }

  /** @param {string} name @returns {Value} */
  value(name) {
    return /** @type {Value} */ (this.values.get(name));
  }

  /** Whether this is the name of a parameter. @param {string} name */
  isParameter(name) {
    return this.model.weights.has(name);
  }

  /** The numbers of a value or a parameter. @param {string} name @returns {Value} */
  numbers(name) {
    return this.model.weights.get(name) ?? this.value(name);
  }

  /** @param {Cell} cell @returns {number} */
  at({ name, index }) {
    return at(this.numbers(name), index);
  }

  /**
   * The gradient of the loss by a value, from the engine; undefined where it has none.
   * @param {string} name @returns {Value | undefined}
   */
  gradient(name) {
    const found = this.content.array(`g:${name}`) ?? this.content.array(`g:${this.called.get(name)?.name}`);
    return found?.shape.length === 0 ? { shape: [1, 1], array: found.array } : found; // the loss is one number
  }

  /** @param {Cell} cell @returns {number | null} */
  gradientAt({ name, index }) {
    const found = this.gradient(name);
    return found ? at(found, index) : null;
  }

  /**
   * The calls of primitives that make this value from those of the list before it: most often one; a norm written out
   * is several. The last is the one that returned it.
   * @param {string} name @returns {Call[]}
   */
  calls(name) {
    /** @type {Set<number>} */
    const found = new Set();
    const visit = (/** @type {string} */ each) => {
      const value = this.called.get(each);
      const here = [...(value ? [value.name, ...(value.same ?? [])] : [])];
      if (!value || value.call === null || value.call === undefined || found.has(value.call)) return;
      if (each !== name && here.some((other) => this.step.has(other))) return; // a step of its own
      found.add(value.call);
      for (const input of this.data.calls[value.call].inputs) if (typeof input === "string") visit(input);
    };
    visit(name);
    return [...found].sort((a, b) => a - b).map((i) => this.data.calls[i]);
  }

  /**
   * The formula of a value: that of the call which computes it, not of one that moves or masks its numbers afterwards.
   * @param {string} name @returns {string}
   */
  formula(name) {
    if (/norm\.output$/.test(name) && !this.calls(name).some((call) => call.primitive === "layer_norm"))
      return "y = w x / √(mean(x²) + ε)";
    return (computing(this.calls(name)).at(-1) ?? this.calls(name).at(-1))?.formula ?? "";
  }

  /** A token of the vocabulary as text. @param {number} id */
  text(id) {
    return this.data.vocabulary[id] ?? `#${id}`;
  }

  /** A token of the text as one sees it. @param {number} t @param {number} [limit] */
  seen(t, limit) {
    return visible(this.tokens[t].text, limit);
  }

  /** A token of the text as it is said: “e”, token 5. @param {number} t */
  said(t) {
    return `token ${t}, ${spoken(this.tokens[t].text)}`;
  }

  /** A cell in words: blocks.0.attention.weights[head 1, token 5 “e”, token 3 “ ”]. @param {Cell} cell */
  label({ name, index }) {
    if (name === "output.1") return name;
    const axes = this.axes(name);
    const parts = index.map((i, axis) =>
      axes[axis] === "token" || axes[axis] === "source"
        ? `${i} ${this.seen(i, 6)}`
        : axes[axis] === "vocabulary"
          ? `${i} ${visible(this.text(i), 6)}`
          : String(i),
    );
    return `${name}[${parts.join(", ")}]`;
  }

  /** What the axes of a value or parameter are. @param {string} name @returns {string[]} */
  axes(name) {
    const dims = this.numbers(name).shape.length;
    if (this.isParameter(name)) {
      if (name === "embedding.weight") return ["vocabulary", "channel"];
      if (name === "position_embedding.weight") return ["token", "channel"];
      return name === "head.weight"
        ? ["vocabulary", "channel"]
        : name === "head.bias"
          ? ["vocabulary"]
          : dims === 2
            ? ["output", "input"]
            : ["channel"];
    }
    if (name === "head.output") return ["token", "vocabulary"];
    if (/\.(scores|weights)$/.test(name)) return ["head", "token", "source"];
    return dims === 3 ? ["head", "token", "channel"] : ["token", "channel"];
  }
}

const MOVES = new Set(["reshape", "permute", "copy", "expand", "triu", "where", "mul_scalar"]);

/** The calls that do more than to move, mask or scale numbers. @param {Call[]} calls */
export const computing = (calls) => calls.filter((call) => !MOVES.has(call.primitive));

/** @param {Value} value @param {number[]} index */
export function at({ shape, array }, index) {
  return array[index.reduce((place, i, axis) => place * shape[axis] + i, 0)];
}
