/** Training: a text, the loss as it falls, what the model writes on the way, and the engine as it was beside it. */

import { chart, numbers, smooth } from "./chart.js";
import { el, later, number, oncePerFrame, whole } from "./dom.js";
import { capital } from "./problem.js";

/** @typedef {import("./main.js").Workbench} Workbench */

const LARGEST = 2_000_000; // bytes of a text
const LOOKS = [0, 25, 50, 100, 200, 300, 500, 750, 1000]; // steps after which the model writes
const PATIENCE = 250; // milliseconds of steps between two looks at the page

export class Training {
  /** @param {Workbench} bench @param {HTMLElement} panel */
  constructor(bench, panel) {
    this.bench = bench;
    /** @type {any} */
    this.facts = null;
    /** @type {Record<string, {points: any[], held: any[]}>} */
    this.sides = {};
    /** @type {{name: string, content: string} | null} */
    this.own = null;
    this.isPaused = true;
    this.speed = 0;
    this.total = 300;
    /** @type {string | null} the steps that the reader chose, while a bug of the museum sets them */
    this.chosenSteps = null;
    /** @type {{name: string, loss: number}[]} */
    this.baselines = [];
    /** @type {Promise<void> | null} a file that is being read */
    this.reading = null;
    this.lay(panel);
    addEventListener(
      "resize",
      oncePerFrame(() => this.draw()),
    );
    bench.busy.add(() => this.enable());
    bench.files.changed.add(() => this.enable());
    this.draw();
    this.enable();
  }

  /** @param {HTMLElement} panel */
  lay(panel) {
    const button = (/** @type {string} */ id, /** @type {string} */ text, /** @type {() => void} */ press, kind = "") =>
      el("button", { type: "button", id, class: kind, onclick: press }, text);
    this.run = button("run", "Train", () => (this.bench.isBusy ? this.pause() : this.train()), "main");
    this.one = button("step", "One step", () => this.train(1));
    this.anew = button("reset", "Reset", () => this.reset());
    this.steps = el("input", { type: "number", id: "steps", min: 10, max: 5000, step: 10, value: 300, required: true });
    this.compare = el("input", { type: "checkbox", id: "compare", checked: true });
    this.compareField = el("label", { class: "check-field" }, this.compare, "with the unedited engine beside it");
    this.text = el(
      "select",
      { id: "text" },
      el("option", { value: "served" }, "this project's documents"),
      el("option", { value: "own" }, "a file of mine…"),
    );
    this.file = el("input", {
      type: "file",
      id: "file",
      class: "visually-hidden",
      tabindex: -1,
      "aria-label": "A text to train on",
    });
    this.text.onchange = () => (this.text.value === "own" ? this.file.click() : this.anewNext());
    this.file.onchange = () => (this.reading = this.take());
    this.file.oncancel = () => this.own || (this.text.value = "served");
    this.steps.onchange = () => this.anewNext();
    this.compare.onchange = () => this.anewNext();
    this.flags = el("p", { class: "hint", hidden: true });
    this.problems = el("div", {});
    this.drawing = el("div", { id: "chart" });
    this.figures = el("dl", { class: "figures", id: "figures" });
    this.samples = el("ol", { class: "samples", id: "samples", "aria-label": "What the model writes" });
    this.table = later("The losses as numbers", () => numbers(this.curves()));
    this.result = el("div", {});
    this.after();
    panel.append(
      el("h2", {}, "Train a small GPT"),
      el(
        "p",
        { class: "hint" },
        "2 layers, width 64, 4 heads, a context of 64 characters, 8 windows in a batch. The loop is ",
        el(
          "button",
          { type: "button", class: "link", onclick: () => this.bench.files.open("gpt/train.py") },
          "gpt/train.py",
        ),
        ".",
      ),
      this.flags,
      el(
        "div",
        { class: "controls" },
        el("label", { class: "field" }, "text", this.text),
        el("label", { class: "field" }, "steps", this.steps),
        this.compareField,
        this.file,
      ),
      el("div", { class: "controls" }, this.run, this.one, this.anew),
      this.problems,
      this.figures,
      this.drawing,
      this.result,
    );
  }

  /** What can be done with a trained model. */
  after() {
    const { bench } = this;
    this.inspected = el("input", {
      type: "text",
      id: "inspected",
      value: "The tape plays the backwards.",
      maxlength: 64,
    });
    this.page = el("p", { id: "page", role: "status" });
    this.look = el("button", { type: "button", id: "look", onclick: () => this.inspect() }, "Look inside");
    this.keep = el("button", { type: "button", id: "save", onclick: () => this.save() }, "Save the weights");
    this.weights = el("input", { type: "file", id: "weights", class: "visually-hidden", accept: ".safetensors" });
    this.weights.onchange = () => this.load();
    this.trained = el(
      "div",
      {},
      el("h3", {}, "What it writes"),
      this.samples,
      el("h3", {}, "Look inside"),
      el(
        "p",
        { class: "hint" },
        "A page with every number of the model on a text, forward and backward, opens in a tab of its own.",
      ),
      el("label", { class: "field wide" }, "a text of at most 64 characters", this.inspected),
      el("div", { class: "controls" }, this.look),
      this.page,
      this.table,
    );
    this.result.append(
      this.trained,
      el("h3", {}, "The weights"),
      el("div", { class: "controls" }, this.keep, el("label", { class: "button" }, this.weights, "Load weights")),
    );
    bench.busy.add(() => {
      this.look.disabled = this.keep.disabled = bench.isBusy || !this.facts;
      this.weights.disabled = bench.isBusy;
    });
  }

  get isEdited() {
    return Object.keys(this.bench.files.edits()).length > 0;
  }

  enable() {
    const isTraining = this.bench.isBusy && !this.isPaused;
    this.run.textContent = isTraining ? "Pause" : this.facts && this.facts.step && this.facts.left ? "Go on" : "Train";
    this.run.disabled = this.bench.isBusy && !isTraining;
    for (const each of [this.one, this.anew, this.text, this.compare]) each.disabled = this.bench.isBusy;
    this.anew.disabled ||= !this.facts;
    this.compareField.hidden = !this.isEdited;
    const { steps } = this.bench.flags();
    if (steps !== undefined) this.chosenSteps ??= this.steps.value;
    const shown = steps ?? this.chosenSteps ?? this.steps.value;
    if (this.steps.value !== String(shown)) this.steps.value = shown;
    if (steps === undefined) this.chosenSteps = null;
    this.steps.disabled = this.bench.isBusy || steps !== undefined;
    this.steps.title = steps === undefined ? "" : "The bug that is on shows after so many steps";
    this.flags.textContent = this.bench.recipes().join(" ");
    this.flags.hidden = this.flags.textContent === "";
    this.look.disabled = this.keep.disabled = this.bench.isBusy || !this.facts;
  }

  pause() {
    this.isPaused = true;
    this.bench.say("Pausing after this step");
  }

  /** The next training begins anew. What was drawn stays until then: nothing moves away under a pointer. */
  anewNext() {
    this.lost();
    this.enable();
  }

  reset() {
    this.facts = null;
    this.sides = {};
    this.trainedWith = null;
    this.problems.replaceChildren();
    this.samples.replaceChildren();
    this.page.replaceChildren();
    this.draw();
    this.enable();
  }

  /** The text that is chosen. Python is there, and the text came with it. */
  get content() {
    return this.text.value === "own" && this.own ? this.own.content : this.bench.engine.text;
  }

  /** A file of the reader's. */
  async take() {
    const [file] = this.file.files;
    if (!file) return;
    const refuse = (/** @type {string} */ why) => {
      this.file.value = "";
      if (!this.own) this.text.value = "served";
      this.bench.show(this.problems, { kind: "", message: why, place: null, lines: [] });
    };
    if (file.size > LARGEST)
      return refuse(
        `“${file.name}” has ${(file.size / 1e6).toFixed(1)} MB; a text may have ${LARGEST / 1e6} MB here. ` +
          "Take a part of it.",
      );
    let content;
    try {
      content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      return refuse(`“${file.name}” is no text in UTF-8.`);
    }
    this.own = { name: file.name, content: content.replace(/\r\n?/g, "\n") };
    this.text.value = "own";
    const option = /** @type {HTMLOptionElement} */ (this.text.options[1]);
    option.textContent = file.name;
    this.file.value = "";
    this.reset();
  }

  /** @param {number} [most] steps; all that are left without it */
  async train(most = Infinity) {
    const { bench } = this;
    await this.reading;
    if (!this.steps.reportValidity()) return;
    const edits = bench.files.edits();
    const isOther = this.facts && JSON.stringify([edits, bench.flags()]) !== this.trainedWith;
    if (isOther || (this.facts && !this.facts.left)) this.reset();
    this.isPaused = false;
    return bench
      .run("Training", this.problems, async () => {
        if (!this.facts) await this.begin(edits);
        let made = 0;
        let count = 1;
        while (!this.isPaused && this.facts.left > 0 && made < most) {
          await this.write();
          const next = LOOKS.find((step) => step > this.facts.step) ?? this.facts.step + 500 - (this.facts.step % 500);
          const wanted = Math.min(count, most - made, next - this.facts.step);
          const before = performance.now();
          const { rows, left } = await bench.engine.ask("advance", { count: wanted });
          const each = (performance.now() - before) / rows.length;
          this.speed = this.speed ? 0.7 * this.speed + 0.3 * each : each;
          count = Math.max(1, Math.min(20, Math.round(PATIENCE / each)));
          made += rows.length;
          for (const { step, losses } of rows)
            for (const [side, loss] of Object.entries(losses)) this.sides[side].points.push({ step, loss });
          this.facts.step = rows.at(-1).step;
          this.facts.left = left;
          this.draw();
          bench.say(`Training: step ${this.facts.step} of ${this.facts.steps}`);
        }
        if (this.facts.left === 0) await this.write();
        this.draw();
        bench.say(this.facts.left ? `Paused after step ${this.facts.step}` : `Trained ${this.facts.step} steps`, true);
      })
      .then((failed) => {
        this.isPaused = true;
        if (failed) this.lost();
        this.enable();
      });
  }

  /** @param {Record<string, string>} edits */
  async begin(edits) {
    const given = {
      edits,
      text: this.content,
      steps: Number(this.steps.value),
      compare: this.compare.checked,
      flags: this.bench.flags(),
    };
    this.set(await this.bench.engine.ask("start", given));
    this.trainedWith = JSON.stringify([edits, given.flags]);
  }

  /** @param {any} facts */
  set(facts) {
    this.facts = { ...facts, left: facts.steps - facts.step };
    this.speed = 0;
    this.sides = Object.fromEntries(facts.sides.map((/** @type {string} */ side) => [side, { points: [], held: [] }]));
    this.samples.replaceChildren();
    this.draw();
  }

  /** What was in Python's memory is gone: a stop or an error ended it. What was drawn stays. */
  lost() {
    this.facts = null;
  }

  /** What the models write now, at the steps at which they do; isAsked: at any step. */
  async write(isAsked = false) {
    const { step, left } = this.facts;
    if (!(isAsked || LOOKS.includes(step) || left === 0 || step % 500 === 0)) return;
    if (this.samples.firstElementChild?.dataset.step === String(step)) return;
    const found = await this.bench.engine.ask("samples");
    const item = el("li", { "data-step": step }, el("span", { class: "at" }, `step ${step}`));
    for (const [side, { text, loss }] of Object.entries(found)) {
      if (text === null) continue;
      this.sides[side].held.push({ step, loss });
      item.append(
        el(
          "div",
          { class: side },
          this.facts.sides.length > 1 && el("span", { class: "who" }, `${side} engine`),
          el("q", {}, text.replace(/\n/g, "↵")),
        ),
      );
    }
    this.samples.prepend(item);
    this.draw();
  }

  /** @returns {import("./chart.js").Curve[]} */
  curves() {
    return Object.entries(this.sides).map(([side, { points, held }]) => ({
      name: side,
      kind: /** @type {"edited" | "original"} */ (side),
      points,
      held,
    }));
  }

  draw() {
    const { facts } = this;
    const curves = this.curves();
    this.trained.hidden = curves.length === 0;
    if (!curves.length) {
      this.drawing.replaceChildren();
      this.figures.replaceChildren();
      return;
    }
    if (facts) {
      const last = (/** @type {string} */ side) => {
        const loss = smooth(this.sides[side].points).at(-1)?.loss; // that of one batch jumps
        return loss === undefined
          ? "–"
          : typeof loss === "number"
            ? number(loss, 4)
            : loss === "nan"
              ? "not a number"
              : "∞";
      };
      const rows = [
        ["step", `${whole(facts.step)} of ${whole(facts.steps)}`],
        ...facts.sides.map((/** @type {string} */ side) => [
          facts.sides.length > 1 ? `loss, ${side}` : "loss",
          last(side),
        ]),
        ["a step takes", this.speed ? `${this.speed.toFixed(0)} ms` : "–"],
        ["characters", `${whole(facts.characters)}, ${facts.different} different`],
        ["parameters", whole(facts.parameters)],
      ];
      this.figures.replaceChildren(
        ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
      );
      this.baselines = [
        { name: "guessing", loss: facts.uniform },
        { name: "frequencies", loss: facts.unigram },
      ];
      this.total = facts.steps;
    }
    this.drawing.replaceChildren(
      chart(curves, this.total, this.baselines, Math.max(280, Math.min(this.drawing.clientWidth || 560, 680))),
      el(
        "ul",
        { class: "legend" },
        ...curves.map(({ name, kind }) =>
          el("li", {}, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), `${name} engine`),
        ),
        el("li", {}, "thin: each batch; thick: average; dots: text that training never sees"),
      ),
    );
    this.table.dispatchEvent(new Event("refill"));
  }

  inspect() {
    const { bench } = this;
    return bench.run("Making the page", this.page, async () => {
      const html = await bench.engine.ask("page", { text: this.inspected.value });
      if (this.address) URL.revokeObjectURL(this.address);
      this.address = URL.createObjectURL(new Blob([html], { type: "text/html" }));
      const size = (html.length / 1e6).toFixed(1);
      const link = el(
        "a",
        { href: this.address, target: "_blank", rel: "noopener", id: "page-link" },
        "Open the page of this model",
      );
      this.page.replaceChildren(link, ` (${size} MB, in this browser alone)`);
      link.focus();
    });
  }

  save() {
    const { bench } = this;
    return bench.run("Saving the weights", this.problems, async () => {
      const bytes = Uint8Array.from(atob(await bench.engine.ask("save")), (c) => c.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
      el("a", { href: address, download: `laboratory-step-${this.facts.step}.safetensors` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    });
  }

  async load() {
    const { bench } = this;
    const [file] = this.weights.files;
    this.weights.value = "";
    if (!file) return;
    return bench.run("Loading the weights", this.problems, async () => {
      if (file.size > 20e6)
        throw new Error(`“${file.name}” has ${(file.size / 1e6).toFixed(0)} MB, more than weights of this model`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      let binary = "";
      for (let i = 0; i < bytes.length; i += 32768) binary += String.fromCharCode(...bytes.subarray(i, i + 32768));
      const edits = bench.files.edits();
      const given = { edits, content: btoa(binary), text: this.content, steps: Number(this.steps.value) };
      this.set(await bench.engine.ask("load", given));
      this.trainedWith = JSON.stringify([edits, bench.flags()]);
      await this.write(true);
      bench.say(`${capital(file.name)}: weights after ${this.facts.step} steps`, true);
    });
  }
}
