/** The lower half of a BeamExplorer: the search step by step, as a tree, as a table, as sequences. */
import { FilterBar, StepBar } from "./beam_bars.js";
import { BeamColumns } from "./beam_columns.js";
import { BeamRecord, named } from "./beam_record.js";
import { BeamResults } from "./beam_results.js";
import { BeamSequences } from "./beam_sequences.js";
import { BeamTable } from "./beam_table.js";
import { BeamTree } from "./beam_tree.js";
import { description } from "./beam_words.js";
import { button, element, textElement } from "./element.js";
import { frame } from "./frame.js";
import { visible } from "./visible.js";

/** @typedef {import("./beam_record.js").Candidate} Candidate */

const TELL_MS = 250;
const MAX_PATH = 400;
const MARKS = {
  live: "live", finished: "leads to a result", dropped: "dropped later, ○ finished and outscored",
  pruned: "pruned at once",
};

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const explorer = new Explorer(model, frame(model, el));
  return () => explorer.done();
}

class Explorer {
  /** @param {import("./frame.js").Model} model @param {import("./frame.js").Frame} view */
  constructor(model, view) {
    const { act } = view;
    this.model = model;
    this.view = view;
    /** @type {BeamRecord | null} */
    this.record = null;
    /** @type {BeamResults | null} */
    this.results = null;
    /** @type {BeamColumns | null} */
    this.columns = null;
    /** @type {Candidate | null} what the mouse is at */
    this.pointed = null;
    /** @type {Candidate | null} what was clicked, or walked to */
    this.focused = null;
    this.step = 0;
    this.telling = 0;
    this.bar = new StepBar(step => {
      this.go(step);
      this.tell();
    });
    this.filter = new FilterBar(
      () => this.sieve(),
      overview => {
        this.tree.set({ overview });
        this.tree.reveal(this.step - 1);
      },
    );
    this.legend = legendOf();
    const point = (/** @type {Candidate | null} */ candidate) => this.point(candidate);
    const focus = (/** @type {Candidate | null} */ candidate) => this.focus(candidate);
    const choose = (/** @type {Candidate} */ { step, place }) => act("toggle", { step, place });
    this.tree = new BeamTree({ point, focus, choose }, this.legend);
    this.choose = button("select this path", () => this.focused && choose(this.focused));
    this.about = textElement("div", "nbllm-about");
    this.path = textElement("div", "nbllm-text nbllm-path");
    this.spoken = element("div", "nbllm-spoken");
    this.spoken.role = "status";
    this.table = new BeamTable(point, focus);
    this.sequences = new BeamSequences(act, line => this.point(line && line.step >= 0 ? line : null));
    this.facts = textElement("div", "nbllm-facts");
    this.title = element("summary", "");
    this.node = this.arranged();
    view.body.append(this.node);
    this.listen();
  }

  arranged() {
    const chosen = element("div", "nbllm-chosen-path", this.about, this.path, this.choose);
    const candidates = element("details", "nbllm-local", this.title, this.table.node);
    candidates.open = true;
    const results = element("section", "", element("h4", "", "Sequences"), this.sequences.node);
    const node = element(
      "div", "nbllm-explorer",
      this.facts, this.bar.node, this.filter.node, this.tree.node, this.legend, chosen, this.spoken,
      candidates, results,
    );
    node.hidden = true;
    return node;
  }

  listen() {
    const { model, view } = this;
    view.on("msg:custom", (said, buffers) => said?.kind === "more" && this.more(said, buffers));
    view.draw(["facts"], () => (this.facts.textContent = visible(model.get("facts"))));
    view.draw(["running"], () => {
      this.node.classList.toggle("nbllm-stale", model.get("running"));
    });
    view.draw(["search"], () => this.whole(model.get("search")));
    view.on("change:lines", () => this.rank());
    view.on("change:penalty", () => this.rank());
    view.on("change:step", () => this.telling || this.go(model.get("step")));
  }

  /** A search from its beginning. @param {any} search */
  whole(search) {
    if (search.width) {
      // it was seen to grow: whoever looks at an earlier step goes on to do so
      const step = this.record?.run === search.run ? this.step : this.model.get("step");
      this.record = new BeamRecord(search);
      this.record.append(search, search);
      this.renew(step);
    }
  }

  /** What a search that goes on has done since. @param {any} said @param {DataView[]} buffers */
  more(said, buffers) {
    const same = this.record?.run === said.run;
    const known = same ? this.record?.steps.length : 0;
    if (said.start !== known) {
      this.view.act("draw");
      return;
    }
    const record = (same && this.record) || new BeamRecord(said);
    // who looks at an earlier step goes on to do so
    const follows = !same || this.step === record.steps.length;
    this.record = record;
    record.append(said, named(buffers));
    this.node.classList.remove("nbllm-stale");
    this.renew(follows ? record.steps.length : this.step);
  }

  /** The record has changed. @param {number} step */
  renew(step) {
    const { record } = this;
    this.node.hidden = !record;
    for (const name of /** @type {const} */ (["pointed", "focused"])) {
      const candidate = this[name];
      this[name] = candidate && record?.has(candidate) ? candidate : null;
    }
    this.step = Math.min(step, record?.steps.length ?? 0);
    this.rank();
    this.tree.reveal(this.step - 1);
  }

  /** Scores or sequences have changed. */
  rank() {
    if (this.record) {
      const lines = this.model.get("lines");
      this.results = new BeamResults(this.record, lines, this.model.get("penalty"));
      this.sequences.show(this.results.lines);
      this.filter.limit(...scores(this.results));
      this.sieve();
    }
  }

  /** The filter has changed. */
  sieve() {
    if (this.results) {
      this.columns = new BeamColumns(this.results, this.filter.filter);
      this.tree.set({ columns: this.columns, prompt: this.results.record.prompt });
      this.show();
      this.mark();
    }
  }

  /** Show a step. @param {number} step from 1; 0: the prompt */
  go(step) {
    this.step = Math.max(0, Math.min(step, this.record?.steps.length ?? 0));
    this.show();
    this.tree.reveal(this.step - 1);
  }

  show() {
    const { record, columns, step } = this;
    if (record && columns) {
      this.bar.show(step, record.steps.length);
      this.tree.set({ at: step - 1 });
      this.table.show(columns, step - 1);
      const count = this.table.places.length.toLocaleString();
      this.title.textContent = step
        ? `Candidates of step ${step}: ${count}`
        : "Before the first step there are no candidates";
    }
  }

  /** Python learns of the step when it has come to rest. */
  tell() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      this.telling = 0;
      this.view.act("go", { step: this.step });
    }, TELL_MS);
  }

  /** @param {Candidate | null} candidate */
  point(candidate) {
    if (candidate?.step !== this.pointed?.step || candidate?.place !== this.pointed?.place) {
      this.pointed = candidate;
      this.mark();
    }
  }

  /** @param {Candidate | null} candidate */
  focus(candidate) {
    this.focused = candidate;
    if (candidate && candidate.step >= this.step) {
      this.bar.move(candidate.step + 1);
    }
    if (candidate) {
      this.tree.reveal(candidate.step, candidate.place);
    }
    this.mark();
    const { results } = this;
    this.spoken.textContent = candidate && results ? visible(description(results, candidate)) : "";
  }

  /** Show the path to what is pointed at, or has the focus. */
  mark() {
    const { record, results } = this;
    if (!record || !results) {
      return;
    }
    const candidate = this.pointed ?? this.focused;
    const path = candidate ? record.path(candidate) : [];
    this.tree.set({ path, focused: this.focused });
    this.table.mark(candidate);
    this.choose.disabled = !this.focused;
    const selected = this.focused && results.selected(this.focused);
    this.choose.textContent = selected ? "unselect this path" : "select this path";
    this.about.textContent = candidate
      ? description(results, candidate)
      : "Point at a token, or walk through the tree with the arrow keys, to see its path.";
    const text = record.words(path.slice(0, -1));
    const before = text.length > MAX_PATH ? `… ${text.slice(-MAX_PATH)}` : text;
    const last = element("b", "", candidate ? visible(record.text(candidate)) : "");
    this.path.replaceChildren(visible(before), last);
  }

  done() {
    this.bar.pause();
    clearTimeout(this.telling);
    this.tree.done();
    this.view.done();
  }
}

/** The lowest and the highest score of what was not pruned. @param {BeamResults} results @returns {[number, number]} */
function scores(results) {
  const { record } = results;
  let [low, high] = [Infinity, -Infinity];
  record.steps.forEach(({ order }, step) =>
    order.forEach(place => {
      if (record.state({ step, place }) !== "pruned") {
        const score = results.score({ step, place });
        low = Math.min(low, score);
        high = Math.max(high, score);
      }
    }),
  );
  return low <= high ? [low, high] : [0, 0];
}

/** What the colours mean; the tree takes them from here. */
function legendOf() {
  const marks = Object.entries(MARKS).map(([name, words]) =>
    element("span", "", element("span", `nbllm-key nbllm-key-${name}`), ` ${words}`),
  );
  return element("div", "nbllm-legend nbllm-facts", ...marks);
}

export default { render };
