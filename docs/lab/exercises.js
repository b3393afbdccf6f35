/** The exercises of gpt.learn: a stub to fill in, and a check that says what is wrong. */

import { el } from "./dom.js";
import { makeEditor } from "./editor.js";

/** @typedef {import("./main.js").Workbench} Workbench */

/**
 * @param {Workbench} bench @param {HTMLElement} panel
 * @param {{name: string, title: string, kind: string, start: string}[]} exercises @param {string | null} asked
 */
export async function exercisesPanel(bench, panel, exercises, asked) {
  const kinds = [...new Set(exercises.map(({ kind }) => kind))];
  const choice = el(
    "select",
    { id: "exercise" },
    ...kinds.map((kind) =>
      el(
        "optgroup",
        { label: kind },
        ...exercises
          .filter((each) => each.kind === kind)
          .map(({ name, title }) => el("option", { value: name, selected: name === asked }, `${name}: ${title}`)),
      ),
    ),
  );
  const place = el("div", { class: "exercise-editor" });
  const check = el("button", { type: "button", class: "main", id: "check-exercise" }, "Check my solution");
  const undo = el("button", { type: "button", class: "plain" }, "Begin again");
  const problems = el("div", {});
  const verdict = el("p", { class: "summary", role: "status", id: "exercise-verdict" });
  const report = el("div", {});
  panel.append(
    el("h2", {}, "Exercises"),
    el(
      "p",
      { class: "hint" },
      "Write what is missing. The check runs your file, compares it with finite differences and recorded numbers, " +
        "and says which element is wrong.",
    ),
    el("div", { class: "controls" }, el("label", { class: "field" }, "exercise", choice)),
    place,
    el("div", { class: "controls" }, check, undo),
    problems,
    verdict,
    report,
  );
  const chosen = () => exercises.find(({ name }) => name === choice.value) ?? exercises[0];
  const text = () => bench.store.get("exercise", chosen().name) ?? chosen().start;
  const editor = await makeEditor(place, {
    label: `Your solution of ${chosen().name}`,
    text: text(),
    changed: (now) => bench.store.set("exercise", chosen().name, now === chosen().start ? undefined : now),
    run: () => run(),
  });
  const clear = () => {
    verdict.textContent = "";
    verdict.className = "summary";
    report.replaceChildren();
    problems.replaceChildren();
  };
  choice.onchange = () => {
    clear();
    editor.open(text(), `Your solution of ${chosen().name}`);
  };
  undo.onclick = () => {
    bench.store.set("exercise", chosen().name, undefined);
    editor.replace(chosen().start);
    clear();
  };
  const run = () => {
    clear();
    const { name } = chosen();
    return bench.run(
      "Checking your solution",
      problems,
      async () => {
        const { passed, lines } = await bench.engine.ask("check_exercise", { name, text: editor.text });
        verdict.textContent = passed ? "Solved." : "Not yet.";
        verdict.classList.add(passed ? "right" : "wrong");
        report.replaceChildren(lines.length ? el("pre", { class: "report" }, lines.join("\n")) : "");
      },
      (file, line) => {
        if (file !== `${name}.py`) return bench.files.open(file, line, true);
        editor.mark(line, true);
        editor.focus();
        return true;
      },
    );
  };
  check.onclick = run;
  bench.busy.add(() => (check.disabled = bench.isBusy));
}
