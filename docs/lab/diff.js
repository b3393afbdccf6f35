/** What changed between two texts, line by line: the longest common part stays, the rest is taken out or put in. */

/** @typedef {{sign: " " | "-" | "+", text: string, before: number | null, after: number | null}} Line numbers from 1 */

/** @param {string} before @param {string} after @returns {Line[]} */
export function difference(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = common(a.slice(start, a.length - end), b.slice(start, b.length - end));
  /** @type {Line[]} */
  const lines = [];
  const same = (/** @type {number} */ i, /** @type {number} */ j) =>
    lines.push({ sign: " ", text: a[i], before: i + 1, after: j + 1 });
  for (let i = 0; i < start; i++) same(i, i);
  let i = start;
  let j = start;
  for (const [x, y] of [...middle.map(([x, y]) => [x + start, y + start]), [a.length - end, b.length - end]]) {
    for (; i < x; i++) lines.push({ sign: "-", text: a[i], before: i + 1, after: null });
    for (; j < y; j++) lines.push({ sign: "+", text: b[j], before: null, after: j + 1 });
    if (x < a.length - end) same(i++, j++);
  }
  for (; i < a.length; i++, j++) same(i, j);
  return lines;
}

/** Pairs of places with equal lines, as many as possible, in order. @param {string[]} a @param {string[]} b */
function common(a, b) {
  const longest = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  /** @type {[number, number][]} */
  const pairs = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
    else j++;
  }
  return pairs;
}

/** The changed lines with `context` lines around them, in pieces. @param {Line[]} lines @returns {Line[][]} */
export function hunks(lines, context = 3) {
  /** @type {Line[][]} */
  const pieces = [];
  let last = -1;
  lines.forEach((line, i) => {
    if (line.sign === " ") return;
    const from = Math.max(0, i - context, last + 1);
    const to = Math.min(lines.length - 1, i + context);
    if (pieces.length && from <= last + 1 && i - context <= last + 1)
      pieces[pieces.length - 1].push(...lines.slice(last + 1, to + 1));
    else pieces.push(lines.slice(from, to + 1));
    last = to;
  });
  return pieces;
}
