/**
 * The text as tokens, each with a colour. One may be chosen with the pointer or the arrow keys; it is then followed
 * everywhere. For a screen reader it is a list of options with one tab stop.
 */

import { clamp, el, visible } from "./dom.js";
import { paint, themed } from "./colour.js";
import { follow, glance, onFollow, tip } from "./follow.js";

/**
 * @typedef {object} Shade
 * @property {(token: number) => number} at
 * @property {"signed" | "weight"} kind
 * @property {number} range
 */

export class Strip {
  /**
   * @param {{text: string}[]} tokens @param {string} label what the colours show
   * @param {(token: number) => string[]} describe a token in words: the lines beside the pointer
   */
  constructor(tokens, label, describe) {
    this.describe = describe;
    this.tokens = tokens;
    /** @type {Shade | null} */
    this.shade = null;
    this.boxes = tokens.map((token, t) =>
      el(
        "span",
        { role: "option", class: /\n$/.test(token.text) ? "token ends-line" : "token", tabindex: -1 },
        el("bdi", {}, visible(token.text)),
      ),
    );
    /** @type {HTMLElement} */
    this.element = el(
      "div",
      { class: "strip", role: "listbox", "aria-label": label, "aria-orientation": "horizontal" },
      ...this.boxes,
    );
    this.boxes.forEach((box, t) => {
      box.addEventListener("click", () => follow(t));
      box.addEventListener("pointerenter", (/** @type {PointerEvent} */ event) => {
        glance(t);
        tip(describe(t), event);
      });
      box.addEventListener("focus", () => {
        if (box.matches(":focus-visible")) tip(describe(t), box);
      });
      box.addEventListener("blur", () => tip(null));
    });
    this.element.addEventListener("pointerleave", () => {
      glance(null);
      tip(null);
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.now = 0;
    onFollow((t, kept) => this.mark(t, kept));
    themed.add(() => this.colour());
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const far = { Home: -this.tokens.length, End: this.tokens.length, PageUp: -10, PageDown: 10 };
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1, ...far }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = clamp(this.now + step, 0, this.tokens.length - 1);
    follow(next);
    this.boxes[next].focus();
  }

  /** @param {number} token @param {boolean} kept */
  mark(token, kept) {
    const [old, box] = [this.boxes[this.marked ?? 0], this.boxes[token]];
    old.classList.remove("marked");
    box?.classList.add("marked");
    this.marked = token;
    if (!kept || !box) return;
    const before = this.boxes[this.now];
    before.tabIndex = -1;
    before.setAttribute("aria-selected", "false");
    box.tabIndex = 0;
    box.setAttribute("aria-selected", "true");
    this.now = token;
  }

  /**
   * Colour the tokens anew, and unless a pointer only passes say each number to a screen reader.
   * @param {Shade | null} [shade] @param {boolean} [kept]
   */
  colour(shade = this.shade, kept = true) {
    this.shade = shade;
    this.boxes.forEach((box, t) => {
      if (kept) box.setAttribute("aria-label", this.describe(t).join(", "));
      if (!shade || !Number.isFinite(shade.at(t))) box.style.background = box.style.color = "";
      else paint(box, shade.at(t), shade.kind, shade.range);
    });
  }
}
