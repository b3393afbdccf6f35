/** Errors, told plainly: what happened, in which file and line, and the way to that line. */

import { el } from "./dom.js";

/** @typedef {import("./engine.js").Failed} Failed @typedef {import("./engine.js").Place} Place */

/** Whatever was thrown, as the worker tells it. @param {any} error @returns {Failed} */
export function failedOf(error) {
  if (error && typeof error === "object" && "lines" in error) return error;
  return { kind: "", message: String(error?.message ?? error), place: null, lines: [] };
}

/** In one sentence. @param {Failed} failed */
export function sentence({ kind, message, place }) {
  const what = kind ? `${kind}: ${message || "no message"}` : message;
  return place?.file ? `${what} (${place.file}${place.line ? `, line ${place.line}` : ""})` : what;
}

/**
 * @param {Failed} failed @param {(file: string, line: number | null) => boolean} open shows a line of a file; false if
 * the editor has no such file
 */
export function problem(failed, open) {
  const { kind, message, place, lines } = failed;
  const where = (/** @type {Place} */ { file, line }) => `${file}${line ? `, line ${line}` : ""}`;
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("p", { class: "what" }, kind ? `${kind}: ${message || "no message"}` : capital(message)),
    place?.file &&
      el(
        "p",
        {},
        "in ",
        link(where(place), () => open(place.file, place.line)),
      ),
    place?.text && el("pre", {}, place.text),
    lines.length > 1 &&
      el(
        "details",
        {},
        el("summary", {}, "How it came there"),
        el("pre", {}, lines.map((each) => `${where(each)}, in ${each.name}\n    ${each.text ?? ""}`).join("\n")),
      ),
  );
}

/** @param {string} text @param {() => void} press */
function link(text, press) {
  return el("button", { type: "button", class: "link", onclick: press }, text);
}

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
