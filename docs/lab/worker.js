/**
 * The worker: Pyodide, from files that the page loaded and verified, and laboratory.py in it. The page asks by messages
 * {id, call, given}, and gets {id, value} or {id, failed}; while Python starts, {progress}.
 */

/** @type {any} */
let pyodide = null;
/** @type {any} */
let ask = null;
/** What Pyodide would fetch, by its address: bytes that were verified. @type {Map<string, Uint8Array>} */
const held = new Map();

/** @param {string} said */
const progress = (said) => postMessage({ progress: said });

// The files of Pyodide's core come from `held` alone. All others go to the network: packages, which Pyodide compares
// with the hashes of its lock file, and that one is verified.
const network = self.fetch.bind(self);
self.fetch = (input, options) => {
  const address = input instanceof Request ? input.url : String(input);
  const bytes = held.get(address);
  if (!bytes) return network(input, options);
  const type = address.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
  return Promise.resolve(new Response(/** @type {BodyInit} */ (bytes), { headers: { "Content-Type": type } }));
};

/** A module whose bytes were verified. @param {Uint8Array} bytes */
async function imported(bytes) {
  const address = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** @param {{from: string, bytes: Record<string, Uint8Array>, wheel: string, first: string[]}} given */
async function boot({ from, bytes, wheel, first }) {
  progress("Starting Python");
  for (const [name, content] of Object.entries(bytes)) held.set(new URL(name, from).href, content);
  const { loadPyodide } = await imported(bytes["pyodide.mjs"]);
  const core = await imported(bytes["pyodide.asm.mjs"]);
  pyodide = await loadPyodide({
    indexURL: from,
    packageBaseUrl: from,
    lockFileContents: new TextDecoder().decode(bytes["pyodide-lock.json"]),
    createPyodideModule: core.default,
    stdout: () => {},
    stderr: () => {},
  });
  progress("Starting NumPy");
  await pyodide.loadPackage(first, { messageCallback: () => {}, errorCallback: () => {} });
  held.clear();
  progress("Importing the engine");
  pyodide.FS.mkdirTree("/lab/original");
  pyodide.unpackArchive(bytes[wheel], "wheel", { extractDir: "/lab/original" });
  pyodide.FS.writeFile("/lab/laboratory.py", bytes["laboratory.py"]);
  const run = pyodide.runPython(`
import sys
from pathlib import Path
sys.path.insert(0, "/lab")
import laboratory
_laboratory = laboratory.Laboratory(Path("/lab/original"), Path("/lab/edited"))
lambda name, given: laboratory.answer(_laboratory, name, given)
`);
  ask = (/** @type {string} */ name, /** @type {any} */ given) => {
    const { value, failed } = JSON.parse(run(name, JSON.stringify(given)));
    if (failed) throw failed;
    return value;
  };
  return ask("warm", {});
}

/** Load the packages of Pyodide that a cell imports, matplotlib for example. @param {string} code */
async function packages(code) {
  /** @type {string[]} */
  const missing = [];
  await pyodide.loadPackagesFromImports(code, {
    messageCallback: (/** @type {string} */ said) => progress(said),
    errorCallback: (/** @type {string} */ said) => missing.push(said),
  });
  if (missing.length)
    throw { kind: "", message: `a package could not be loaded: ${missing[0]}`, place: null, lines: [] };
}

self.onmessage = async ({ data: { id, call, given } }) => {
  try {
    if (call === "cell") await packages(given.code);
    postMessage({ id, value: call === "boot" ? await boot(given) : ask(call, given) });
  } catch (error) {
    const told = /** @type {any} */ (error);
    const known = told && typeof told === "object" && "lines" in told;
    const message = String(told?.message ?? told);
    postMessage({ id, failed: known ? told : { kind: "", message, place: null, lines: [], fatal: true } });
  }
};
