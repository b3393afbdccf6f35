/** The files of the engine: the list, the editor, what changed in each, and the way back. */

import { difference, hunks } from "./diff.js";
import { byId, el } from "./dom.js";
import { makeEditor } from "./editor.js";
import { Texts } from "./texts.js";

/** @typedef {import("./store.js").Store} Store */

/** @type {[string, string][]} a heading, and how the paths under it begin */
const GROUPS = [
  ["Kernels: forward, backward", "tinytensor/ops/"],
  ["The tape, and what is around it", "tinytensor/"],
  ["Layers and their functions", "tinytensor/nn/"],
  ["Optimizers", "tinytensor/optim/"],
  ["The model and its training", "gpt/"],
];
const FIRST = "tinytensor/ops/gelu.py";

/** @param {string} path */
const groupOf = (path) =>
  GROUPS.reduce((best, [, start], i) => {
    const isLonger = best < 0 || start.length > GROUPS[best][1].length;
    return path.startsWith(start) && isLonger ? i : best;
  }, -1);

export class Files extends Texts {
  /**
   * @param {Record<string, string>} originals path: text @param {Record<string, string>} hashes path: that of the text
   * @param {Store} store
   */
  constructor(originals, hashes, store) {
    super(store, "edit", originals, (path) => (path === this.path ? this.editor : null));
    this.hashes = hashes;
    this.path = "";
    /** @type {Record<string, string | undefined>} the versions that the edits of the last undo were of */
    this.bases = {};
    /** @type {import("./editor.js").Editor | null} */
    this.editor = null;
    /** @type {Map<string, any>} */
    this.buttons = new Map();
    this.list();
    this.changed.add(() => this.show());
    byId("show-changes").onclick = () => this.showChanges(byId("changes").hidden);
    byId("undo").onclick = () => this.undo([this.path]);
    byId("undo-all").onclick = () => this.undo(Object.keys(this.edits()));
    byId("redo").onclick = () => this.redo();
  }

  /** @param {string} [path] */
  async start(path = FIRST) {
    const wide = matchMedia("(min-width: 1160px)");
    const box = /** @type {HTMLDetailsElement} */ (byId("files-box"));
    box.open = wide.matches;
    wide.addEventListener("change", () => (box.open = wide.matches));
    this.path = path in this.originals ? path : FIRST in this.originals ? FIRST : Object.keys(this.originals)[0];
    this.editor = await makeEditor(byId("editor"), {
      label: this.path,
      text: this.text(this.path),
      changed: (text) => this.write(this.path, text),
    });
    this.show();
  }

  /** Edits of files that this version of the engine does not have. They stay in the browser. */
  strangers() {
    return Object.keys(this.store.all("edit")).filter((path) => !(path in this.originals));
  }

  /** Edits of another version of the file than the one that the engine has. */
  outdated() {
    return Object.keys(this.edits()).filter((path) => this.store.get("base", path) !== this.hashes[path]);
  }

  /** Take an edit as one of the version that the engine has. @param {string} path */
  keep(path) {
    this.store.set("base", path, this.hashes[path]);
  }

  /** @param {string} path @param {string} text */
  write(path, text) {
    const base = path in this.edits() ? this.store.get("base", path) : this.hashes[path];
    this.store.set("base", path, text === this.originals[path] ? undefined : base);
    super.write(path, text);
  }

  /** @param {string[]} paths */
  undo(paths) {
    this.bases = Object.fromEntries(paths.map((path) => [path, this.store.get("base", path)]));
    super.undo(paths);
    this.editor?.mark(null);
    this.editor?.focus();
  }

  redo() {
    super.redo();
    for (const [path, base] of Object.entries(this.bases))
      if (path in this.edits()) this.store.set("base", path, base); // an edit of another version is still one
    this.editor?.focus();
  }

  /**
   * Show a file, and a line of it. @param {string} path @param {number | null} [line] @param {boolean} [wrong]
   * @param {boolean} [focus] whether the editor gets the keyboard @returns {boolean} false if there is no such file
   */
  open(path, line = null, wrong = false, focus = true) {
    if (!(path in this.originals)) return false;
    this.showChanges(false);
    if (path !== this.path) {
      this.path = path;
      this.editor?.open(this.text(path), path);
    }
    if (line !== null) this.editor?.mark(line, wrong, !focus);
    this.show();
    if (focus) this.editor?.focus();
    return true;
  }

  /** Give the keyboard to what the middle of the page shows: the editor, or the changes. */
  focus() {
    if (byId("editor").hidden) byId("changes").focus();
    else this.editor?.focus();
  }

  list() {
    const paths = Object.keys(this.originals);
    byId("files").replaceChildren(
      ...GROUPS.map(([title, start], i) =>
        el(
          "div",
          { class: "file-group" },
          el("h3", {}, title),
          el(
            "ul",
            {},
            ...paths
              .filter((path) => groupOf(path) === i)
              .map((path) => {
                const button = el(
                  "button",
                  { type: "button", class: "file", onclick: () => this.open(path) },
                  path.slice(start.length),
                  el("span", { class: "mark" }),
                );
                this.buttons.set(path, button);
                return el("li", {}, button);
              }),
          ),
        ),
      ),
    );
  }

  show() {
    const edits = this.edits();
    const count = Object.keys(edits).length;
    for (const [path, button] of this.buttons) {
      button.setAttribute("aria-current", String(path === this.path));
      button.querySelector(".mark").textContent = path in edits ? "edited" : "";
    }
    const isEdited = this.path in edits;
    byId("file-title").replaceChildren(this.path, isEdited ? el("span", { class: "mark" }, "edited") : "");
    byId("edited-count").textContent = count ? `${count} edited` : "";
    for (const [id, isOn] of [
      ["show-changes", isEdited],
      ["undo", isEdited],
      ["undo-all", count > 0],
    ])
      /** @type {HTMLButtonElement} */ (byId(String(id))).disabled = !isOn;
    byId("redo").hidden = Object.keys(this.undone).length === 0;
    if (!byId("changes").hidden) this.showChanges(isEdited);
  }

  /** @param {boolean} isShown */
  showChanges(isShown) {
    const box = byId("changes");
    box.hidden = !isShown;
    byId("editor").hidden = isShown;
    byId("keys").hidden = isShown;
    byId("show-changes").setAttribute("aria-pressed", String(isShown));
    if (!isShown) return;
    const kinds = { " ": "", "-": "out", "+": "in" };
    const pieces = hunks(difference(this.originals[this.path], this.text(this.path)));
    box.replaceChildren(
      ...(pieces.length ? [] : [el("p", {}, "This file is as it was.")]),
      ...pieces.map((piece) =>
        el(
          "div",
          { class: "hunk" },
          ...piece.map((line) =>
            el(
              "div",
              { class: `change ${kinds[line.sign]}` },
              el("span", { class: "number" }, String(line.after ?? line.before)),
              el("span", { class: "sign" }, line.sign === "-" ? "−" : line.sign),
              el("span", {}, line.text),
            ),
          ),
        ),
      ),
    );
  }
}
