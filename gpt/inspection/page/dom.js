/**
 * Elements, numbers and tokens as text. All text goes in as text: nothing in this page is ever parsed as HTML.
 */

/**
 * An element with attributes and children. Functions become listeners: {onclick: …}.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] "class", "aria-label", …; undefined and false leave one out
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || value === null) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [property, to] of Object.entries(value)) element.style.setProperty(property, String(to));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * The same for SVG.
 * @param {string} tag @param {Record<string, any>} attributes @param {...(Node | string)} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Four significant digits, and a true minus sign. @param {number | null | undefined} x @param {number} [digits] */
export function number(x, digits = 4) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? x.toExponential(digits - 1) : x.toPrecision(digits);
  return text.replace(/-/g, "−");
}

/** A probability as a percentage. @param {number} p */
export function percent(p) {
  return p >= 0.9995
    ? "100%"
    : p >= 0.1
      ? `${(100 * p).toFixed(0)}%`
      : p >= 0.001
        ? `${(100 * p).toFixed(1)}%`
        : "<0.1%";
}

/** A number with its sign. @param {number} x @param {number} [digits] */
export function signed(x, digits = 3) {
  return x > 0 ? `+${number(x, digits)}` : number(x, digits);
}

/** @param {number} n */
export function whole(n) {
  return n.toLocaleString("en");
}

// What has no shape of its own, or changes the order of what follows, is shown by a sign or by its code.
const SIGNS = new Map([
  [" ", "␣"],
  ["\n", "↵"],
  ["\r", "␍"],
  ["\t", "⇥"],
  ["\u00a0", "⍽"],
]);
const NAMES = new Map([
  [" ", "space"],
  ["\n", "line break"],
  ["\t", "tab"],
  ["\r", "carriage return"],
]);
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u3164\ufe00-\ufe0f]/u;

/** @param {string} character */
export function sign(character) {
  const known = SIGNS.get(character);
  if (known) return known;
  const code = /** @type {number} */ (character.codePointAt(0));
  if (code < 32) return String.fromCodePoint(0x2400 + code); // the control pictures
  if (INVISIBLE.test(character)) return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  return character;
}

/**
 * A token as one sees it, on one line and not longer than `limit` characters.
 * @param {string} text @param {number} [limit]
 */
export function visible(text, limit = 16) {
  const characters = [...text];
  const cut = characters.length > limit ? [...characters.slice(0, limit - 1), "…"] : characters;
  const seen = cut.map(sign).join("");
  return /^\p{M}/u.test(seen) ? `◌${seen}` : seen || "∅"; // a mark needs something to stand on
}

/** A token as a screen reader says it. @param {string} text */
export function spoken(text) {
  return NAMES.get(text) ?? `“${visible(text, 40)}”`;
}

/**
 * A token in a line of text; isolated, so that right-to-left letters turn nothing around them.
 * @param {string} text @param {number} [limit]
 */
export function tokenMark(text, limit) {
  return el("bdi", { class: "token-mark", title: NAMES.get(text) }, visible(text, limit));
}

/**
 * A table of text and nodes. @param {string} caption @param {string[]} head @param {(Node | string)[][]} body
 * @param {{class?: string, rowHeads?: boolean}} [options]
 */
export function table(caption, head, body, options = {}) {
  const row = (/** @type {(Node | string)[]} */ cells) =>
    el(
      "tr",
      {},
      ...cells.map((cell, i) =>
        i === 0 && options.rowHeads !== false ? el("th", { scope: "row" }, cell) : el("td", {}, cell),
      ),
    );
  return el(
    "table",
    { class: options.class },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((cell) => el("th", { scope: "col" }, cell)))),
    el("tbody", {}, ...body.map(row)),
  );
}

/**
 * What stands behind a summary is made when it is first opened: tables of numbers are long.
 * @param {string} summary @param {() => Node} make
 */
export function later(summary, make) {
  const details = el("details", { class: "later" }, el("summary", {}, summary));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1)
      details.append(el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": summary }, make()));
  });
  details.addEventListener("refill", () => details.open && details.lastElementChild.replaceChildren(make()));
  details.addEventListener("refill", () => details.open || details.querySelector(".scrolls")?.remove());
  return details;
}

/**
 * Make what stands behind a summary anew, for other numbers: now if it is open, else when it is opened.
 * @param {Element} details
 */
export const refill = (details) => details.dispatchEvent(new Event("refill"));

/** Call f when the browser has drawn, once, however often it was asked to. @param {() => void} f */
export function oncePerFrame(f) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      f();
    });
  };
}

/** @param {number} x @param {number} low @param {number} high */
export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** Places of an array's largest numbers, the largest first. @param {ArrayLike<number>} array @param {number} count */
export function largest(array, count) {
  return Array.from(array, (_, i) => i)
    .sort((i, j) => array[j] - array[i])
    .slice(0, count);
}

/**
 * The numbers of a list that are there: the loss of a last token is not.
 * @param {(number | null)[]} list @returns {number[]}
 */
export const onlyFinite = (list) => /** @type {number[]} */ (list.filter((x) => x !== null && Number.isFinite(x)));
