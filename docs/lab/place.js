/** The reader's place in the page: what has the keyboard, and what is in sight. */

/**
 * A button that is disabled or hidden loses the keyboard. When it can have it again, it gets it back, unless the reader
 * has gone elsewhere; where it cannot, a button beside it gets it, or the tab.
 * @param {Element | null} from what had the keyboard before
 */
export function giveBack(from) {
  const now = document.activeElement;
  const isLost = !now || now === document.body || now.matches(":disabled") || now.closest("[hidden]") !== null;
  if (!from || !isLost) return;
  const beside = from.parentElement?.querySelectorAll("button") ?? [];
  const all = /** @type {any[]} */ ([from, ...beside, document.querySelector("[role=tab][aria-selected=true]")]);
  const canHave = (/** @type {any} */ each) => each?.isConnected && !each.disabled && each.getClientRects().length > 0;
  all.find(canHave)?.focus({ preventScroll: true });
}

/** Scroll until it is in sight; of what is higher than the screen, its beginning. @param {Element} element */
export function reveal(element) {
  const isHigh = element.getBoundingClientRect().height > 0.8 * innerHeight;
  element.scrollIntoView({ block: isHigh ? "start" : "nearest" });
}
