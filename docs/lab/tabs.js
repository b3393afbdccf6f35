/** The tabs: one panel is shown, and each comes back where it was scrolled to. */

import { byId, el } from "./dom.js";

const WIDE = matchMedia("(min-width: 1160px)"); // there the panels scroll by themselves, else with the page

/** @type {{id: string, button: any, panel: any, scrolled: number}[]} */
const tabs = [];

/** @param {string} id @param {string} title @returns {HTMLElement} the panel */
export function tab(id, title) {
  const named = { class: "panel", role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}`, hidden: true };
  const panel = el("div", named);
  const controls = { "aria-controls": `panel-${id}`, "aria-selected": "false", tabindex: -1 };
  const button = el("button", { type: "button", role: "tab", id: `tab-${id}`, ...controls }, title);
  button.onclick = () => choose(id);
  button.onkeydown = (/** @type {KeyboardEvent} */ event) => move(event, id);
  tabs.push({ id, button, panel, scrolled: 0 });
  byId("tabs").append(button);
  byId("panels").append(panel);
  return panel;
}

/** To another tab by the keyboard. @param {KeyboardEvent} event @param {string} id of the tab that has the keyboard */
function move(event, id) {
  const at = tabs.findIndex((each) => each.id === id);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const other = tabs[to % tabs.length];
  choose(other.id);
  other.button.focus({ preventScroll: true });
}

/** @param {string} id */
export function choose(id) {
  const before = tabs.find(({ panel }) => !panel.hidden);
  const was = scrolled();
  if (before) before.scrolled = Math.max(0, was);
  for (const each of tabs) {
    const isChosen = each.id === id;
    each.panel.hidden = !isChosen;
    each.button.setAttribute("aria-selected", String(isChosen));
    each.button.tabIndex = isChosen ? 0 : -1;
  }
  const to = tabs.find((each) => each.id === id)?.scrolled ?? 0;
  if (before && (was > 0 || to > 0)) scroller().scrollTop += to - scrolled();
}

const scroller = () => (WIDE.matches ? byId("bench") : /** @type {Element} */ (document.scrollingElement));

/** How far the experiments are scrolled, below 0 where the page shows more than them. */
const scrolled = () => (WIDE.matches ? byId("bench").scrollTop : -byId("bench").getBoundingClientRect().top);
