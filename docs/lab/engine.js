/**
 * Python, as the page sees it: loaded once and verified, asked by name, stopped at any moment. What is loaded stays
 * in the page, so that a worker which was stopped starts again without a network.
 */

import { verified } from "./verified.js";

/**
 * @typedef {{file: string, line: number | null, text?: string, name?: string}} Place
 * @typedef {{kind: string, message: string, place: Place | null, lines: Place[], fatal?: boolean,
 *   stopped?: boolean}} Failed
 * @typedef {{wheel: Pinned, beside: Pinned[], text: Pinned, first: string[], files: Record<string, string>,
 *   hashes: Record<string, string>}} Lab
 * @typedef {import("./verified.js").Pinned} Pinned
 * @typedef {"empty" | "loading" | "ready" | "busy" | "failed"} State
 */

/** What ended Python, in words. @param {string} message @returns {Failed} */
function ended(message) {
  const why = message.includes("call stack") ? "a recursion was deeper than this browser allows" : message;
  const next =
    "It starts anew with its next use. Your edits are kept, the trained model and the names of cells are not.";
  return { kind: "", message: `Python ended: ${why}. ${next}`, place: null, lines: [], fatal: true };
}

export class Engine {
  /**
   * @param {Lab} lab @param {{from: string, files: Record<string, any>}} pyodide
   * @param {{progress: (said: string, loaded?: number, of?: number) => void, state: (state: State) => void}} told
   */
  constructor(lab, pyodide, told) {
    this.lab = lab;
    this.pyodide = pyodide;
    this.told = told;
    /** @type {Record<string, Uint8Array> | null} */
    this.bytes = null;
    /** @type {Worker | null} */
    this.worker = null;
    /** @type {Map<number, {done: (value: any) => void, failed: (why: Failed) => void}>} */
    this.asked = new Map();
    this.count = 0;
    /** @type {State} */
    this.state = "empty";
    /** @type {Promise<any> | null} */
    this.booting = null;
    /** @type {Promise<Record<string, Uint8Array>> | null} */
    this.loading = null;
    this.generation = 0; // of the start that counts; what an earlier one says or throws changes nothing
    /** @type {(why: Failed) => void} ends a start that still loads */
    this.interrupt = () => {};
    this.versions = { python: "", numpy: "", tinytensor: "" };
  }

  /** The bytes of the first visit. */
  get size() {
    const files = [...Object.values(this.pyodide.files), this.lab.wheel, ...this.lab.beside, this.lab.text];
    return files.reduce((sum, file) => sum + file.bytes, 0);
  }

  /** The text to train on, which came with the first visit. */
  get text() {
    return new TextDecoder().decode(this.bytes?.[this.lab.text.name]);
  }

  /** Load what is not loaded yet, and start Python. Asked again while it starts, it waits for the same start. */
  start() {
    if (this.booting) return this.booting;
    const mine = ++this.generation;
    this.booting = this.boot(mine).catch((error) => {
      if (mine === this.generation) {
        this.booting = null;
        this.worker?.terminate();
        this.worker = null;
        this.become("failed");
      }
      throw error;
    });
    return this.booting;
  }

  /** @param {number} mine the generation of this start */
  async boot(mine) {
    const ended = new Promise((_, failed) => (this.interrupt = failed));
    this.become("loading");
    this.loading ??= this.load().catch((error) => {
      this.loading = null;
      throw error;
    });
    const bytes = (this.bytes = /** @type {any} */ (await Promise.race([this.loading, ended])));
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker = worker;
    worker.onmessage = ({ data }) => {
      if (mine === this.generation) this.heard(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (mine === this.generation) this.end(ended(event.message || "perhaps it had no memory left"));
    };
    const { wheel, first } = this.lab;
    this.versions = await this.send("boot", { from: this.pyodide.from, bytes, wheel: wheel.name, first });
    this.become("ready");
  }

  async load() {
    const { lab, pyodide } = this;
    const files = [
      ...Object.entries(pyodide.files).map(([name, about]) => ({
        ...about,
        name,
        address: new URL(name, pyodide.from).href,
      })),
      ...[lab.wheel, ...lab.beside, lab.text].map((about) => ({
        ...about,
        address: new URL(about.name, document.baseURI).href,
      })),
    ];
    let loaded = 0;
    const came = (/** @type {number} */ bytes) => this.told.progress("Loading", (loaded += bytes), this.size);
    came(0);
    const contents = await Promise.all(files.map((file) => verified(file, came)));
    return Object.fromEntries(files.map((file, i) => [file.name, contents[i]]));
  }

  /**
   * Call what the package laboratory answers. It starts Python if it has to.
   * @param {string} call @param {any} [given] @returns {Promise<any>}
   */
  async ask(call, given = {}) {
    await this.start();
    this.become("busy");
    try {
      return await this.send(call, given);
    } finally {
      if (this.state === "busy" && this.asked.size === 0) this.become("ready");
    }
  }

  /** @param {string} call @param {any} given @returns {Promise<any>} */
  send(call, given) {
    const id = ++this.count;
    return new Promise((done, failed) => {
      this.asked.set(id, { done, failed });
      /** @type {Worker} */ (this.worker).postMessage({ id, call, given });
    });
  }

  /** @param {any} data */
  heard(data) {
    if (data.progress) return this.told.progress(data.progress);
    if (data.failed?.fatal && this.state !== "loading") return this.end(ended(data.failed.message));
    const asked = this.asked.get(data.id);
    this.asked.delete(data.id);
    if (data.failed) asked?.failed(data.failed);
    else asked?.done(data.value);
  }

  /** End whatever Python does, an endless loop too, and start it anew. */
  stop() {
    this.end({ kind: "", message: "stopped", place: null, lines: [], stopped: true });
    return this.start();
  }

  /** @param {Failed} why */
  end(why) {
    this.generation++;
    this.interrupt(why);
    this.worker?.terminate();
    this.worker = null;
    this.booting = null;
    const waiting = [...this.asked.values()];
    this.asked.clear();
    this.become("empty");
    for (const each of waiting) each.failed(why);
  }

  /** @param {State} state */
  become(state) {
    this.state = state;
    this.told.state(state);
  }
}
