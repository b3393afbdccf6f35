/**
 * Colours of numbers: one scale for signed ones, orange below zero and blue above; one for those that are not, in
 * green. Orange and blue differ for every kind of colour blindness, and in lightness from the ground.
 */

import { clamp, el, number } from "./dom.js";

/** @typedef {[number, number, number]} Colour */

/** @type {Record<string, Record<string, Colour[]>>} from one end of the scale to the other */
const SCALES = {
  light: {
    signed: [
      [124, 45, 5],
      [214, 106, 26],
      [247, 201, 154],
      [250, 249, 246],
      [166, 200, 240],
      [45, 108, 200],
      [12, 47, 110],
    ],
    weight: [
      [247, 246, 242],
      [190, 226, 212],
      [98, 178, 158],
      [25, 118, 107],
      [5, 66, 66],
    ],
  },
  dark: {
    signed: [
      [255, 205, 150],
      [236, 138, 60],
      [138, 70, 22],
      [28, 29, 33],
      [28, 72, 142],
      [84, 148, 240],
      [186, 218, 255],
    ],
    weight: [
      [28, 29, 33],
      [19, 74, 70],
      [28, 128, 114],
      [92, 196, 168],
      [208, 250, 228],
    ],
  },
};

/** @type {Map<string, Uint8ClampedArray>} 256 colours for a theme and a scale */
const tables = new Map();

/** @param {string} kind "signed" or "weight" @returns {Uint8ClampedArray} 256 · 3 numbers */
export function colours(kind) {
  const theme = currentTheme();
  const key = `${theme} ${kind}`;
  const made = tables.get(key);
  if (made) return made;
  const stops = SCALES[theme][kind];
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c++)
      table[3 * i + c] = stops[left][c] + (place - left) * (stops[left + 1][c] - stops[left][c]);
  }
  tables.set(key, table);
  return table;
}

/**
 * Where a number stands on its scale, 0 to 255; −1 if it is no number, as a masked score.
 * @param {number} x @param {string} kind @param {number} range
 */
export function level(x, kind, range) {
  if (!Number.isFinite(x)) return -1;
  const share = range > 0 ? clamp(x / range, -1, 1) : 0;
  return Math.round(kind === "signed" ? 127.5 + 127.5 * share : 255 * Math.max(share, 0));
}

/** @param {number} x @param {string} kind @param {number} range @returns {Colour} */
export function colourOf(x, kind, range) {
  const at = level(x, kind, range);
  const table = colours(kind);
  return at < 0 ? BLANK[currentTheme()] : [table[3 * at], table[3 * at + 1], table[3 * at + 2]];
}

/** @type {Record<string, Colour>} the colour of what is no number */
export const BLANK = { light: [236, 235, 230], dark: [42, 43, 48] };

/** @param {Colour} colour */
export const css = ([r, g, b]) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;

/**
 * Black or white, whichever is easier to read there: one of them always has a contrast above 4.5.
 * @param {Colour} colour
 */
export function inkOn(colour) {
  const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** Paint an element. @param {HTMLElement} element @param {number} x @param {string} kind @param {number} range */
export function paint(element, x, kind, range) {
  const colour = colourOf(x, kind, range);
  element.style.background = css(colour);
  element.style.color = inkOn(colour);
}

/**
 * The legend of a scale: a bar with the numbers at its ends.
 * @param {string} kind @param {number} range @param {string} unit @param {string[]} [ends] other texts for the ends
 */
export function legend(kind, range, unit, ends = [kind === "signed" ? number(-range, 3) : "0", number(range, 3)]) {
  return el(
    "p",
    { class: "legend" },
    el("span", { class: "legend-end" }, ends[0]),
    el("span", { class: `legend-bar ${kind}`, "aria-hidden": "true" }),
    el("span", { class: "legend-end" }, ends[1]),
    el("span", { class: "legend-unit" }, unit),
  );
}

/**
 * The end of a scale: the largest magnitude, or, where few numbers are far out, what 99.5% of them stay below.
 * @param {ArrayLike<number>} array
 */
export function rangeOf(array) {
  const step = Math.max(1, Math.floor(array.length / 20000)); // a sample is enough
  const sizes = [];
  let top = 0;
  for (let i = 0; i < array.length; i++) {
    const size = Math.abs(array[i]);
    if (!Number.isFinite(size)) continue;
    if (size > top) top = size;
    if (i % step === 0) sizes.push(size);
  }
  sizes.sort((a, b) => a - b);
  const most = sizes[Math.floor(0.995 * (sizes.length - 1))] ?? 0;
  return most > 0 && top > 2 * most ? most : top;
}

// ----------------------------------------------------------------------------------------------------- light and dark

/** @type {Set<() => void>} what has to be drawn again when the theme changes */
export const themed = new Set();
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export function currentTheme() {
  return document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light");
}

/** The button: automatic, light, dark. @param {HTMLElement} button */
export function themeSwitch(button) {
  const say = () => {
    button.textContent = currentTheme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Show the page ${currentTheme() === "dark" ? "light" : "dark"}`);
    for (const draw of themed) draw();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = currentTheme() === "dark" ? "light" : "dark";
    say();
  });
  prefersDark.addEventListener("change", say);
  say();
}
