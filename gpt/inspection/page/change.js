/**
 * Section 6: change something, and see what follows. Heads are switched off, vectors of the stream are replaced by
 * those of another text; the pass then runs again in the page, with these edits and nothing else changed.
 */

import { el, later, number, refill, signed, table, tokenMark, visible } from "./dom.js";
import { legend } from "./colour.js";
import { marked, onFollow } from "./follow.js";
import { forward, losses, withoutHead } from "./forward.js";
import { Strip } from "./strip.js";
import { stream } from "./structure.js";
import { bars, guesses, mean, topOf } from "./text.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {import("./forward.js").Value} Value */
/** @typedef {{place: string, to: number, from: number, text: string}} Patch */

/** @param {Subject} subject @param {HTMLElement} section */
export function showChange(subject, section) {
  if (subject.isLarge) section.append(...showStored(subject));
  else new Laboratory(subject, section);
}

class Laboratory {
  /** @param {Subject} subject @param {HTMLElement} section */
  constructor(subject, section) {
    this.subject = subject;
    /** @type {Set<string>} "layer head" of the heads that are off */
    this.off = new Set();
    /** @type {Patch[]} */
    this.patches = [];
    /** @type {Map<string, Map<string, Value>>} the passes over other texts */
    this.others = new Map();
    /** @type {Value} */
    this.logits = subject.value("head.output");
    /** The page's own, in float64: then what no edit reaches changes by 0, and not by the rounding of float32. */
    this.before = losses(this.logits, subject.ids.slice(1));
    this.after = this.before;
    this.summary = el("p", { class: "result", role: "status", id: "change-result" });
    this.list = el("ul", { class: "edits" });
    this.strip = new Strip(subject.tokens, "The text; colours show how much the loss of each token changed", (t) =>
      this.describe(t),
    );
    this.scale = el("div", {});
    this.compare = el("div", { class: "compare" });
    this.numbers = later("What changed, as a table", () => this.table());
    section.append(
      el("div", { class: "laboratory" }, this.heads(), this.patching()),
      this.list,
      el(
        "p",
        { class: "control" },
        el("button", { type: "button", id: "change-reset", onclick: () => this.reset() }, "Reset"),
      ),
      this.summary,
      el("div", { class: "figure-card" }, this.strip.element, this.scale),
      this.compare,
      this.numbers,
    );
    onFollow(() => this.showToken());
    this.show();
  }

  // --------------------------------------------------------------------------------------------------- what to change

  heads() {
    const { config } = this.subject;
    if (config.model !== "gpt") return el("p", { class: "note" }, "A bigram model has no heads to switch off.");
    this.boxes = [...Array(config.layers).keys()].map((layer) =>
      [...Array(config.heads).keys()].map((head) =>
        el("input", {
          type: "checkbox",
          checked: true,
          "data-layer": layer,
          "data-head": head,
          "aria-label": `block ${layer}, head ${head}`,
          onchange: () => this.toggle(layer, head),
        }),
      ),
    );
    const alone = (this.alone = this.boxes.map((row) => row.map(() => el("span", { class: "alone" }))));
    const body = this.boxes.map((row, layer) => [
      `block ${layer}`,
      ...row.map((box, head) => el("label", { class: "head-switch" }, box, alone[layer][head])),
    ]);
    return el(
      "section",
      { class: "bench" },
      el("h3", {}, "Heads"),
      el("p", {}, "A head that is off adds nothing: its attention weights are 0."),
      el(
        "div",
        { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Switches of the heads" },
        table("A tick: the head is on", ["", ...[...Array(config.heads).keys()].map((head) => `head ${head}`)], body, {
          class: "switches",
        }),
      ),
      el(
        "button",
        { type: "button", class: "plain", id: "change-each", onclick: () => this.each() },
        "Switch each off alone, and say what the mean loss does",
      ),
    );
  }

  /** @param {number} layer @param {number} head */
  toggle(layer, head) {
    const key = `${layer} ${head}`;
    if (!this.off.delete(key)) this.off.add(key);
    this.run();
  }

  /** The mean loss without each head alone; between two the browser may draw. */
  async each() {
    const { subject } = this;
    const plain = mean(this.before);
    for (let layer = 0; layer < subject.config.layers; layer++) {
      for (let head = 0; head < subject.config.heads; head++) {
        const values = forward(
          subject.model,
          subject.ids,
          new Map([[`blocks.${layer}.attention.weights`, [withoutHead(head)]]]),
        );
        const change = mean(losses(/** @type {Value} */ (values.get("head.output")), subject.ids.slice(1))) - plain;
        this.alone?.[layer][head].replaceChildren(signed(change, 3));
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
  }

  patching() {
    const { subject } = this;
    const typed = canType(subject),
      given = subject.data.patch?.tokens;
    const text = el("h3", {}, "Patch from another text");
    if (!typed && !given)
      return el(
        "section",
        { class: "bench" },
        text,
        el(
          "p",
          { class: "note" },
          "Give gpt.inspect a second text with --patch TEXT, and vectors of its pass can take the place of those here.",
        ),
      );
    this.other = el(
      "textarea",
      { id: "patch-text", rows: 2, spellcheck: "false", readonly: !typed },
      (given ?? subject.tokens).map((/** @type {any} */ token) => token.text).join(""),
    );
    this.place = el(
      "select",
      { id: "patch-place" },
      ...places(subject.config).map(({ name, title }) => el("option", { value: name }, title)),
    );
    this.to = el("input", { id: "patch-to", type: "number", min: 0, max: subject.T - 1, value: 0 });
    this.from = el("input", { id: "patch-from", type: "number", min: 0, value: 0 });
    this.error = el("p", { class: "error", role: "alert", id: "patch-error" });
    const start = (/** @type {number} */ t) => (this.to.value = this.from.value = String(t));
    onFollow((t, kept) => kept && start(t));
    const compare = () => {
      const t = firstDifference(subject.ids, tokenised(subject, this.other.value));
      if (t !== null) start(t); // before it the vectors of both texts are equal
    };
    compare();
    this.other.addEventListener("input", compare);
    const field = (/** @type {string} */ name, /** @type {HTMLElement} */ input) =>
      el("p", { class: "control" }, el("label", { for: input.id }, name), input);
    return el(
      "section",
      { class: "bench" },
      text,
      el(
        "p",
        {},
        "The vector of one token on the residual stream is replaced by one of the pass over this text. The rest of " +
          "the model goes on from there.",
      ),
      field(typed ? "Other text, of the characters of the vocabulary" : "Other text", this.other),
      field("Place of the stream, after", this.place),
      field("Token here", this.to),
      field("Token of the other text", this.from),
      el("button", { type: "button", id: "patch-add", onclick: () => this.patch() }, "Patch"),
      this.error,
    );
  }

  patch() {
    const { subject } = this;
    const say = (/** @type {string} */ text) => this.error?.replaceChildren(text);
    const found = tokenised(subject, this.other.value);
    if (typeof found === "string") return say(found);
    const to = this.to.valueAsNumber,
      from = this.from.valueAsNumber; // NaN where nothing is written
    if (!Number.isInteger(to) || to < 0 || to >= subject.T)
      return say(`Token here is a number from 0 to ${subject.T - 1}.`);
    if (!Number.isInteger(from) || from < 0 || from >= found.length)
      return say(`The other text has ${found.length} tokens, so its token is a number from 0 to ${found.length - 1}.`);
    say("");
    const key = found.join(" ");
    if (!this.others.has(key)) this.others.set(key, forward(subject.model, found));
    this.patches.push({ place: this.place.value, to, from, text: key });
    this.run();
  }

  reset() {
    this.off.clear();
    this.patches = [];
    for (const box of this.boxes?.flat() ?? []) box.checked = true;
    this.run();
  }

  // ----------------------------------------------------------------------------------------------------- what follows

  /** @returns {Map<string, import("./forward.js").Edit[]>} */
  edits() {
    const edits = new Map();
    const add = (/** @type {string} */ name, /** @type {import("./forward.js").Edit} */ edit) =>
      edits.set(name, [...(edits.get(name) ?? []), edit]);
    for (const key of this.off) {
      const [layer, head] = key.split(" ").map(Number);
      add(`blocks.${layer}.attention.weights`, withoutHead(head));
    }
    for (const { place, to, from, text } of this.patches) {
      const value = /** @type {Value} */ (this.others.get(text)?.get(place));
      const width = value.shape[1];
      const row = value.array.slice(from * width, (from + 1) * width);
      add(place, (x) => void x.array.set(row, to * width));
    }
    return edits;
  }

  /** Whether a patch puts a vector in the place of an equal one. @param {Patch} patch */
  isEqual({ place, to, from, text }) {
    const here = this.subject.value(place),
      other = /** @type {Value} */ (this.others.get(text)?.get(place));
    const width = here.shape[1];
    return here.array.subarray(to * width, (to + 1) * width).every((x, c) => x === other.array[from * width + c]);
  }

  run() {
    const values = forward(this.subject.model, this.subject.ids, this.edits());
    this.logits = /** @type {Value} */ (values.get("head.output"));
    this.after = losses(this.logits, this.subject.ids.slice(1));
    this.show();
  }

  /** @param {number} t @returns {string[]} */
  describe(t) {
    if (t === 0) return [this.subject.said(t), "the first: nothing predicts it"];
    return [
      this.subject.said(t),
      `loss ${number(this.before[t - 1], 4)} before, ${number(this.after[t - 1], 4)} now`,
      `change ${signed(this.after[t - 1] - this.before[t - 1], 3)}`,
    ];
  }

  show() {
    const { subject, before, after } = this;
    const changes = after.map((x, t) => x - before[t]);
    const isChanged = this.off.size > 0 || this.patches.length > 0;
    const range = Math.max(0.1, ...changes.map(Math.abs));
    this.strip.colour({ at: (t) => (t === 0 ? NaN : isChanged ? changes[t - 1] : 0), kind: "signed", range });
    this.scale.replaceChildren(legend("signed", range, "change of the loss in nats; blue: worse than before"));
    const titles = new Map(places(subject.config).map(({ name, title }) => [name, title]));
    this.list.replaceChildren(
      ...[...this.off].map((key) => el("li", {}, `head ${key.split(" ")[1]} of block ${key.split(" ")[0]} is off`)),
      ...this.patches.map(({ place, to, from }) =>
        el("li", {}, `after ${titles.get(place)}: token ${to} has the vector of token ${from} of the other text`),
      ),
    );
    if (before.length) {
      const [was, is] = [mean(before), mean(after)];
      this.summary.replaceChildren(
        "Mean loss ",
        el("b", { id: "loss-before" }, number(was, 6)),
        " before, ",
        el("b", { id: "loss-after" }, number(isChanged ? is : was, 6)),
        " now: ",
        !isChanged
          ? "nothing is changed."
          : this.off.size === 0 && this.patches.every((patch) => this.isEqual(patch))
            ? "nothing changes, because the vectors are equal."
            : `${signed(is - was, 4)} nats a token.`,
      );
    }
    refill(this.numbers);
    this.showToken();
  }

  table() {
    const { subject, before, after } = this;
    return table(
      "Loss of each token, before and now",
      ["token", "text", "before", "now", "change"],
      after.map((x, t) => [
        String(t + 1),
        tokenMark(subject.tokens[t + 1].text),
        number(before[t], 5),
        number(x, 5),
        signed(x - before[t], 3),
      ]),
    );
  }

  /** What the model expects after the followed token, before and now. */
  showToken() {
    const { subject } = this,
      t = marked();
    const came = t + 1 < subject.T ? subject.ids[t + 1] : null;
    this.compare.replaceChildren(
      el(
        "div",
        {},
        el("h4", {}, "Before"),
        bars(subject, guesses(subject, t), came, `Before: most probable after ${subject.said(t)}`),
      ),
      el(
        "div",
        {},
        el("h4", {}, "Now"),
        bars(subject, topOf(this.logits, t), came, `Now: most probable after ${subject.said(t)}`),
      ),
    );
  }
}

/**
 * Where vectors can be replaced: the stream before the first block, and after each. What is replaced there reaches all
 * that follows.
 * @param {import("./forward.js").Config} config @returns {{name: string, title: string}[]}
 */
function places(config) {
  return stream(config)
    .filter(({ name }) => !/feed_forward_norm/.test(name))
    .map(({ name }, i) => ({ name, title: i ? `block ${i - 1}` : "embedding" }));
}

/** Whether each token is a character, so that the page can cut a text into tokens. @param {Subject} subject */
function canType(subject) {
  return Array.isArray(subject.data.vocabulary) && subject.data.run.tokenizer === "chars";
}

/**
 * The first token in which two texts differ; null if there is none, or the other text is not valid.
 * @param {number[]} ids @param {number[] | string} other
 */
function firstDifference(ids, other) {
  if (typeof other === "string") return null;
  const t = ids.findIndex((id, t) => t < other.length && other[t] !== id);
  return t < 0 ? null : t;
}

/**
 * The ids of a text, or what is wrong with it.
 * @param {Subject} subject @param {string} text @returns {number[] | string}
 */
function tokenised(subject, text) {
  if (!canType(subject)) return subject.data.patch.tokens.map((/** @type {any} */ token) => token.id);
  const ids = new Map(
    subject.data.vocabulary.map((/** @type {string} */ each, /** @type {number} */ id) => [each, id]),
  );
  const characters = [...text];
  const unknown = characters.find((character) => !ids.has(character));
  if (unknown !== undefined)
    return `The model knows no ${visible(unknown)}: its vocabulary has ${ids.size} characters.`;
  if (!characters.length) return "The other text is empty.";
  if (characters.length > subject.config.context)
    return `The other text has ${characters.length} characters, and the context is ${subject.config.context}.`;
  return characters.map((character) => /** @type {number} */ (ids.get(character)));
}

/**
 * What the engine computed where the page cannot: the losses without each head.
 * @param {Subject} subject @returns {Node[]}
 */
function showStored(subject) {
  const { ablations, loss } = subject.data;
  const note = el(
    "p",
    { class: "note" },
    "The weights are too large for a page, so nothing can be computed anew here. What the engine computed when the " +
      "page was made:",
  );
  if (!ablations?.length) return [note, el("p", { class: "note" }, "Nothing: it would have taken too long.")];
  const plain = loss.slice(0, -1);
  const strip = new Strip(subject.tokens, "The text; colours show how much the loss of each token changed", (t) => [
    subject.said(t),
  ]);
  const scale = el("div", {});
  const show = (/** @type {any} */ row) => {
    const changes = row.loss.slice(0, -1).map((/** @type {number} */ x, /** @type {number} */ t) => x - plain[t]);
    const range = Math.max(0.1, ...changes.map(Math.abs));
    strip.describe = (t) => [subject.said(t), t ? `change ${signed(changes[t - 1], 3)}` : "the first"];
    strip.colour({ at: (t) => (t ? changes[t - 1] : NaN), kind: "signed", range });
    scale.replaceChildren(
      legend("signed", range, `change of the loss in nats without head ${row.head} of block ${row.layer}`),
    );
  };
  const rows = ablations.map((/** @type {any} */ row) => [
    `block ${row.layer}, head ${row.head}`,
    signed(mean(row.loss.slice(0, -1)) - mean(plain), 4),
    el("button", { type: "button", class: "plain", onclick: () => show(row) }, "Show"),
  ]);
  show(ablations[0]);
  return [
    note,
    el("div", { class: "figure-card" }, strip.element, scale),
    el(
      "div",
      { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Losses without each head" },
      table("Mean loss without each head, less the mean loss with all", ["without", "change", "by token"], rows),
    ),
  ];
}
