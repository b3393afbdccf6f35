/** Files that are what they should be: their bytes have the hash that is pinned, or they are refused. */

/**
 * @typedef {{name: string, address: string, bytes: number, sha256: string}} Pinned
 */

/** @param {Uint8Array} bytes @returns {Promise<string>} in hexadecimal */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle)
    throw new Error(
      "this address is not secure, so the browser cannot check what it loads: open the page by https, or on localhost",
    );
  const digest = await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Load a file, and compare its hash. It tells how many bytes come in, piece by piece.
 * @param {Pinned} file @param {(bytes: number) => void} came @param {typeof fetch} [get]
 * @returns {Promise<Uint8Array>}
 */
export async function verified(file, came, get = fetch) {
  let bytes;
  try {
    bytes = await received(file, came, get);
  } catch (error) {
    if (error instanceof Changed) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`“${file.name}” could not be loaded (${why}): is the connection there? Then try again.`);
  }
  const found = await sha256(bytes);
  if (found !== file.sha256)
    throw new Changed(file.name, `SHA-256 ${found.slice(0, 12)}…, and ${file.sha256.slice(0, 12)}… is pinned`);
  return bytes;
}

/** As many bytes as are pinned. @param {Pinned} file @param {(bytes: number) => void} came @param {typeof fetch} get */
async function received(file, came, get) {
  const bytes = new Uint8Array(file.bytes);
  let length = 0;
  const response = await get(file.address);
  if (!response.ok || !response.body) throw new Error(`the server said ${response.status}`);
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (length + value.length > file.bytes) throw new Changed(file.name, `more than ${file.bytes} bytes`);
    bytes.set(value, length);
    length += value.length;
    came(value.length);
  }
  if (length !== file.bytes) throw new Changed(file.name, `${length} bytes instead of ${file.bytes}`);
  return bytes;
}

class Changed extends Error {
  /** @param {string} name @param {string} how */
  constructor(name, how) {
    super(`“${name}” is not the file that this page was made for (${how}), so it was not run`);
  }
}
