/**
 * Texts that the reader may change: the files of the engine, the cells of the chapters, the solutions of exercises.
 * What each was and what it is, the last undo and the way back from it, and what another tab of the browser writes.
 */

/** @typedef {import("./store.js").Store} Store @typedef {import("./editor.js").Editor} Editor */

export class Texts {
  /**
   * @param {Store} store @param {string} kind the store has each under it @param {Record<string, string>} originals
   * name: the text as it was @param {(name: string) => Editor | null | undefined} shown the editor that has it now
   */
  constructor(store, kind, originals, shown) {
    this.store = store;
    this.kind = kind;
    this.originals = originals;
    this.shown = shown;
    /** @type {Set<() => void>} */
    this.changed = new Set();
    /** @type {Record<string, string>} what the last undo took away */
    this.undone = {};
  }

  /** What differs from the originals, name: text. @returns {Record<string, string>} */
  edits() {
    const kept = Object.entries(this.store.all(this.kind));
    return Object.fromEntries(kept.filter(([name, text]) => name in this.originals && text !== this.originals[name]));
  }

  /** @param {string} name */
  text(name) {
    return this.store.get(this.kind, name) ?? this.originals[name];
  }

  /** What the reader wrote in the editor. @param {string} name @param {string} text */
  write(name, text) {
    this.store.set(this.kind, name, text === this.originals[name] ? undefined : text);
    this.undone = {};
    this.tell();
  }

  /** Write a text from outside of the editor. @param {string} name @param {string} text */
  put(name, text) {
    this.shown(name)?.replace(text);
    this.write(name, text);
  }

  /** @param {string[]} names */
  undo(names) {
    const undone = Object.fromEntries(Object.entries(this.edits()).filter(([name]) => names.includes(name)));
    for (const name of Object.keys(undone)) this.put(name, this.originals[name]);
    this.undone = undone;
    this.tell();
  }

  /** Bring back what the last undo took away. */
  redo() {
    for (const [name, text] of Object.entries(this.undone)) this.put(name, text);
  }

  /** Another tab of the browser wrote this text. @param {string} name */
  reread(name) {
    if (!(name in this.originals)) return;
    const [editor, text] = [this.shown(name), this.text(name)];
    if (editor && editor.text !== text) editor.replace(text);
    this.tell();
  }

  tell() {
    for (const each of this.changed) each();
  }
}

/**
 * Two buttons for some of the texts: one takes the reader's changes away, the other brings them back.
 * @param {Texts} texts @param {() => string[]} names those that the buttons are about
 * @param {any} undo @param {any} redo
 */
export function waysBack(texts, names, undo, redo) {
  const show = () => {
    const mine = names();
    undo.disabled = !mine.some((name) => name in texts.edits());
    redo.hidden = !mine.some((name) => name in texts.undone);
  };
  undo.onclick = () => {
    texts.undo(names());
    redo.focus();
  };
  redo.onclick = () => {
    texts.redo();
    undo.focus();
  };
  texts.changed.add(show);
  return show;
}
