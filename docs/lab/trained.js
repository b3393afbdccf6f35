/** What can be done with a trained model: read what it writes, look at it from inside, keep its weights in a file. */

import { el } from "./dom.js";

/** @typedef {import("./train.js").Training} Training */

const LARGEST = 20e6; // bytes of weights; those of this model are far below it
const MAKING = "Making the page of this model";

export class Trained {
  /** @param {Training} training @param {HTMLElement} problems where what fails is told */
  constructor(training, problems) {
    this.training = training;
    this.bench = training.bench;
    this.problems = problems;
    this.page = el("p", { id: "page", role: "status" });
    this.look = el("button", { type: "button", id: "look", onclick: () => this.inspect() }, "Look inside");
    this.keep = el("button", { type: "button", id: "save", onclick: () => this.save() }, "Save the weights");
    this.weights = el("input", { type: "file", id: "weights", class: "visually-hidden", accept: ".safetensors" });
    this.weights.onchange = () => this.load();
    this.model = this.layModel();
    this.element = el(
      "div",
      {},
      this.model,
      el("h3", {}, "The weights"),
      el("div", { class: "controls" }, this.keep, el("label", { class: "button" }, this.weights, "Load weights")),
    );
  }

  /** What there is when a model is there. */
  layModel() {
    const { samples, table } = this.training.progress;
    const text = "The tape plays the backwards.";
    this.inspected = el("input", { type: "text", id: "inspected", value: text, maxlength: 64 });
    return el(
      "div",
      {},
      el("h3", {}, "What it writes"),
      samples,
      el("h3", {}, "Look inside"),
      el(
        "p",
        { class: "hint" },
        "A page with every number of the model on a text, forward and backward, opens in a tab of its own.",
      ),
      el("label", { class: "field wide" }, "a text of at most 64 characters", this.inspected),
      el("div", { class: "controls" }, this.look),
      this.page,
      table,
    );
  }

  enable() {
    const { training, bench } = this;
    this.model.hidden = training.progress.isEmpty;
    this.look.disabled = this.keep.disabled = bench.isBusy || !training.facts;
    this.weights.disabled = bench.isBusy;
  }

  /**
   * Make the page, and show it in a tab. The tab opens with the press: a browser lets none open later, when the page is
   * made. Where it lets none open at all, a link is there.
   */
  async inspect() {
    if (this.bench.isBusy) return;
    const tab = open("");
    if (tab) {
      tab.opener = null;
      tab.document.title = MAKING;
      tab.document.body.textContent = `${MAKING} …`;
    }
    const failed = await this.bench.run(MAKING, this.page, async () => {
      const html = await this.bench.engine.ask("page", { text: this.inspected.value });
      if (this.address) URL.revokeObjectURL(this.address);
      this.address = URL.createObjectURL(new Blob([html], { type: "text/html" }));
      this.showLink((html.length / 1e6).toFixed(1));
      if (tab && !tab.closed) tab.location.replace(this.address);
      else this.page.firstChild.focus();
    });
    if (failed) tab?.close();
  }

  /** @param {string} size in megabytes */
  showLink(size) {
    const where = { href: this.address, target: "_blank", rel: "noopener", id: "page-link" };
    const link = el("a", where, "Open the page of this model");
    this.page.replaceChildren(link, ` (${size} MB, in this browser alone)`);
  }

  save() {
    const { bench, training } = this;
    return bench.run("Saving the weights", this.problems, async () => {
      const bytes = Uint8Array.from(atob(await bench.engine.ask("save")), (c) => c.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
      const name = `laboratory-step-${training.facts.step}.safetensors`;
      el("a", { href: address, download: name }).click();
      bench.say(`Saved as “${name}”`, true);
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    });
  }

  async load() {
    const { bench, training } = this;
    const [file] = this.weights.files;
    this.weights.value = "";
    if (!file || !(await training.choices.areRight())) return;
    return bench.run("Loading the weights", this.problems, async () => {
      if (file.size > LARGEST)
        throw new Error(`“${file.name}” has ${(file.size / 1e6).toFixed(0)} MB, more than weights of this model`);
      await training.load(base64(new Uint8Array(await file.arrayBuffer())));
      bench.say(`“${file.name}”: weights after ${training.facts.step} steps`, true);
    });
  }
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 32768) binary += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(binary);
}
