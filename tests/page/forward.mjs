// Runs the page's forward pass under Node: node forward.mjs FOLDER, which has cases.json, bytes.bin, and a copy of forward.js.
// Prints for each case the largest difference of each value to the engine's, as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const { forward, lens } = await import(pathToFileURL(`${folder}/forward.js`).href);
const bytes = Uint8Array.from(readFileSync(`${folder}/bytes.bin`)); // of its own, so that it is aligned
const array = ({ shape, offset, size, bits }) =>
  ({ shape, array: new (bits === 64 ? Float64Array : Float32Array)(bytes.buffer, offset, size) });

/** The largest |a − b|; infinite where one is not finite and the other differs, or where lengths differ. */
function difference(a, b) {
  if (a.length !== b.length) return 1e300;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue;
    const apart = Math.abs(a[i] - b[i]);
    worst = Math.max(worst, Number.isFinite(apart) ? apart : 1e300);
  }
  return worst;
}

/** The edits of a case: [{name, head}] switches off, [{name, index, value}] fills a row. */
function edits(list) {
  const found = new Map();
  for (const { name, index, values } of list) {
    const edit = (x) => {
      const size = x.array.length / x.shape[0];
      x.array.set(values.length === 1 ? new Array(size).fill(values[0]) : values, index * size);
    };
    found.set(name, [...(found.get(name) ?? []), edit]);
  }
  return found;
}

const results = JSON.parse(readFileSync(`${folder}/cases.json`)).map(({ config, ids, weights, values, edits: list, lens: of }) => {
  const model = { config, weights: new Map(Object.entries(weights).map(([name, at]) => [name, array(at)])) };
  const found = forward(model, ids, edits(list));
  for (const [name, at] of Object.entries(of)) found.set(at.name, lens(model, found.get(name)));
  return Object.fromEntries(Object.entries(values).map(([name, at]) =>
    [name, found.has(name) ? difference(found.get(name).array, array(at).array) : null]));
});
console.log(JSON.stringify(results));
