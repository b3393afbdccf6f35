/**
 * What the file carries: one JSON with the names, and the bytes of all arrays.
 *
 * gpt/inspection/pack.py wrote the bytes: arrays one after the other, compressed, in base 85. Of each array the first
 * bytes of all numbers stand together, then all second ones: bytes that are alike compress better. Here they go back to
 * their places.
 */

import { byId } from "./dom.js";

/** @typedef {import("./forward.js").Value} Value */

/**
 * @typedef {{id: number, text: string}} Token
 * @typedef {{primitive: string, formula: string, module: string, lines: [string, number, string][],
 *   pair: {forward: [string, number, number] | null, backward: [string, number, number] | null},
 *   inputs: any[], output: string | string[], static?: Record<string, any>,
 *   check: {error: number, elements: number, scale: number, tolerance: number, ok: boolean | null,
 *     worst: string} | null}} Call
 */

/** The JSON of the page, and its arrays by name. */
export class Content {
  /** @param {any} data @param {Uint8Array} bytes */
  constructor(data, bytes) {
    this.data = data;
    this.bytes = bytes;
    /** @type {Map<string, Value>} */
    this.unpacked = new Map();
  }

  /** @returns {Promise<Content>} */
  static async read() {
    const data = JSON.parse(byId("data").textContent ?? "");
    const bytes = fromBase85((byId("bytes").textContent ?? "").trim());
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const content = new Content(data, new Uint8Array(await new Response(stream).arrayBuffer()));
    // The longer part of the JSON (values, calls, sources, flow) is compressed with the arrays.
    const more = Uint8Array.from(/** @type {Value} */ (content.array("json")).array);
    Object.assign(data, JSON.parse(new TextDecoder().decode(more)));
    return content;
  }

  /** @param {string} name */
  has(name) {
    return name in this.data.arrays;
  }

  /**
   * The array of this name; undefined if there is none. It is unpacked when it is first asked for.
   * @param {string} name @returns {Value | undefined}
   */
  array(name) {
    const about = this.has(name) ? this.data.arrays[name] : undefined;
    if (about && !this.unpacked.has(name)) {
      this.unpacked.set(name, about.view === undefined ? this.unpack(name, about) : this.view(name, about));
    }
    return this.unpacked.get(name);
  }

  /** @param {string} name @param {{shape: number[], dtype: string, offset: number}} about @returns {Value} */
  unpack(name, { shape, dtype, offset }) {
    const width = { f4: 4, i4: 4, f2: 2, u1: 1 }[dtype] ?? 4;
    const count = shape.reduce((n, size) => n * size, 1);
    const plain = new Uint8Array(count * width);
    for (let b = 0; b < width; b++) {
      for (let i = 0; i < count; i++) plain[i * width + b] = this.bytes[offset + b * count + i];
    }
    if (dtype === "f4") return { shape, array: new Float32Array(plain.buffer) };
    if (dtype === "i4") return { shape, array: new Int32Array(plain.buffer) };
    if (dtype === "u1") return { shape, array: Int32Array.from(plain) };
    const scale = this.data.scales?.[name] ?? 1;
    return { shape, array: Float32Array.from(new Uint16Array(plain.buffer), (half) => scale * fromHalf(half)) };
  }

  /**
   * Numbers of another array in another order: as strides of its elements say for the dimensions `dims`.
   * @param {string} name
   * @param {{view: string, shape: number[], dims: number[], strides: number[], start: number}} about @returns {Value}
   */
  view(name, { view, shape, dims, strides, start }) {
    const base = /** @type {Value} */ (this.array(view)).array;
    const scale = (this.data.scales?.[name] ?? 1) / (this.data.scales?.[view] ?? 1);
    const array = new Float32Array(shape.reduce((n, size) => n * size, 1));
    const index = new Array(dims.length).fill(0);
    for (let i = 0; i < array.length; i++) {
      array[i] = scale * base[index.reduce((at, k, axis) => at + k * strides[axis], start)];
      for (let axis = dims.length - 1; axis >= 0 && ++index[axis] === dims[axis]; axis--) index[axis] = 0;
    }
    return { shape, array };
  }
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%:()*+-;,=.?@^_`{|}~";

/**
 * Base 85: five characters are a number below 2³², its four bytes in order. The last group was filled up with "~".
 * @param {string} text
 */
function fromBase85(text) {
  const value = new Uint8Array(128);
  for (let i = 0; i < DIGITS.length; i++) value[DIGITS.charCodeAt(i)] = i;
  const groups = Math.ceil(text.length / 5);
  const padded = text.padEnd(5 * groups, "~");
  const bytes = new DataView(new ArrayBuffer(4 * groups));
  for (let g = 0; g < groups; g++) {
    let sum = 0;
    for (let i = 5 * g; i < 5 * g + 5; i++) sum = sum * 85 + value[padded.charCodeAt(i)];
    bytes.setUint32(4 * g, sum);
  }
  return new Uint8Array(bytes.buffer, 0, 4 * groups - (5 * groups - text.length));
}

/** A float16: a sign, 5 bits of exponent, 10 of fraction. @param {number} bits */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 25) * (1024 + fraction);
}
