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

const bubble = { element: /** @type {HTMLElement | null} */ (null) };

/**
 * A line or more of text beside the pointer; null hides it.
 * @param {string[] | null} lines @param {{clientX: number, clientY: number}} [at]
 */
export function tip(lines, at) {
  bubble.element ??= /** @type {HTMLElement} */ (document.getElementById("tip"));
  const element = bubble.element;
  element.hidden = !lines;
  if (!lines || !at) return;
  element.textContent = lines.join("\n");
  const { offsetWidth: width, offsetHeight: height } = element;
  const left = at.clientX + 14 + width > innerWidth ? at.clientX - 10 - width : at.clientX + 14;
  const top = at.clientY + 18 + height > innerHeight ? at.clientY - 10 - height : at.clientY + 18;
  element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}
