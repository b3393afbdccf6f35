/** The token that one follows: every figure marks it. A pointer marks another one while it is over it. */

/** @type {Set<(token: number, kept: boolean) => void>} */
const followers = new Set();
const followed = { token: 0, hovered: /** @type {number | null} */ (null) };

/** The token to mark now. */
export const marked = () => followed.hovered ?? followed.token;

/**
 * Call f now, and whenever another token is followed; `kept` is false while a pointer only passes.
 * @param {(token: number, kept: boolean) => void} f
 */
export function onFollow(f) {
  followers.add(f);
  f(marked(), true);
}

/** Follow a token from now on. @param {number} token */
export function follow(token) {
  followed.token = token;
  followed.hovered = null;
  for (const f of followers) f(token, true);
}

/** Mark a token while the pointer is over it; null: back to the one that is followed. @param {number | null} token */
export function glance(token) {
  if (followed.hovered === token) return;
  followed.hovered = token;
  for (const f of followers) f(marked(), token === null);
}

const bubble = { owner: /** @type {Element | null} */ (null) };

/**
 * A line or more of text beside the pointer, or below an element that has the focus; null hides it.
 * @param {string[] | null} lines @param {{clientX: number, clientY: number} | Element} [at]
 */
export function tip(lines, at) {
  const element = /** @type {HTMLElement} */ (document.getElementById("tip"));
  element.hidden = !lines;
  bubble.owner = lines && at instanceof Element ? at : null;
  if (!lines || !at) return;
  element.textContent = lines.join("\n");
  if (at instanceof Element) below(element, at);
  else put(element, at);
}

/** Below its owner; nowhere while that is out of view. @param {HTMLElement} element @param {Element} owner */
function below(element, owner) {
  const box = owner.getBoundingClientRect(),
    outer = owner.closest(".grid")?.getBoundingClientRect();
  const [top, bottom] = [Math.max(0, outer?.top ?? 0), Math.min(innerHeight, outer?.bottom ?? innerHeight)];
  element.hidden = box.bottom <= top || box.top >= bottom;
  if (!element.hidden) put(element, { clientX: box.right, clientY: box.bottom });
}

// What scrolls may be the page or a grid: the text goes with its owner.
document.addEventListener(
  "scroll",
  () => {
    if (bubble.owner) below(/** @type {HTMLElement} */ (document.getElementById("tip")), bubble.owner);
  },
  { capture: true, passive: true },
);

/** @param {HTMLElement} element @param {{clientX: number, clientY: number}} at */
function put(element, at) {
  const { offsetWidth: width, offsetHeight: height } = element;
  const left = at.clientX + 14 + width > innerWidth ? at.clientX - 10 - width : at.clientX + 14;
  const top = at.clientY + 18 + height > innerHeight ? at.clientY - 10 - height : at.clientY + 18;
  element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}
