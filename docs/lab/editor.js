/** An editor for Python: CodeMirror if the bundle is there, else a plain text field with the same methods. */

/**
 * @typedef {{readonly text: string, open: (text: string, label: string) => void, replace: (text: string) => void,
 *   mark: (line: number | null, wrong?: boolean, quietly?: boolean) => void, focus: () => void}} Editor
 * @typedef {{label: string, text: string, changed: (text: string) => void, run?: () => void, lines?: boolean}} Options
 */

/** @type {Promise<{makeEditor: (parent: HTMLElement, options: Options) => Editor}> | null} */
let bundle = null;

/** @param {HTMLElement} parent @param {Options} options @returns {Promise<Editor>} */
export async function makeEditor(parent, options) {
  // @ts-ignore: the bundle is made when the site is built
  bundle ??= import("./codemirror.js").catch(() => ({ makeEditor: plain }));
  return (await bundle).makeEditor(parent, options);
}

/** @param {HTMLElement} parent @param {Options} options @returns {Editor} */
export function plain(parent, options) {
  const field = document.createElement("textarea");
  field.className = "plain-editor";
  field.spellcheck = false;
  field.autocapitalize = "off";
  field.wrap = "off";
  field.value = options.text;
  field.setAttribute("aria-label", options.label);
  field.addEventListener("input", () => options.changed(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && options.run) {
      event.preventDefault();
      options.run();
    }
  });
  parent.append(field);
  return {
    get text() {
      return field.value;
    },
    open(text, label) {
      field.value = text;
      field.setAttribute("aria-label", label);
    },
    replace(text) {
      field.value = text;
    },
    mark(line) {
      if (line === null) return;
      const before = field.value.split("\n").slice(0, line - 1);
      const start = before.reduce((sum, each) => sum + each.length + 1, 0);
      field.setSelectionRange(start, start + (field.value.split("\n")[line - 1] ?? "").length);
      field.scrollTop = Math.max(0, (line - 6) * 21);
    },
    focus: () => field.focus(),
  };
}
