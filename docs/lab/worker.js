/**
 * The worker: Pyodide, from files that the page loaded and verified, and the package laboratory in it. The page asks by
 * messages {id, call, given}, and gets {id, value} or {id, failed}; while Python starts, {progress}.
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

/**
 * The product of matrices by vector instructions, on Python's own memory (product.wat): undefined without the file,
 * and where the browser has none of these instructions.
 * @param {Uint8Array | undefined} bytes @param {WebAssembly.Memory} memory
 */
async function multiplication(bytes, memory) {
  if (!bytes || !memory) return undefined;
  try {
    const made = await WebAssembly.instantiate(/** @type {BufferSource} */ (bytes), { env: { memory } });
    const product = /** @type {(...numbers: number[]) => void} */ (made.instance.exports.product);
    return (/** @type {number[]} */ ...given) => {
      const [a, aRow, aColumn, b, bRow, y, yRow, n, k, m, outer, inner, a0, a1, b0, b1, y0, y1] = given;
      for (let i = 0; i < outer; i++)
        for (let j = 0; j < inner; j++)
          product(a + i * a0 + j * a1, aRow, aColumn, b + i * b0 + j * b1, bRow, y + i * y0 + j * y1, yRow, n, k, m);
    };
  } catch {
    return undefined;
  }
}

/** @param {{from: string, bytes: Record<string, Uint8Array>, wheel: string, first: string[]}} given */
async function boot({ from, bytes, wheel, first }) {
  progress("Starting Python");
  for (const [name, content] of Object.entries(bytes)) held.set(new URL(name, from).href, content);
  const memory = await start(from, bytes);
  progress("Starting NumPy");
  await pyodide.loadPackage(first, { messageCallback: () => {}, errorCallback: () => {} });
  held.clear();
  progress("Importing the engine");
  pyodide.FS.mkdirTree("/lab/original");
  pyodide.unpackArchive(bytes[wheel], "wheel", { extractDir: "/lab/original" });
  pyodide.unpackArchive(bytes["laboratory.zip"], "zip", { extractDir: "/lab" });
  pyodide.globals.set("_multiply", await multiplication(bytes["product.wasm"], memory));
  const run = pyodide.runPython(LABORATORY);
  ask = (/** @type {string} */ name, /** @type {any} */ given) => {
    const { value, failed } = JSON.parse(run(name, JSON.stringify(given)));
    if (failed) throw failed;
    return value;
  };
  return ask("warm", {});
}

/** A function of a name and JSON, which returns JSON. */
const LABORATORY = `
import sys
from pathlib import Path
sys.path.insert(0, "/lab")
import laboratory
_laboratory = laboratory.Laboratory(Path("/lab/original"), Path("/lab/edited"), _multiply)
lambda name, given: laboratory.answer(_laboratory, name, given)
`;

/**
 * Start Pyodide. @param {string} from @param {Record<string, Uint8Array>} bytes
 * @returns {Promise<WebAssembly.Memory>} that of Python
 */
async function start(from, bytes) {
  const { loadPyodide } = await imported(bytes["pyodide.mjs"]);
  const core = await imported(bytes["pyodide.asm.mjs"]);
  /** @type {any} */
  let memory = null;
  const createPyodideModule = (/** @type {any} */ settings) => {
    const { instantiateWasm } = settings;
    settings.instantiateWasm = (/** @type {any} */ imports, /** @type {any} */ done) =>
      instantiateWasm(imports, (/** @type {WebAssembly.Instance} */ instance, /** @type {any} */ module) => {
        memory = instance.exports.memory;
        done(instance, module);
      });
    return core.default(settings);
  };
  pyodide = await loadPyodide({
    indexURL: from,
    packageBaseUrl: from,
    lockFileContents: new TextDecoder().decode(bytes["pyodide-lock.json"]),
    createPyodideModule,
    stdin: () => null, // input() finds no line, and says so
    stdout: () => {},
    stderr: () => {},
  });
  return memory;
}

/**
 * Load the packages of Pyodide that a cell imports, matplotlib for example. Code that Python cannot read has none: the
 * cell says where, when it runs.
 * @param {string} code
 */
async function packages(code) {
  /** @type {string[]} */
  const missing = [];
  try {
    await pyodide.loadPackagesFromImports(code, {
      messageCallback: (/** @type {string} */ said) => progress(said),
      errorCallback: (/** @type {string} */ said) => missing.push(said),
    });
  } catch (error) {
    if (isFatal(error)) throw error;
    if (!(error instanceof pyodide.ffi.PythonError)) missing.push(messageOf(error));
  }
  if (missing.length)
    throw { kind: "", message: `a package could not be loaded: ${missing[0]}`, place: null, lines: [] };
}

/** The first line of what was thrown. @param {any} error */
const messageOf = (error) => String(error?.message ?? error).split("\n")[0];

/** Whether Python runs no more: WebAssembly itself failed in it. @param {any} error */
const isFatal = (error) => Boolean(error?.pyodide_fatal_error) || error instanceof RangeError;

self.onmessage = async ({ data: { id, call, given } }) => {
  try {
    if (call === "cell") await packages(given.code);
    postMessage({ id, value: call === "boot" ? await boot(given) : ask(call, given) });
  } catch (error) {
    const told = /** @type {any} */ (error);
    const known = told && typeof told === "object" && "lines" in told;
    // All that Python raises, laboratory.answer tells in words. So what comes here otherwise is Python's end.
    const fatal = { kind: "", message: messageOf(told), place: null, lines: [], fatal: true };
    postMessage({ id, failed: known ? told : fatal });
  }
};
