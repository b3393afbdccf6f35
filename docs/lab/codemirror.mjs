/** The editor of the laboratory: CodeMirror with Python, and colours that the style sheet of the page decides. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tagHighlighter, tags } from "@lezer/highlight";

const colours = tagHighlighter([
  {
    tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword, tags.moduleKeyword],
    class: "tok-keyword",
  },
  { tag: [tags.string, tags.special(tags.string)], class: "tok-string" },
  { tag: tags.comment, class: "tok-comment" },
  { tag: [tags.number, tags.bool, tags.null], class: "tok-number" },
  { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], class: "tok-function" },
  { tag: [tags.className, tags.definition(tags.className), tags.typeName], class: "tok-class" },
  { tag: [tags.meta, tags.self], class: "tok-meta" },
]);

const markLine = StateEffect.define();
const marked = StateField.define({
  create: () => Decoration.none,
  update(decorations, transaction) {
    let found = transaction.docChanged ? Decoration.none : decorations;
    for (const effect of transaction.effects)
      if (effect.is(markLine))
        found =
          effect.value === null
            ? Decoration.none
            : Decoration.set([Decoration.line({ class: "cm-wrong" }).range(effect.value)]);
    return found;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/**
 * @param {HTMLElement} parent
 * @param {{label: string, text: string, changed: (text: string) => void, run?: () => void, lines?: boolean}} options
 */
export function makeEditor(parent, options) {
  let silent = false;
  let inside = false; // whether the next line that is shown may scroll the editor alone, and not the page around it
  const label = new Compartment();
  const named = (/** @type {string} */ name) => EditorView.contentAttributes.of({ "aria-label": name, tabindex: "0" });
  const extensions = [
    options.lines === false ? [] : [lineNumbers(), highlightActiveLineGutter()],
    history(),
    drawSelection(),
    EditorState.allowMultipleSelections.of(true),
    indentUnit.of("    "),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    highlightSelectionMatches(),
    search({ top: true }),
    python(),
    syntaxHighlighting(colours),
    marked,
    EditorView.scrollHandler.of((view, range) => {
      if (!inside) return false;
      inside = false;
      view.scrollDOM.scrollTop = view.lineBlockAt(range.head).top - view.scrollDOM.clientHeight / 2;
      return true;
    }),
    label.of(named(options.label)),
    keymap.of([
      {
        key: "Mod-Enter",
        run: () => {
          options.run?.();
          return Boolean(options.run);
        },
      },
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...searchKeymap,
      ...historyKeymap,
      indentWithTab,
    ]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged && !silent) options.changed(update.state.doc.toString());
    }),
  ];
  const fresh = (/** @type {string} */ text) => EditorState.create({ doc: text, extensions });
  const view = new EditorView({ parent, state: fresh(options.text) });
  return {
    get text() {
      return view.state.doc.toString();
    },
    /** Another file: with its own history, so that undo does not lead back into the file before. */
    open(/** @type {string} */ text, /** @type {string} */ name) {
      view.setState(fresh(text));
      view.dispatch({ effects: label.reconfigure(named(name)) });
    },
    /** Another text of the same file; undo leads back. */
    replace(/** @type {string} */ text) {
      silent = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      silent = false;
    },
    /** Show a line, and mark it as wrong. quietly: the page around the editor stays where it is. */
    mark(/** @type {number | null} */ line, wrong = true, quietly = false) {
      if (line === null) return view.dispatch({ effects: markLine.of(null) });
      inside = quietly;
      const at = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines)).from;
      const effects = [EditorView.scrollIntoView(at, { y: "center" })];
      view.dispatch({ selection: { anchor: at }, effects: wrong ? [...effects, markLine.of(at)] : effects });
    },
    focus: () => view.focus(),
  };
}
