/** Training: a text, the loss as it falls, what the model writes on the way, and the engine as it was beside it. */

import { Choices } from "./choices.js";
import { el, oncePerFrame } from "./dom.js";
import { Progress } from "./progress.js";
import { Trained } from "./trained.js";

/** @typedef {import("./main.js").Workbench} Workbench */

const LOOKS = [0, 25, 50, 100, 200, 300, 500, 750, 1000]; // steps after which the model writes
const OFTEN = 500; // steps between two looks after those
const PATIENCE = 250; // milliseconds of steps between two looks at the page
const MOST = 20; // steps between them

export class Training {
  /** @param {Workbench} bench @param {HTMLElement} panel */
  constructor(bench, panel) {
    this.bench = bench;
    /** @type {any} of the model that Python has; null if it has none */
    this.facts = null;
    /** @type {string | null} the edits and flags with which it is trained */
    this.trainedWith = null;
    this.isPaused = true;
    this.speed = 0; // milliseconds of a step
    this.problems = el("div", {});
    this.choices = new Choices(bench, this.problems, { other: () => this.anewNext(), text: () => this.reset() });
    this.progress = new Progress();
    this.trained = new Trained(this, this.problems);
    this.lay(panel);
    addEventListener(
      "resize",
      oncePerFrame(() => this.draw()),
    );
    bench.busy.add(() => this.enable());
    bench.files.changed.add(() => this.enable());
    this.enable();
  }

  /** @param {HTMLElement} panel */
  lay(panel) {
    const button = (/** @type {string} */ id, /** @type {string} */ text, /** @type {() => void} */ press, kind = "") =>
      el("button", { type: "button", id, class: kind, onclick: press }, text);
    this.run = button("run", "Train", () => (this.bench.isBusy ? this.pause() : this.train()), "main");
    this.one = button("step", "One step", () => this.train(1));
    this.anew = button("reset", "Reset", () => this.reset());
    const openLoop = () => this.bench.files.open("gpt/train.py");
    panel.append(
      el("h2", {}, "Train a small GPT"),
      el(
        "p",
        { class: "hint" },
        "2 layers, width 64, 4 heads, a context of 64 characters, 8 windows in a batch. The loop is ",
        el("button", { type: "button", class: "link", onclick: openLoop }, "gpt/train.py"),
        ".",
      ),
      this.choices.flags,
      this.choices.element,
      el("div", { class: "controls" }, this.run, this.one, this.anew),
      this.problems,
      this.progress.figures,
      this.progress.drawing,
      this.trained.element,
    );
  }

  enable() {
    const { isBusy } = this.bench;
    const isTraining = isBusy && !this.isPaused;
    const goesOn = this.facts?.step > 0 && this.facts.left > 0 && this.now() === this.trainedWith;
    this.run.textContent = isTraining ? "Pause" : goesOn ? "Go on" : "Train";
    this.run.disabled = isBusy && !isTraining;
    this.one.disabled = isBusy;
    this.anew.disabled = isBusy || !this.facts;
    this.choices.enable();
    this.trained.enable();
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
    this.facts = this.trainedWith = null;
    this.progress.begin([]);
    this.problems.replaceChildren();
    this.trained.page.replaceChildren();
    this.enable();
  }

  /** What was in Python's memory is gone: a stop or an error ended it. What was drawn stays. */
  lost() {
    this.facts = null;
  }

  /** @param {number} [most] steps; all that are left without it */
  async train(most = Infinity) {
    const { bench } = this;
    if (!(await this.choices.areRight())) return;
    const isOther = this.facts && this.now() !== this.trainedWith;
    if (isOther || (this.facts && !this.facts.left)) this.reset();
    this.isPaused = false;
    const failed = await bench.run("Training", this.problems, async () => {
      if (!this.facts) await this.begin();
      await this.steps(most);
      if (this.facts.left === 0) await this.write();
      this.draw();
      bench.say(this.facts.left ? `Paused after step ${this.facts.step}` : `Trained ${this.facts.step} steps`, true);
    });
    this.isPaused = true;
    if (failed) this.lost();
    this.enable();
  }

  /** Make steps until it is paused, some at a time: as many as the page can wait for. @param {number} most */
  async steps(most) {
    let made = 0;
    let count = 1;
    while (!this.isPaused && this.facts.left > 0 && made < most) {
      await this.write();
      const { step } = this.facts;
      const look = LOOKS.find((each) => each > step) ?? step + OFTEN - (step % OFTEN);
      const { each, rows } = await this.advance(Math.min(count, most - made, look - step));
      count = Math.max(1, Math.min(MOST, Math.round(PATIENCE / each)));
      made += rows;
    }
  }

  /** @param {number} count steps @returns {Promise<{each: number, rows: number}>} the time of one, and how many */
  async advance(count) {
    const before = performance.now();
    const { rows, left } = await this.bench.engine.ask("advance", { count });
    const each = (performance.now() - before) / rows.length;
    this.speed = this.speed ? 0.7 * this.speed + 0.3 * each : each;
    this.progress.add(rows);
    this.facts.step = rows.at(-1).step;
    this.facts.left = left;
    this.draw();
    this.bench.say(`Training: step ${this.facts.step} of ${this.facts.steps}`);
    return { each, rows: rows.length };
  }

  /** The edits and flags of this moment. */
  now() {
    return JSON.stringify([this.bench.files.edits(), this.bench.flags()]);
  }

  async begin() {
    const { bench } = this;
    const now = this.now();
    const given = { edits: bench.files.edits(), ...this.choices.given(), flags: bench.flags() };
    this.set(await bench.engine.ask("start", given), now);
  }

  /** Go on with the weights of a file. @param {string} content in base 64 */
  async load(content) {
    const { bench } = this;
    const now = this.now();
    const { text, steps } = this.choices.given();
    const given = { edits: bench.files.edits(), content, text, steps, flags: bench.flags() };
    this.set(await bench.engine.ask("load", given), now);
    await this.write(true);
  }

  /** @param {any} facts of a model that Python has now @param {string} now the edits and flags that it has */
  set(facts, now) {
    this.facts = { ...facts, left: facts.steps - facts.step };
    this.trainedWith = now;
    this.speed = 0;
    this.progress.begin(facts.sides);
    this.trained.enable();
    this.draw();
  }

  /** What the models write now, at the steps at which they do; isAsked: at any step. */
  async write(isAsked = false) {
    const { step, left } = this.facts;
    if (!(isAsked || LOOKS.includes(step) || left === 0 || step % OFTEN === 0)) return;
    if (this.progress.hasSamples(step)) return;
    this.progress.addSamples(step, await this.bench.engine.ask("samples"));
    this.draw();
  }

  draw() {
    this.progress.draw(this.facts, this.speed);
  }
}
