/** Section 8: how the page was made, and how it checks itself against the engine. */

import { el, later, number, table, whole } from "./dom.js";

/** @typedef {import("./subject.js").Subject} Subject */

/** @param {Subject} subject @param {HTMLElement} section */
export function showAbout(subject, section) {
  const { data } = subject;
  section.append(
    ...selfCheck(subject),
    el("h3", {}, "How it was made"),
    el("pre", { class: "command", tabindex: 0, "aria-label": "The command" }, data.made.command),
    el(
      "p",
      {},
      `tinytensor ${data.made.tinytensor} ran the model forward and back over the text, with tinytensor.trace ` +
        "around it, and wrote down every gradient, every call and the lines that made it. " +
        (subject.isLarge
          ? ""
          : "The values are computed again in this page from the weights, in float64, by forward.js. ") +
        "Nothing here came over a network.",
    ),
    el("p", {}, "The weights are ", el("bdi", {}, data.run.weights), "."),
    data.notes?.length ? el("ul", {}, ...data.notes.map((/** @type {string} */ note) => el("li", {}, note))) : "",
    later("The configuration of the model", () =>
      table(
        "Configuration",
        ["option", "value"],
        Object.entries(data.run.config).map(([name, value]) => [name, String(value)]),
      ),
    ),
    later("All calls of primitives, in order", () =>
      table(
        "Calls",
        ["", "primitive", "formula", "module", "line", "error of its derivative"],
        data.calls.map((/** @type {any} */ call, /** @type {number} */ i) => [
          String(i),
          call.primitive,
          call.formula,
          call.module,
          `${call.lines.at(-1)?.[0]}:${call.lines.at(-1)?.[1]}`,
          call.check ? `${number(call.check.error, 2)} ${call.check.ok ? "" : "TOO LARGE"}` : "not checked",
        ]),
      ),
    ),
  );
}

/** @param {Subject} subject @returns {Node[]} */
function selfCheck(subject) {
  const checks = subject.data.calls.filter((/** @type {any} */ call) => call.check);
  const bad = checks.filter((/** @type {any} */ call) => !call.check.ok);
  const elements = checks.reduce((/** @type {number} */ sum, /** @type {any} */ call) => sum + call.check.elements, 0);
  const items = [];
  if (!subject.isLarge) {
    const difference = largestDifference(subject);
    const largest = Math.max(1, ...subject.value("head.output").array.map(Math.abs));
    const ok = difference <= 1e-5 * largest; // float32 has 7 digits
    items.push(
      el(
        "li",
        { class: ok ? "ok" : "bad", id: "self-check", "data-difference": String(difference) },
        `${ok ? "agrees" : "DISAGREES"}: the largest difference between ` +
          `${whole(subject.value("head.output").array.length)} logits of this page, in float64, and those of the ` +
          `engine, in float32, is ${number(difference, 3)}`,
      ),
    );
  }
  items.push(
    el(
      "li",
      { class: bad.length ? "bad" : "ok" },
      checks.length
        ? `${bad.length ? "DISAGREES" : "agrees"}: ${checks.length - bad.length} of ${checks.length} calls have ` +
            `derivatives that agree with central differences, ${whole(elements)} numbers`
        : "no derivative was checked",
    ),
  );
  return [el("h3", {}, "The page checks itself"), el("ul", { class: "checks" }, ...items)];
}

/** Between the logits that the page computes and those of the engine. @param {Subject} subject */
export function largestDifference(subject) {
  const mine = subject.value("head.output").array,
    engines = /** @type {import("./forward.js").Value} */ (subject.logits).array;
  let worst = mine.length === engines.length ? 0 : Infinity;
  for (let i = 0; i < mine.length; i++) {
    const apart = Math.abs(mine[i] - engines[i]);
    worst = Math.max(worst, Number.isNaN(apart) ? Infinity : apart);
  }
  return worst;
}
