/** The museum: classic mistakes, each one line of the engine. Switching one on is an edit like any other. */

import { chapterLink } from "./cells.js";
import { byId, el } from "./dom.js";
import { choose } from "./tabs.js";

/**
 * @typedef {import("./main.js").Workbench} Workbench @typedef {import("./cells.js").Chapter} Chapter
 * @typedef {{name: string, title: string, file: string, right: string, wrong: string, why: string, chapter: string,
 *   recipe: string, flags: Record<string, any>}} Bug
 */

/** @param {string} name */
export const curvesLink = (name) =>
  el("a", { href: `../museum.html#${name}`, target: "_blank" }, `The curves of ${name} in the museum`);

/**
 * @param {Workbench} bench @param {HTMLElement} panel @param {Bug[]} bugs @param {string | null} asked
 * @param {Chapter[]} chapters
 */
export function museumPanel(bench, panel, bugs, asked, chapters) {
  const areOn = () => bugs.filter((bug) => stateOf(bench, bug) === "on");
  bench.flags = () => Object.assign({}, ...areOn().map(({ flags }) => flags));
  bench.recipes = () =>
    areOn()
      .filter(({ recipe }) => recipe)
      .map((bug) => `“${bug.title}” is on: ${recipeOf(bug)}`);
  panel.append(
    el("h2", {}, "A museum of bugs"),
    el(
      "p",
      { class: "hint" },
      "Each is one line. Switch it on, train, and see what it does beside the unedited engine.",
    ),
    el("ul", { class: "cards" }, ...bugs.map((bug) => cardOf(bench, bug, chapters))),
  );
  const bug = bugs.find(({ name }) => name === asked);
  if (!bug) return;
  const card = /** @type {HTMLElement} */ (panel.querySelector(`#bug-${bug.name}`));
  if (stateOf(bench, bug) === "off") toggle(bench, bug);
  tell(bench, bug, /** @type {HTMLElement} */ (card.querySelector("[role=status]")));
  requestAnimationFrame(() => card.scrollIntoView({ block: "center" }));
}

/** @param {Workbench} bench @param {Bug} bug @param {Chapter[]} chapters */
function cardOf(bench, bug, chapters) {
  const button = el("button", { type: "button" });
  const said = el("p", { role: "status" });
  const open = () => show(bench, bug, true);
  const file = el("button", { type: "button", class: "link", onclick: open }, bug.file);
  const card = el(
    "li",
    { id: `bug-${bug.name}` },
    el("div", { class: "card-head" }, el("h3", {}, bug.title), button),
    el("p", { class: "hint" }, el("code", {}, bug.name), " in ", file),
    said,
    el("pre", {}, el("del", {}, `- ${bug.right.trim()}`), el("ins", {}, `+ ${bug.wrong.trim()}`)),
    bug.why && el("p", { class: "hint" }, bug.why),
    bug.recipe && el("p", { class: "hint" }, `While it is on, ${recipeOf(bug)}`),
    el("p", { class: "hint" }, ...waysOn(bug, chapters)),
  );
  button.onclick = () => {
    toggle(bench, bug);
    tell(bench, bug, said);
  };
  const update = () => showState(bench, bug, card, button, said);
  bench.files.changed.add(update);
  update();
  return card;
}

/**
 * Show whether it is on. @param {Workbench} bench @param {Bug} bug
 * @param {HTMLElement} card @param {HTMLButtonElement} button @param {HTMLElement} said
 */
function showState(bench, bug, card, button, said) {
  const now = stateOf(bench, bug);
  if (card.dataset.on !== String(now === "on")) said.replaceChildren(); // whatever switched it
  card.dataset.on = String(now === "on");
  button.textContent = now === "on" ? "Switch off" : "Switch on";
  button.setAttribute("aria-label", `${button.textContent}: ${bug.title}`);
  button.disabled = now === "elsewhere";
  button.title = now === "elsewhere" ? "You edited this line" : "";
}

/** What is different in its training. @param {Bug} bug */
const recipeOf = ({ recipe }) => `both engines, the edited and the unedited one, are trained with ${recipe}.`;

/** Where to read on. @param {Bug} bug @param {Chapter[]} chapters */
function waysOn({ name, chapter }, chapters) {
  const terminal = ["In a terminal: ", el("code", {}, `python -m gpt.museum ${name}`), "."];
  const found = chapters.find((each) => each.name === chapter);
  if (!found) return terminal;
  return [curvesLink(name), ". The chapter: ", chapterLink(found), ". ", ...terminal];
}

/** Show the line that was switched, and say so. @param {Workbench} bench @param {Bug} bug @param {HTMLElement} said */
function tell(bench, bug, said) {
  const toTrain = () => {
    choose("train");
    byId("run").focus();
  };
  const train = el("button", { type: "button", class: "link", onclick: toTrain }, "train");
  const next = {
    on: ["On: ", train, ", and compare the curves. The wrong line is "],
    off: ["Off: the right line is back, "],
    elsewhere: ["You edited its line, so it cannot be switched on: "],
  };
  const line = show(bench, bug, false);
  const here = el(
    "button",
    { type: "button", class: "link", onclick: () => show(bench, bug, true) },
    line === null ? bug.file : `${bug.file}, line ${line}`,
  );
  said.replaceChildren(...next[stateOf(bench, bug)], here, ".");
}

/** @param {Workbench} bench @param {Bug} bug @returns {"on" | "off" | "elsewhere"} */
function stateOf(bench, { file, right, wrong }) {
  const text = bench.files.text(file) ?? "";
  return text.includes(right) ? "off" : text.includes(wrong) ? "on" : "elsewhere";
}

/** @param {Workbench} bench @param {Bug} bug */
function toggle(bench, bug) {
  const [from, to] = stateOf(bench, bug) === "on" ? [bug.wrong, bug.right] : [bug.right, bug.wrong];
  bench.files.put(
    bug.file,
    bench.files.text(bug.file).replace(from, () => to),
  );
}

/**
 * Show its line in the editor, marked while it is wrong. @param {Workbench} bench @param {Bug} bug
 * @param {boolean} focus whether the editor gets the keyboard @returns {number | null} the line, if it is there
 */
function show(bench, bug, focus) {
  const state = stateOf(bench, bug);
  const before = bench.files.text(bug.file)?.split(state === "on" ? bug.wrong : bug.right)[0] ?? "";
  const line = state === "elsewhere" ? null : before.split("\n").length;
  bench.files.open(bug.file, line, state === "on", focus);
  return line;
}
