/**
 * What the reader wrote, kept in the browser: every text under a key of its own, as it is. A text that another tab
 * writes does not overwrite those of this one, and no value can be damaged for the others.
 */

const PREFIX = "tinytensor.laboratory:";

export class Store {
  /** @param {() => Storage} storage throws where the browser keeps nothing @param {(why: string) => void} complain */
  constructor(storage, complain) {
    this.complain = complain;
    /** @type {Map<string, string>} the truth of this page; the storage is a copy */
    this.texts = new Map();
    /** @type {Storage | null} */
    this.storage = null;
    try {
      this.storage = storage();
      for (let i = 0; i < this.storage.length; i++) {
        const key = this.storage.key(i) ?? "";
        const value = key.startsWith(PREFIX) ? this.storage.getItem(key) : null;
        if (typeof value === "string") this.texts.set(key.slice(PREFIX.length), value);
      }
    } catch {
      this.storage = null;
      complain("This browser keeps nothing for this page: what you write is lost when you leave it.");
    }
  }

  /** @param {string} kind "edit", "cell", … @param {string} name @returns {string | undefined} */
  get(kind, name) {
    return this.texts.get(`${kind}:${name}`);
  }

  /**
   * Keep a text; undefined removes it. Where there is no room, the page still has it, and says so.
   * @param {string} kind @param {string} name @param {string | undefined} text
   */
  set(kind, name, text) {
    const key = `${kind}:${name}`;
    if (text === undefined) this.texts.delete(key);
    else this.texts.set(key, text);
    if (!this.storage) return;
    try {
      if (text === undefined) this.storage.removeItem(PREFIX + key);
      else this.storage.setItem(PREFIX + key, text);
    } catch {
      this.complain(
        `The browser has no room to keep “${name}”: it is lost when you leave the page. ` +
          "Copy it, or free some room.",
      );
    }
  }

  /** All texts of a kind by name. @param {string} kind @returns {Record<string, string>} */
  all(kind) {
    const start = `${kind}:`;
    const found = [...this.texts].filter(([key]) => key.startsWith(start));
    return Object.fromEntries(found.map(([key, text]) => [key.slice(start.length), text]));
  }

  /**
   * Another tab wrote: the kind and name of what changed, if it is ours.
   * @param {{key: string | null, newValue: string | null}} event @returns {[string, string] | null}
   */
  changed(event) {
    if (!event.key?.startsWith(PREFIX)) return null;
    const key = event.key.slice(PREFIX.length);
    if (event.newValue === null) this.texts.delete(key);
    else this.texts.set(key, event.newValue);
    const at = key.indexOf(":");
    return [key.slice(0, at), key.slice(at + 1)];
  }
}
