/** The museum: classic mistakes, each one line of the engine. Switching one on is an edit like any other. */

import { el } from "./dom.js";

/**
 * @typedef {import("./main.js").Workbench} Workbench
 * @typedef {{name: string, title: string, file: string, right: string, wrong: string, why: string,
 *   flags: Record<string, any>}} Bug
 */

/** @param {Workbench} bench @param {HTMLElement} panel @param {Bug[]} bugs @param {string | null} asked */
export function museumPanel(bench, panel, bugs, asked) {
  const said = el("p", { role: "status", class: "hint" });
  /** @type {(() => void)[]} */
  const each = [];
  const cards = bugs.map((bug) => {
    const button = el("button", { type: "button", "aria-label": `Switch on: ${bug.title}` });
    const state = () => stateOf(bench, bug);
    const card = el(
      "li",
      { id: `bug-${bug.name}` },
      el("div", { class: "card-head" }, el("h3", {}, bug.title), button),
      el(
        "p",
        { class: "hint" },
        el("button", { type: "button", class: "link", onclick: () => show(bench, bug) }, bug.file),
      ),
      el("pre", {}, el("del", {}, `- ${bug.right.trim()}`), el("ins", {}, `+ ${bug.wrong.trim()}`)),
      bug.why && el("p", { class: "hint" }, bug.why),
      Object.keys(bug.flags).length > 0 &&
        el(
          "p",
          { class: "hint" },
          "Trained with ",
          el(
            "code",
            {},
            Object.entries(bug.flags)
              .map(([k, v]) => `${k} ${v}`)
              .join(", "),
          ),
          ".",
        ),
    );
    const update = () => {
      const now = state();
      card.dataset.on = String(now === "on");
      button.textContent = now === "on" ? "Switch off" : "Switch on";
      button.setAttribute("aria-label", `${button.textContent}: ${bug.title}`);
      button.disabled = now === "elsewhere";
      button.title = now === "elsewhere" ? "You edited this line" : "";
    };
    button.onclick = () => {
      const isOn = toggle(bench, bug);
      said.textContent = `“${bug.title}” is ${isOn ? "on: train, and compare the curves" : "off"}.`;
    };
    each.push(update);
    update();
    return card;
  });
  bench.files.changed.add(() => each.forEach((update) => update()));
  bench.flags = () =>
    Object.assign({}, ...bugs.filter((bug) => stateOf(bench, bug) === "on").map(({ flags }) => flags));
  panel.append(
    el("h2", {}, "A museum of bugs"),
    el(
      "p",
      { class: "hint" },
      "Each is one line. Switch it on, train, and see what it does beside the unedited engine.",
    ),
    said,
    el("ul", { class: "cards" }, ...cards),
  );
  const bug = bugs.find(({ name }) => name === asked);
  if (bug) {
    if (stateOf(bench, bug) === "off") toggle(bench, bug);
    show(bench, bug);
    requestAnimationFrame(() => document.getElementById(`bug-${bug.name}`)?.scrollIntoView({ block: "center" }));
    said.textContent = `“${bug.title}” is on: train, and compare the curves.`;
  }
}

/** @param {Workbench} bench @param {Bug} bug @returns {"on" | "off" | "elsewhere"} */
function stateOf(bench, { file, right, wrong }) {
  const text = bench.files.text(file) ?? "";
  return text.includes(right) ? "off" : text.includes(wrong) ? "on" : "elsewhere";
}

/** @param {Workbench} bench @param {Bug} bug @returns {boolean} whether it is on now */
function toggle(bench, bug) {
  const isOn = stateOf(bench, bug) === "on";
  const [from, to] = isOn ? [bug.wrong, bug.right] : [bug.right, bug.wrong];
  bench.files.put(
    bug.file,
    bench.files.text(bug.file).replace(from, () => to),
  );
  return !isOn;
}

/** @param {Workbench} bench @param {Bug} bug */
function show(bench, bug) {
  const text = bench.files.text(bug.file) ?? "";
  const line = stateOf(bench, bug) === "on" ? bug.wrong : bug.right;
  bench.files.open(bug.file, text.slice(0, text.indexOf(line)).split("\n").length + (line.startsWith("\n") ? 1 : 0));
}
