// What the theme leaves to a reader without a mouse: names for its two sidebars, the buttons that open them on a small
// screen, and keys for what scrolls by itself. And formulas in a line of text, which a browser does not break: one that is
// wider than the page scrolls as well.

const SCROLLS = "article pre, article .table-wrapper, article div.math";

function reachable() {
  for (const each of document.querySelectorAll("span.math")) {
    each.classList.remove("wide");
    const room = each.closest("p, li, td, th, dd, article")?.getBoundingClientRect();
    if (room && each.getBoundingClientRect().width > room.width) each.classList.add("wide");
  }
  for (const each of document.querySelectorAll(`${SCROLLS}, span.math.wide`)) {
    const wide = each.scrollWidth > each.clientWidth + 1;
    each.classList.toggle("wide", wide);
    if (wide) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
    atEnd(each);
  }
}

function atEnd(element) {
  element.classList.toggle("at-end", element.scrollLeft + element.clientWidth > element.scrollWidth - 2);
}

// The theme opens a sidebar by labels of a hidden checkbox, which keys do not reach. Buttons take their places.
function openedByKeys(box, sidebar, name) {
  if (!box || !sidebar) return;
  sidebar.setAttribute("aria-label", name);
  const buttons = [...document.querySelectorAll(`label[for="${box.id}"]:not(.overlay)`)].map(asButton);
  const shown = (elements) => [...elements].find((each) => each.offsetParent);
  const set = (open) => {
    box.checked = open;
    for (const each of buttons) each.setAttribute("aria-expanded", open);
  };
  for (const each of buttons) {
    each.setAttribute("aria-label", name);
    each.addEventListener("click", (event) => {
      set(!box.checked);
      const byKey = event.detail === 0;
      if (byKey && box.checked) shown(sidebar.querySelectorAll("a, input"))?.focus();
    });
  }
  box.addEventListener("change", () => set(box.checked));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !box.checked) return;
    set(false);
    shown(buttons)?.focus();
  });
  set(box.checked);
}

function asButton(label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = label.className;
  button.append(...label.childNodes);
  label.replaceWith(button);
  return button;
}

document.addEventListener("DOMContentLoaded", () => {
  openedByKeys(document.getElementById("__navigation"), document.querySelector(".sidebar-drawer"), "All pages");
  openedByKeys(document.getElementById("__toc"), document.querySelector(".toc-drawer"), "This page");
  document.addEventListener("scroll", (event) => event.target.matches?.(".wide") && atEnd(event.target), true);
  reachable();
  document.fonts.ready.then(reachable);
});
addEventListener("resize", reachable);
