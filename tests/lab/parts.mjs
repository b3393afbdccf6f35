/** The pure parts of the laboratory's page under Node: diff, store, texts, verified, chart, choices. Prints what fails. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const lab = new URL(`file://${process.argv[2]}/`);
const { difference, hunks } = await import(new URL("diff.js", lab));
const { Store } = await import(new URL("store.js", lab));
const { Texts, waysBack } = await import(new URL("texts.js", lab));
const { verified } = await import(new URL("verified.js", lab));
const { scaleOf, smooth, ticks } = await import(new URL("chart.js", lab));
const { textOf, wrongSteps } = await import(new URL("choices.js", lab));

// ------------------------------------------------------------------------------------------------------------- diff
let state = 1;
const random = (/** @type {number} */ n) => (state = (state * 48271) % 2147483647) % n;
for (let turn = 0; turn < 3000; turn++) {
  const [a, b] = [0, 1].map(() => Array.from({ length: random(9) }, () => "abc"[random(3)]).join("\n"));
  const lines = difference(a, b);
  const side = (/** @type {string} */ without) =>
    lines
      .filter(({ sign }) => sign !== without)
      .map(({ text }) => text)
      .join("\n");
  assert.equal(side("+"), a);
  assert.equal(side("-"), b);
  const count = (/** @type {"before" | "after"} */ which) => lines.map((line) => line[which]).filter((n) => n !== null);
  assert.deepEqual(
    count("before"),
    a.split("\n").map((_, i) => i + 1),
  );
  assert.deepEqual(
    count("after"),
    b.split("\n").map((_, i) => i + 1),
  );
  const shown = hunks(lines, 1).flat();
  assert.equal(new Set(shown).size, shown.length, "a line is shown once");
  assert.deepEqual(
    shown.filter(({ sign }) => sign !== " "),
    lines.filter(({ sign }) => sign !== " "),
  );
}
assert.deepEqual(
  difference("x\ny\nz", "x\nz").map(({ sign, text }) => sign + text),
  [" x", "-y", " z"],
);

// ------------------------------------------------------------------------------------------------------------ store
class Memory {
  constructor(room = Infinity) {
    this.map = new Map();
    this.room = room;
  }
  get length() {
    return this.map.size;
  }
  key(/** @type {number} */ i) {
    return [...this.map.keys()][i] ?? null;
  }
  getItem(/** @type {string} */ key) {
    return this.map.get(key) ?? null;
  }
  setItem(/** @type {string} */ key, /** @type {string} */ value) {
    if (value.length > this.room) throw new Error("full");
    this.map.set(key, value);
  }
  removeItem(/** @type {string} */ key) {
    this.map.delete(key);
  }
}
/** @type {string[]} */
const said = [];
const complain = (/** @type {string} */ why) => said.push(why);
const memory = new Memory();
memory.setItem("another page", "kept");
const store = new Store(() => memory, complain);
store.set("edit", "a.py", "x");
store.set("cell", "02-tape 1", "y");
store.set("edit", "b:c.py", "z");
assert.deepEqual(store.all("edit"), { "a.py": "x", "b:c.py": "z" });
const again = new Store(() => memory, complain);
assert.equal(again.get("cell", "02-tape 1"), "y");
assert.deepEqual(again.all("edit"), { "a.py": "x", "b:c.py": "z" });
again.set("edit", "a.py", undefined);
assert.equal(new Store(() => memory, complain).get("edit", "a.py"), undefined);
assert.equal(memory.getItem("another page"), "kept");
assert.deepEqual(store.changed({ key: "tinytensor.laboratory:edit:b:c.py", newValue: "new" }), ["edit", "b:c.py"]);
assert.equal(store.get("edit", "b:c.py"), "new");
assert.equal(store.changed({ key: "another page", newValue: "" }), null);
assert.deepEqual(said, []);
const small = new Store(() => new Memory(3), complain);
small.set("edit", "a.py", "too long");
assert.equal(small.get("edit", "a.py"), "too long");
assert.match(said.pop() ?? "", /no room to keep “a\.py”/);
new Store(() => {
  throw new Error("forbidden");
}, complain).set("edit", "a.py", "x");
assert.match(said.pop() ?? "", /keeps nothing/);

// ------------------------------------------------------------------------------------------------------------ texts
const kept = new Store(() => new Memory(), complain);
kept.set("cell", "a chapter's 9", "a cell that is no more");
const originals = { one: "1", two: "2" };
const shownNow = {
  text: "1",
  replace(/** @type {string} */ text) {
    this.text = text;
  },
};
const texts = new Texts(kept, "cell", originals, (/** @type {string} */ name) => (name === "one" ? shownNow : null));
const [takeAway, bringBack] = [{}, {}].map(() => ({ focus() {} })).map((each) => /** @type {any} */ (each));
waysBack(texts, () => ["one"], takeAway, bringBack)();
const buttons = () => [takeAway.disabled, bringBack.hidden];
assert.deepEqual([texts.edits(), ...buttons()], [{}, true, true]);
texts.write("one", (shownNow.text = "1, mine"));
texts.write("two", "2, mine");
assert.deepEqual([texts.edits(), ...buttons()], [{ one: "1, mine", two: "2, mine" }, false, true]);
takeAway.onclick();
assert.deepEqual([texts.edits(), shownNow.text, ...buttons()], [{ two: "2, mine" }, "1", true, false]);
bringBack.onclick();
assert.deepEqual([texts.text("one"), shownNow.text, ...buttons()], ["1, mine", "1, mine", false, true]);
takeAway.onclick();
texts.write("one", "1, other"); // what was undone is not brought back over what was written since
assert.deepEqual([texts.text("one"), ...buttons()], ["1, other", false, true]);
texts.undo(["one", "two"]);
assert.deepEqual([texts.edits(), texts.undone], [{}, { one: "1, other", two: "2, mine" }]);
for (const [name, newValue, text, inEditor] of [
  ["one", "1, elsewhere", "1, elsewhere", "1, elsewhere"],
  ["two", "2, elsewhere", "2, elsewhere", "1, elsewhere"],
  ["one", null, "1", "1"],
]) {
  const [kind, found] = kept.changed({ key: `tinytensor.laboratory:cell:${name}`, newValue });
  assert.equal(kind, texts.kind);
  texts.reread(found);
  assert.deepEqual([texts.text(name), shownNow.text], [text, inEditor]);
}
assert.equal(takeAway.disabled, true);
texts.reread("a chapter's 9");
assert.equal(kept.get("cell", "a chapter's 9"), "a cell that is no more");

// --------------------------------------------------------------------------------------------------------- verified
const bytes = new TextEncoder().encode("what it should be");
const sha256 = createHash("sha256").update(bytes).digest("hex");
const file = { name: "a.zip", address: "x:", bytes: bytes.length, sha256 };
const serve =
  (/** @type {Uint8Array} */ content, status = 200) =>
  async () =>
    new Response(content, { status });
let came = 0;
assert.deepEqual(await verified(file, (/** @type {number} */ n) => (came += n), serve(bytes)), bytes);
assert.equal(came, bytes.length);
const other = bytes.slice();
other[3] ^= 1;
const nothing = () => {};
await assert.rejects(verified(file, nothing, serve(other)), /“a\.zip” is not the file.*SHA-256/);
await assert.rejects(verified(file, nothing, serve(bytes.slice(1))), /16 bytes instead of 17/);
await assert.rejects(verified(file, nothing, serve(new Uint8Array(40))), /more than 17 bytes/);
await assert.rejects(verified(file, nothing, serve(bytes, 404)), /could not be loaded \(the server said 404\)/);
await assert.rejects(
  verified(file, nothing, async () => {
    throw new TypeError("Failed to fetch");
  }),
  /could not be loaded \(Failed to fetch\)/,
);

// ------------------------------------------------------------------------------------------------------------ chart
assert.deepEqual(ticks(0, 300, 5), [0, 100, 200, 300]);
assert.deepEqual(ticks(1.4, 3.1, 4), [1.5, 2, 2.5, 3]);
assert.deepEqual(
  ticks(0, 1, 5).map((x) => +x.toFixed(3)),
  [0, 0.2, 0.4, 0.6, 0.8, 1],
);
const points = [4, 3, "nan", 1].map((loss, step) => ({ step, loss }));
const average = smooth(points);
assert.equal(average[0].loss, 4);
assert.equal(average[2].loss, "nan");
assert.ok(average[3].loss < 4 && average[3].loss > 1);
for (const losses of [[0, 0], [3, 1], ["nan", 3], ["nan", "inf"], []]) {
  const points = losses.map((loss, step) => ({ step, loss }));
  const uniform = losses[0] === 0 ? 0 : 3.2; // a text of one letter leaves nothing to guess
  const { low, high, x, y } = scaleOf([{ name: "", kind: "edited", points, held: [] }], 9, [{ loss: uniform }], 500);
  assert.ok(low < high && [x(0), x(9), y(0), y(uniform), y(1e30)].every(Number.isFinite), String(losses));
}

// ---------------------------------------------------------------------------------------------------------- choices
for (const right of ["1", "7", "300", "5000", "1e3"]) assert.equal(wrongSteps(right), "");
for (const wrong of ["0", "-3", "2.5", "5001", "1e9"])
  assert.equal(wrongSteps(wrong), `${wrong} is not a whole number from 1 to 5,000.`);
assert.equal(wrongSteps(""), "Enter a whole number from 1 to 5,000.");
const fileOf = (/** @type {ArrayLike<number>} */ content, size = content.length) => ({
  name: "a.txt",
  size,
  arrayBuffer: async () => Uint8Array.from(content).buffer,
});
const encoded = (/** @type {string} */ text) => new TextEncoder().encode(text);
assert.equal(await textOf(fileOf(encoded("\ufeffä\r\nb\rc"))), "ä\nb\nc");
for (const [file, said] of [
  [fileOf([], 10e6), /“a\.txt” has 10\.0 MB; a text may have 2 MB here/],
  [fileOf([0xff, 0xfe, 0]), /“a\.txt” is no text in UTF-8\.$/],
  [fileOf([0x61, 0, 0x62, 0]), /no text in UTF-8: it has null characters/], // UTF-16 without a mark
  [{ name: "a.txt", size: 1, arrayBuffer: () => Promise.reject(new Error("gone")) }, /cannot be read/],
])
  await assert.rejects(textOf(file), { message: said });
console.log("all is as it should be");
