/** Section 2: who looks at whom: a map of weights for every head of every block. */

import { el, later, number, table, tokenMark } from "./dom.js";
import { legend } from "./colour.js";
import { marked, onFollow } from "./follow.js";
import { HeatMap } from "./heatmap.js";
import { Strip } from "./strip.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {import("./subject.js").Cell} Cell */

/** @param {Subject} subject @param {HTMLElement} section @param {(cell: Cell) => void} open */
export function showAttention(subject, section, open) {
  const { T, config } = subject;
  const chosen = { layer: 0, head: /** @type {number | null} */ (null) };
  const weight = (
    /** @type {number} */ layer,
    /** @type {number} */ h,
    /** @type {number} */ t,
    /** @type {number} */ s,
  ) => subject.value(`blocks.${layer}.attention.weights`).array[(h * T + t) * T + s];
  const looked = (/** @type {number} */ s) => {
    const t = marked();
    if (s > t) return NaN;
    if (chosen.head !== null) return weight(chosen.layer, chosen.head, t, s);
    let sum = 0;
    for (let h = 0; h < config.heads; h++) sum += weight(chosen.layer, h, t, s) / config.heads;
    return sum;
  };
  const strip = new Strip(subject.tokens, "The text; colours show what the followed token looks at", (s) => [
    subject.said(s),
    s > marked() ? "later than the token that looks" : `weight ${number(looked(s), 3)}`,
  ]);
  const says = el("p", { class: "after-line" });
  const show = (kept = true) => {
    const who =
      chosen.head === null
        ? `block ${chosen.layer}, all heads on average`
        : `block ${chosen.layer}, head ${chosen.head}`;
    says.replaceChildren("What ", tokenMark(subject.tokens[marked()].text), ` (token ${marked()}) looks at in ${who}`);
    strip.colour({ at: looked, kind: "weight", range: 1 }, kept);
  };
  const maps = [...Array(config.layers).keys()].map((layer) => blockOfMaps(subject, layer, weight, chosen, show, open));
  section.append(
    el(
      "div",
      { class: "figure-card sticky" },
      el("div", { class: "sticky-line" }, says, choice(subject, chosen, show)),
      strip.element,
    ),
    legend("weight", 1, "weight; each row of a map sums to 1"),
    ...maps.flatMap((each) => each.elements),
  );
  onFollow((t, kept) => {
    show(kept);
    for (const { grids } of maps) for (const grid of grids) grid.mark(t);
  });
}

/**
 * Which block and head the strip shows.
 * @param {Subject} subject @param {{layer: number, head: number | null}} chosen @param {() => void} show
 */
function choice(subject, chosen, show) {
  const options = [...Array(subject.config.layers).keys()].flatMap((layer) => [
    el("option", { value: `${layer} ` }, `block ${layer}, all heads`),
    ...[...Array(subject.config.heads).keys()].map((head) =>
      el("option", { value: `${layer} ${head}` }, `block ${layer}, head ${head}`),
    ),
  ]);
  const select = el(
    "select",
    {
      id: "attention-choice",
      onchange: () => {
        const [layer, head] = select.value.split(" ");
        Object.assign(chosen, { layer: Number(layer), head: head === "" ? null : Number(head) });
        show();
      },
    },
    ...options,
  );
  return el("p", { class: "control" }, el("label", { for: "attention-choice" }, "Show"), select);
}

/**
 * The maps of one block.
 * @param {Subject} subject @param {number} layer
 * @param {(layer: number, head: number, t: number, s: number) => number} weight
 * @param {{layer: number, head: number | null}} chosen @param {() => void} show @param {(cell: Cell) => void} open
 */
function blockOfMaps(subject, layer, weight, chosen, show, open) {
  const { T, config } = subject;
  /** @type {HeatMap[]} */
  const grids = [];
  const cards = [...Array(config.heads).keys()].map((head) => {
    const name = `blocks.${layer}.attention.weights`;
    const grid = new HeatMap({
      label: `Attention weights of block ${layer}, head ${head}: rows look at columns`,
      rows: T,
      columns: T,
      kind: "weight",
      range: 1,
      width: 1,
      height: 1,
      fills: "square",
      tokens: "row",
      at: (t, s) => (s > t ? NaN : weight(layer, head, t, s)),
      describe: (t, s) => [
        `${subject.seen(t, 8)} (${t}) looks at ${subject.seen(s, 8)} (${s})`,
        s > t ? "masked: the future" : `weight ${number(weight(layer, head, t, s), 3)}`,
      ],
      open: (t, s) => open({ name, index: [head, t, s] }),
    });
    grids.push(grid);
    const card = el("figure", { class: "map" }, el("figcaption", {}, `head ${head}`), grid.element);
    const choose = () => {
      Object.assign(chosen, { layer, head });
      const select = /** @type {HTMLSelectElement} */ (document.getElementById("attention-choice"));
      select.value = `${layer} ${head}`;
      show();
    };
    card.addEventListener("pointerenter", choose);
    card.addEventListener("focusin", choose);
    return card;
  });
  const words = later(`Block ${layer} as a table`, () =>
    table(
      `Where each token looks most, in block ${layer}`,
      ["token", "text", ...cards.map((_, h) => `head ${h}`)],
      subject.tokens.map((token, t) => [
        String(t),
        tokenMark(token.text),
        ...cards.map((_, h) => mostLooked(subject, layer, h, t, weight)),
      ]),
    ),
  );
  return { grids, elements: [el("h3", {}, `Block ${layer}`), el("div", { class: "maps" }, ...cards), words] };
}

/**
 * @param {Subject} subject @param {number} layer @param {number} h @param {number} t
 * @param {(layer: number, head: number, t: number, s: number) => number} weight
 */
function mostLooked(subject, layer, h, t, weight) {
  let best = 0;
  for (let s = 1; s <= t; s++) if (weight(layer, h, t, s) > weight(layer, h, t, best)) best = s;
  return `${subject.seen(best, 8)} (${best}) ${number(weight(layer, h, t, best), 2)}`;
}
