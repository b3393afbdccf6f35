/**
 * The page from its parts. The text comes first, from the engine's own logits; the pass in JavaScript runs when that is
 * drawn, and the other sections follow one by one, so that the page can be read from the first moment.
 */

import { showAbout } from "./about.js";
import { showAttention } from "./attention.js";
import { showBackward } from "./backward.js";
import { showChange } from "./change.js";
import { themeSwitch } from "./colour.js";
import { Content } from "./data.js";
import { byId, el, number, onlyFinite, whole } from "./dom.js";
import { showFilm } from "./film.js";
import { follow } from "./follow.js";
import { Panel } from "./panel.js";
import { showResidual } from "./residual.js";
import { Subject } from "./subject.js";
import { mean, showText } from "./text.js";
import { showValues } from "./values.js";

/** The last part of a path: where the others lie says nothing to those who get the page. @param {string | null} path */
const last = (path) =>
  (path ?? "")
    .replace(/[\\/]+$/, "")
    .split(/[\\/]/)
    .pop();

/** @param {Subject} subject */
function title(subject) {
  const { run, loss } = subject.data;
  const known = onlyFinite(loss);
  const text = subject.tokens.map((token) => token.text).join("");
  document.title = `${text.slice(0, 40)} – inside the model`;
  const line = text.trim().replace(/\s+/g, " ");
  byId("quoted").textContent = [...line].length > 130 ? `${[...line].slice(0, 129).join("")}…` : line;
  const facts = [
    ["run", last(run.name)],
    ["step", run.step === null || run.step === undefined ? null : whole(run.step)],
    ["parameters", whole(run.parameters)],
    ["trained on", last(run.dataset)],
    [
      "tokens",
      run.text && run.text.of > run.text.shown ? `${whole(run.text.shown)} of ${whole(run.text.of)}` : whole(subject.T),
    ],
    ["mean loss", known.length ? `${number(mean(known), 4)} nats` : null],
  ];
  byId("facts").append(
    ...facts
      .filter(([, value]) => value)
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, el("bdi", {}, value)))),
  );
}

/** Show the sections that this page has, or not, and number those that it has. @param {Subject} subject */
function layOut(subject) {
  const isTransformer = subject.config.model === "gpt";
  for (const [id, isThere] of Object.entries({
    attention: isTransformer,
    residual: isTransformer,
    film: Boolean(subject.data.film),
  }))
    byId(id).hidden = byId(`${id}-link`).hidden = !isThere;
  document.querySelectorAll("main > section:not([hidden]) .section-number").forEach((element, i) => {
    element.textContent = String(i + 1);
  });
  if (!isTransformer)
    byId("values").append(el("p", {}, "A bigram model has an embedding and a head, and nothing between them."));
}

/** Let the browser draw and listen before the next piece of work. */
const breath = () => new Promise((resolve) => setTimeout(resolve));

async function start() {
  themeSwitch(byId("theme"));
  const subject = new Subject(await Content.read());
  const first = Math.floor(0.6 * (subject.T - 1));
  follow(first);
  byId("first-token").textContent =
    `Tokens are counted from 0. At first the page follows token ${first}, which has some text before it and after it.`;
  title(subject);
  layOut(subject);
  showText(subject, byId("text"));
  await breath();
  subject.run();
  const panel = new Panel(subject);
  const open = (/** @type {import("./subject.js").Cell} */ cell) => panel.open(cell);
  const isTransformer = subject.config.model === "gpt";
  /** @type {(() => void)[]} */
  const sections = [
    () => isTransformer && showAttention(subject, byId("attention"), open),
    () => isTransformer && showResidual(subject, byId("residual")),
    () => showValues(subject, byId("values"), open),
    () => showBackward(subject, byId("backward"), open),
    () => showChange(subject, byId("change")),
    () => subject.data.film && showFilm(subject, byId("film")),
    () => showAbout(subject, byId("about")),
  ];
  for (const show of sections) {
    await breath();
    show();
  }
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  byId("failure").hidden = false;
  byId("failure").textContent = `This page could not be shown: ${error.message}. It needs a browser of 2023 or newer.`;
  throw error;
});
