// What the theme leaves to a reader without a mouse: names for its two sidebars, and keys for what scrolls by itself.
// And formulas in a line of text, which a browser does not break: one that is wider than the page scrolls as well.

function reachable() {
  for (const each of document.querySelectorAll("span.math")) {
    each.classList.remove("wide");
    const room = each.closest("p, li, td, th, dd, article")?.getBoundingClientRect();
    if (room && each.getBoundingClientRect().width > room.width) each.classList.add("wide");
  }
  for (const each of document.querySelectorAll("article pre, article .table-wrapper, div.math, span.math.wide")) {
    if (each.scrollWidth > each.clientWidth + 1) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");
  reachable();
  document.fonts.ready.then(reachable);
});
addEventListener("resize", reachable);
