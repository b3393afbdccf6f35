/**
 * node tests/lab/steps.mjs PYODIDE LABORATORY: how long a training step takes in Pyodide, by kind of product.
 * PYODIDE is a folder with its files (SciPy among them, if that is to be compared), LABORATORY a built laboratory.
 * Processor time is counted, so that other programs disturb less.
 */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, laboratory] = process.argv.slice(2).map((path) => resolve(path));
const load = (/** @type {string} */ name) => import(pathToFileURL(`${folder}/${name}`).href);
const { loadPyodide } = await load("pyodide.mjs");
const core = (await load("pyodide.asm.mjs")).default;
let memory;
const pyodide = await loadPyodide({
  indexURL: `${folder}/`,
  createPyodideModule: (settings) => {
    const { instantiateWasm } = settings;
    settings.instantiateWasm = (imports, done) =>
      instantiateWasm(imports, (instance, module) => {
        memory = instance.exports.memory;
        done(instance, module);
      });
    return core(settings);
  },
});
const quiet = { messageCallback: () => {}, errorCallback: () => {} };
await pyodide.loadPackage(["numpy", "scipy", "threadpoolctl"], quiet);
const { instance } = await WebAssembly.instantiate(readFileSync(`${laboratory}/product.wasm`), { env: { memory } });
const { product } = instance.exports;
pyodide.globals.set("multiply", (...given) => {
  const [a, aRow, aColumn, b, bRow, y, yRow, n, k, m, outer, inner, a0, a1, b0, b1, y0, y1] = given;
  for (let i = 0; i < outer; i++)
    for (let j = 0; j < inner; j++)
      product(a + i * a0 + j * a1, aRow, aColumn, b + i * b0 + j * b1, bRow, y + i * y0 + j * y1, yRow, n, k, m);
});
pyodide.globals.set("cpu", () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
});
pyodide.mountNodeFS("/repository", resolve(import.meta.dirname, "../.."));
pyodide.runPython(readFileSync(new URL("steps.py", import.meta.url), "utf8"));
