// How every number came about, under Node: node derive.mjs FOLDER, which has page.html and the page's scripts.
// Forward: each derivation gives the number that the pass has. Backward: what all numbers pass back to a value adds up to its
// gradient. Prints the largest differences by value and by parameter, each divided by the largest gradient there.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const html = readFileSync(`${folder}/page.html`, "utf8");
const texts = Object.fromEntries(["data", "bytes"].map((id) => [id, new RegExp(`id="${id}">([^<]*)</script>`).exec(html)[1]]));
globalThis.document = { getElementById: (id) => ({ textContent: texts[id] }) };
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`).href);
const [{ Content }, { Subject }, { derive, gradientOf, why }, { number }] = await Promise.all(["data", "subject", "derive", "dom"].map(load));

const subject = new Subject(await Content.read());
subject.run();
const passed = new Map(); // by name: Σ of what is passed back to each number
let forward = 0;
const wrong = []; // formulas whose shown numbers do not give the result that is shown beside them
let calculated = 0;

/** What a calculator says: the arithmetic at the end of a formula, as it is written. */
function calculator(formula) {
  const text = formula.split(/[=;] /).at(-1).replace(/−/g, "-").replace(/·/g, "*").replace(/e\^(\S+)/, "Math.exp($1)");
  return Function(`return ${text};`)();
}
const ARITHMETIC = new Set(["add", "multiply", "linear", "norm", "scores", "softmax"]);

function cells(shape) {
  return shape.reduce((all, n) => all.flatMap((index) => Array.from({ length: n }, (_, i) => [...index, i])), [[]]);
}
const place = (shape, index) => index.reduce((at, i, axis) => at * shape[axis] + i, 0);

for (const { name } of subject.steps) {
  for (const index of cells(subject.value(name).shape)) {
    const cell = { name, index };
    const { terms, result, formula } = derive(subject, cell);
    const value = subject.at(cell);
    if (value !== result) forward = Math.max(forward, Math.abs(value - result));
    if (ARITHMETIC.has(subject.step.get(name).operation) && terms.length) {
      calculated++;
      if (number(calculator(formula), 6) !== number(result, 6)) wrong.push(`${name}[${index}]: ${formula} = ${result}`);
    }
    const dy = subject.gradientAt(cell);
    for (const term of terms) {
      const back = (to, slope) => {
        const { shape, array } = subject.numbers(to.name);
        if (!passed.has(to.name)) passed.set(to.name, new Float64Array(array.length));
        passed.get(to.name)[place(shape, to.index)] += dy * slope;
      };
      back(term.cell, term.slope);
      const by = term.times; // a weight has its gradient from here, where it has no term of its own
      if (by?.name && subject.isParameter(by.name)) back(by, subject.at(term.cell));
    }
  }
}

const apart = (a, b) => {
  const size = Math.max(...b.map(Math.abs)) || 1;
  return a.length === b.length ? Math.max(...a.map((x, i) => Math.abs(x - b[i]))) / size : 1e300;
};
const values = {}, parameters = {}, norms = {};
for (const { name } of subject.steps) {
  if (name !== "output.1") values[name] = apart(passed.get(name), subject.gradient(name).array);
}
for (const [name, { shape }] of subject.model.weights) {
  const whole = gradientOf(subject, name);
  parameters[name] = apart(passed.get(name), whole);
  const sums = cells(shape).map((index) => why(subject, { name, index }).reduce((sum, share) => sum + share.part, 0));
  parameters[name] = Math.max(parameters[name], apart(Float64Array.from(sums), whole));
  norms[name] = Math.sqrt(whole.reduce((sum, x) => sum + x * x, 0));
}
const engine = Object.fromEntries(subject.data.flow.parameters.map(({ name, norm }) => [name, norm]));
const made = Object.fromEntries(subject.steps.map(({ name }) =>
  [name, { calls: subject.calls(name).map((call) => call.primitive), formula: subject.formula(name) }]));
console.log(JSON.stringify({ made, forward, wrong, calculated, values, parameters, norms, engine }));
