/** A training as a film: at some forty of its steps, what the model does with one text, and what the step did. */

import { clamp, el, later, number, oncePerFrame, percent, svg, table, tokenMark, visible, whole } from "./dom.js";
import { legend } from "./colour.js";
import { HeatMap } from "./heatmap.js";

/** @typedef {import("./subject.js").Subject} Subject */

const CHART = { height: 240, left: 44, right: 22, top: 12, bottom: 26 };
const CLOUD = 440; // pixels
const PAUSES = { moves: 180, calm: 1000 }; // ms between two moments; calm for who asked the system for less motion

/** What the page has of a film, and the moment that is shown. gpt/inspection/film.py says what the arrays are. */
export class Film {
  /** @param {Subject} subject */
  constructor(subject) {
    this.about = subject.data.film;
    this.content = subject.content;
    this.steps = /** @type {number[]} */ (this.about.steps);
    this.texts = /** @type {string[]} */ (this.about.tokens.map((/** @type {number} */ id) => this.text(id)));
    this.T = this.texts.length;
    [, this.layers, this.heads] = this.array("attention").shape;
    [, this.stages] = this.array("lens_target").shape;
    this.moment = this.steps.length - 1;
    this.layer = 0;
    /** @type {Set<() => void>} */
    this.watchers = new Set();
  }

  /** @param {string} name @returns {import("./forward.js").Value} */
  array(name) {
    return /** @type {import("./forward.js").Value} */ (this.content.array(`film:${name}`));
  }

  /** @param {number} id @returns {string} */
  text(id) {
    return this.about.vocabulary[id] ?? "";
  }

  /** Show a moment, or another block. @param {{moment?: number, layer?: number}} to */
  show(to) {
    Object.assign(this, to);
    for (const draw of this.watchers) draw();
  }

  /** How much token t looks at s now. @param {number} head @param {number} t @param {number} s */
  weight(head, t, s) {
    if (s > t) return NaN;
    const size = (this.T * (this.T + 1)) / 2; // the lower triangle, row by row
    return (
      this.array("attention").array[
        ((this.moment * this.layers + this.layer) * this.heads + head) * size + (t * (t + 1)) / 2 + s
      ] / 255
    );
  }

  /**
   * ln p of the token after t at a stage of the lens now; NaN for the last one.
   * @param {number} stage @param {number} t
   */
  target(stage, t) {
    return t + 1 < this.T
      ? this.array("lens_target").array[(this.moment * this.stages + stage) * (this.T - 1) + t]
      : NaN;
  }

  /** The likeliest next tokens. @param {number} stage @param {number} t @returns {{text: string, p: number}[]} */
  top(stage, t) {
    const { shape, array } = this.array("lens_top");
    const count = shape[3],
      start = ((this.moment * this.stages + stage) * this.T + t) * count;
    const p = this.array("lens_top_log_probability").array;
    return Array.from({ length: count }, (_, k) => ({ text: this.text(array[start + k]), p: Math.exp(p[start + k]) }));
  }

  /** The mean loss of the text at a moment, in nats. @param {number} moment */
  loss(moment) {
    const { array } = this.array("loss");
    let sum = 0;
    for (let t = 0; t < this.T - 1; t++) sum += array[moment * (this.T - 1) + t];
    return sum / (this.T - 1);
  }

  /** @param {number} stage */
  stage(stage) {
    return stage === 0 ? "embedding" : `block ${stage - 1}`;
  }
}

/** @param {Subject} subject @param {HTMLElement} section */
export function showFilm(subject, section) {
  const film = new Film(subject);
  const draws = [controls(film), lossesOf(film), attentionOf(film), lensOf(film), cloud(film), ...changes(film)];
  section.append(
    el(
      "p",
      {},
      `gpt.train --record kept ${film.steps.length} moments of the training, evenly spaced by the logarithm of the ` +
        `step. This is what the model did with one text of ${film.T} tokens at each of them: `,
      ...film.texts.slice(0, 80).flatMap((text) => [tokenMark(text), el("wbr")]),
    ),
    ...draws.flatMap((each) => each.elements),
  );
  for (const { draw } of draws) film.watchers.add(draw);
  film.show({});
}

/** @typedef {{elements: Node[], draw: () => void}} Part */

/** The slider and the button. @param {Film} film @returns {Part} */
function controls(film) {
  const last = film.steps.length - 1;
  const slider = el("input", {
    type: "range",
    id: "film-moment",
    min: 0,
    max: last,
    step: 1,
    oninput: () => film.show({ moment: Number(slider.value) }),
  });
  const said = el("output", { for: "film-moment", class: "film-step" });
  const playing = { timer: 0 };
  const stop = () => {
    clearInterval(playing.timer);
    playing.timer = 0;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
  };
  const next = () => (film.moment < last && !document.hidden ? film.show({ moment: film.moment + 1 }) : stop());
  const button = el(
    "button",
    {
      type: "button",
      id: "film-play",
      "aria-pressed": "false",
      onclick: () => {
        if (playing.timer) return stop();
        if (film.moment === last) film.show({ moment: 0 });
        playing.timer = setInterval(
          next,
          matchMedia("(prefers-reduced-motion: reduce)").matches ? PAUSES.calm : PAUSES.moves,
        );
        button.textContent = "Pause";
        button.setAttribute("aria-pressed", "true");
      },
    },
    "Play",
  );
  slider.addEventListener("pointerdown", stop);
  slider.addEventListener("keydown", stop);
  const draw = () => {
    const { moment } = film;
    const step = `step ${whole(film.steps[moment])}`;
    slider.value = String(moment);
    slider.setAttribute("aria-valuetext", `${step}, loss of the text ${number(film.loss(moment), 3)}`);
    const facts = [
      ["training loss", film.about.train_loss[moment]],
      ["validation loss", film.about.validation_loss[moment]],
      ["learning rate", film.about.learning_rate[moment]],
      ["norm of the gradient", film.about.grad_norm[moment]],
    ];
    said.textContent = [
      step,
      `loss of the text ${number(film.loss(moment), 3)}`,
      ...facts.filter(([, x]) => x !== null).map(([name, x]) => `${name} ${number(x, 3)}`),
    ].join(" · ");
  };
  return {
    elements: [
      el(
        "div",
        { class: "figure-card sticky film-controls" },
        el("p", { class: "control" }, button, el("label", { for: "film-moment" }, "Moment"), slider),
        said,
      ),
    ],
    draw,
  };
}

/**
 * Numbers between two others for an axis: 1, 2 or 5 times a power of ten apart.
 * @param {number} low @param {number} high
 */
function roundNumbers(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((each) => each * power >= rough) ?? 10);
  const first = Math.ceil(low / step),
    count = Math.floor(high / step + 1e-9) - first + 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: count }, (_, i) => ({
    at: (first + i) * step,
    text: ((first + i) * step).toFixed(digits),
  }));
}

/** Powers of ten, and the last step. @param {number} last */
const roundSteps = (last) => [
  ...new Set([0, ...Array.from({ length: 8 }, (_, i) => 10 ** i).filter((step) => step <= last), last]),
];

/** The losses over the steps, drawn anew for each width. @param {Film} film @returns {Part} */
function lossesOf(film) {
  const { height, left, right, top, bottom } = CHART;
  const own = film.steps.map((step, m) => [step, film.loss(m)]);
  const training = film.steps.map((step, m) => [step, film.about.train_loss[m]]).filter(([, x]) => x !== null);
  const lastStep = film.steps[film.steps.length - 1];
  const evaluated = film.about.evaluations.filter((/** @type {number[]} */ each) => each[0] <= lastStep);
  const values = [...own, ...training, ...evaluated].map((each) => each[1]);
  const low = Math.min(...values),
    high = Math.max(...values, low + 1e-6);
  const holder = el("div", { class: "chart film-chart" });
  const cursor = svg("line", { class: "film-cursor", y1: top, y2: height - bottom });
  const y = (/** @type {number} */ x) => top + ((high - x) / (high - low)) * (height - top - bottom);
  const room = () => (holder.clientWidth || 560) - left - right;
  const x = (/** @type {number} */ step) => left + (Math.log1p(step) / Math.log1p(Math.max(lastStep, 1))) * room();
  const line = (/** @type {number[][]} */ points, /** @type {string} */ name) =>
    svg("polyline", { class: name, points: points.map(([step, loss]) => `${x(step)},${y(loss)}`).join(" ") });
  const draw = () => {
    cursor.setAttribute("x1", String(x(film.steps[film.moment])));
    cursor.setAttribute("x2", String(x(film.steps[film.moment])));
  };
  const paint = () => {
    const width = room() + left + right;
    // The last one has its room.
    const apart = (/** @type {number} */ step) => step === lastStep || x(lastStep) - x(step) > 56;
    holder.replaceChildren(
      svg(
        "svg",
        {
          width,
          height,
          role: "img",
          "aria-label":
            `Losses from step 0 to ${whole(lastStep)}: the text from ${number(own[0][1], 3)} to ` +
            `${number(own[own.length - 1][1], 3)} nats`,
        },
        ...roundNumbers(low, high).flatMap(({ at, text }) => [
          svg("line", { class: "rule", x1: left, x2: width - right, y1: y(at), y2: y(at) }),
          svg("text", { class: "tick", x: left - 6, y: y(at) + 4, "text-anchor": "end" }, text),
        ]),
        ...roundSteps(lastStep)
          .filter(apart)
          .map((step) =>
            svg("text", { class: "tick", x: x(step), y: height - 8, "text-anchor": "middle" }, whole(step)),
          ),
        cursor,
        line(training, "film-line training"),
        line(own, "film-line own"),
        ...evaluated.map(([step, loss]) => svg("circle", { class: "film-dot", cx: x(step), cy: y(loss), r: 3 })),
      ),
    );
    draw();
  };
  new ResizeObserver(oncePerFrame(paint)).observe(holder);
  const rows = () =>
    film.steps.map((step, m) => [
      whole(step),
      number(film.loss(m), 4),
      number(film.about.train_loss[m], 4),
      number(film.about.validation_loss[m], 4),
    ]);
  return {
    elements: [
      el("h3", {}, "Losses"),
      el(
        "div",
        { class: "figure-card" },
        holder,
        el(
          "p",
          { class: "legend" },
          el("span", { class: "film-key own" }),
          "this text",
          el("span", { class: "film-key training" }),
          "the batch of the step",
          el("span", { class: "film-key dot" }),
          "validation",
          el(
            "span",
            { class: "legend-unit" },
            "nats a token over the step of the training, which is on a logarithmic scale",
          ),
        ),
      ),
      later("The losses as a table", () =>
        table("Losses in nats a token", ["step", "this text", "training", "validation"], rows()),
      ),
    ],
    draw,
  };
}

/** The maps of the heads of one block. @param {Film} film @returns {Part} */
function attentionOf(film) {
  if (!film.layers) return { elements: [], draw: () => undefined };
  const maps = Array.from(
    { length: film.heads },
    (_, head) =>
      new HeatMap({
        label: `Attention weights of head ${head} of the chosen block at the chosen moment: rows look at columns`,
        rows: film.T,
        columns: film.T,
        kind: "weight",
        range: 1,
        width: 1,
        height: 1,
        fills: "square",
        at: (t, s) => film.weight(head, t, s),
        describe: (t, s) => [
          `${visible(film.texts[t], 8)} (${t}) looks at ${visible(film.texts[s], 8)} (${s})`,
          s > t
            ? "masked: the future"
            : `weight ${number(film.weight(head, t, s), 2)} at step ${whole(film.steps[film.moment])}`,
        ],
      }),
  );
  const options = Array.from({ length: film.layers }, (_, i) => el("option", { value: i }, `block ${i}`));
  const select = el(
    "select",
    { id: "film-block", onchange: () => film.show({ layer: Number(select.value) }) },
    ...options,
  );
  const draw = () => {
    for (const grid of maps) {
      grid.draw();
      grid.place();
    }
  };
  const cards = maps.map((grid, head) =>
    el("figure", { class: "map" }, el("figcaption", {}, `head ${head}`), grid.element),
  );
  return {
    elements: [
      el("h3", {}, "Attention"),
      el("p", { class: "control" }, el("label", { for: "film-block" }, "Show"), select),
      el("div", { class: "maps" }, ...cards),
      legend("weight", 1, "weight; each row sums to 1"),
    ],
    draw,
  };
}

/** What the model would say after each block. @param {Film} film @returns {Part} */
function lensOf(film) {
  const widest = Math.max(...film.texts.map((text) => [...visible(text)].length));
  const grid = new HeatMap({
    label: "Logit lens at the chosen moment: rows are blocks, columns tokens; a cell has the most probable next token",
    rows: film.stages,
    columns: film.T,
    kind: "weight",
    range: 1,
    width: clamp(9 * widest + 6, 22, 72),
    height: 26,
    gutter: 88,
    tallest: 460,
    at: (row, t) => Math.exp(film.target(row, t)),
    text: (row, t) => visible(film.top(row, t)[0].text, 8),
    rowName: (row) => film.stage(row),
    columnName: (t) => visible(film.texts[t], 8),
    describe: (row, t) => [
      `after ${film.stage(row)}, ${visible(film.texts[t], 10)} (${t})`,
      ...film.top(row, t).map(({ text, p }) => `${visible(text, 10)} ${percent(p)}`),
      ...(t + 1 < film.T ? [`came: ${visible(film.texts[t + 1], 10)}, loss ${number(-film.target(row, t), 3)}`] : []),
    ],
  });
  const draw = () => {
    grid.draw();
    grid.place();
  };
  return {
    elements: [
      el("h3", {}, "What it expected"),
      el(
        "div",
        { class: "figure-card" },
        grid.element,
        legend("weight", 1, "probability of the token that came; the letter is the most probable one"),
      ),
    ],
    draw,
  };
}

/** The embeddings on two directions, which are the same at all moments. @param {Film} film @returns {Part} */
function cloud(film) {
  const { shape, array } = film.array("embedding");
  const count = shape[1],
    labels = /** @type {string[]} */ (film.about.labels);
  const ends = [0, 1].map((axis) => {
    const all = Array.from({ length: array.length / 2 }, (_, i) => array[2 * i + axis]);
    const low = all.reduce((a, b) => Math.min(a, b)),
      high = all.reduce((a, b) => Math.max(a, b));
    return { low, size: high - low || 1 };
  });
  const at = (/** @type {number} */ i, /** @type {number} */ axis) => {
    const share = (array[2 * (film.moment * count + i) + axis] - ends[axis].low) / ends[axis].size;
    return 14 + (axis ? 1 - share : share) * (CLOUD - 28);
  };
  const points = labels.map((label) =>
    svg("text", { class: "film-point", "text-anchor": "middle", "dominant-baseline": "central" }, visible(label, 8)),
  );
  const picture = svg(
    "svg",
    {
      viewBox: `0 0 ${CLOUD} ${CLOUD}`,
      role: "img",
      "aria-label": `Embeddings of ${labels.length} tokens on two directions`,
    },
    ...points,
  );
  const draw = () =>
    points.forEach((point, i) => {
      point.setAttribute("x", at(i, 0).toFixed(1));
      point.setAttribute("y", at(i, 1).toFixed(1));
    });
  return {
    elements: [
      el("h3", {}, "Embeddings"),
      el(
        "p",
        {},
        "Each token at its place on the two directions in which the embeddings of the last moment " +
          "differ most. The directions are the same at all moments: a token moves only if its embedding does.",
      ),
      el("div", { class: "figure-card film-cloud" }, picture),
    ],
    draw,
  };
}

/** A name of a parameter that is short enough for a phone. @param {string} name */
const brief = (name) => name.replace("blocks.", "").replace("feed_forward", "ff").replace("attention", "att");

/** What the steps did to each parameter. @param {Film} film @returns {Part[]} */
function changes(film) {
  const kinds = [
    ["gradient_norm", "Norm of the gradient", "Norm of the gradient of each parameter, before clipping"],
    [
      "update_ratio",
      "Size of the update",
      "What the step added to each parameter, divided by its weights, by their norms",
    ],
  ];
  const isNarrow = matchMedia("(max-width: 700px)").matches;
  const ticks = new Map(
    roundSteps(film.steps[film.steps.length - 1]).flatMap((step) =>
      film.steps.includes(step) ? [[film.steps.indexOf(step), whole(step)]] : [],
    ),
  );
  return kinds.map(([name, title, label]) => {
    const { array, shape } = film.array(name);
    const count = shape[1];
    const logs = Array.from(array, (x) => (x > 0 ? Math.log10(x) : NaN));
    const known = logs.filter(Number.isFinite);
    const high = known.length ? known.reduce((a, b) => Math.max(a, b)) : 0,
      low = Math.max(known.length ? known.reduce((a, b) => Math.min(a, b)) : 0, high - 5);
    const grid = new HeatMap({
      label: `${label}: rows are parameters, columns moments`,
      rows: count,
      columns: film.steps.length,
      kind: "weight",
      range: high - low || 1,
      width: 1,
      height: 18,
      gutter: isNarrow ? 116 : 236,
      tallest: 520,
      fills: "wide",
      marks: "column",
      ticks,
      at: (row, m) => (Number.isFinite(logs[m * count + row]) ? Math.max(logs[m * count + row] - low, 0) : NaN),
      rowName: (row) => (isNarrow ? brief(film.about.names[row]) : film.about.names[row]),
      describe: (row, m) => [
        `${film.about.names[row]}, step ${whole(film.steps[m])}`,
        `${title.toLowerCase()} ${array[m * count + row] > 0 ? number(array[m * count + row], 3) : "0 or not known"}`,
      ],
      open: (_, m) => film.show({ moment: m }),
    });
    const scale = legend("weight", high - low, "on a logarithmic scale; grey: 0, or not known", [
      `${number(10 ** low, 2)}${known.some((x) => x < low) ? " or less" : ""}`,
      number(10 ** high, 2),
    ]);
    return {
      elements: [
        el("h3", {}, title),
        el(
          "p",
          {},
          `${label}. Each column is a moment, with its step above it; the marked one is shown in the other figures. ` +
            "Click a column to go to its moment.",
        ),
        el("div", { class: "figure-card" }, grid.element, scale),
      ],
      draw: () => grid.mark(film.moment),
    };
  });
}
