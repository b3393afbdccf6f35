// What the theme leaves to a reader without a mouse: names for its two sidebars, and keys for what scrolls by itself.

function reachable() {
  for (const each of document.querySelectorAll("article pre, article .table-wrapper, div.math")) {
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
