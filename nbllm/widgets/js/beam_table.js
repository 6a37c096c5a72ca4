/** The candidates of one step as a table; of many, only the rows in view are in the page. */
import { decimal, fate } from "./beam_words.js";
import { element, tableHead, textElement } from "./element.js";
import { percent } from "./probability.js";
import { oneLine } from "./visible.js";

/**
 * @typedef {import("./beam_record.js").Candidate} Candidate
 * @typedef {import("./beam_columns.js").BeamColumns} Columns
 */

const ROW = 24;
const AROUND = 20;
const HEADS = ["rank", "token", "after", "probability", "log-prob.", "score", "what became of it"];
const NUMBERS = ["rank", "probability", "log-prob.", "score"];

export class BeamTable {
  /**
   * @param {(candidate: Candidate | null) => void} point the mouse is over its row
   * @param {(candidate: Candidate) => void} focus its row was clicked
   */
  constructor(point, focus) {
    this.above = element("tr", "nbllm-spacer");
    this.below = element("tr", "nbllm-spacer");
    this.above.ariaHidden = this.below.ariaHidden = "true";
    this.body = element("tbody", "", this.above, this.below);
    this.table = element("table", "", tableHead(HEADS, NUMBERS), this.body);
    this.node = element("div", "nbllm-candidates", this.table);
    this.node.tabIndex = 0;
    this.node.role = "region";
    /** @type {HTMLTableRowElement[]} */
    this.rows = [];
    /** @type {number[]} */
    this.places = [];
    /** @type {Columns | null} */
    this.columns = null;
    this.step = -1;
    /** @type {Candidate | null} */
    this.marked = null;
    this.node.addEventListener("scroll", () => this.fill());
    this.node.addEventListener("pointermove", event => point(this.under(event)));
    this.node.addEventListener("pointerleave", () => point(null));
    this.node.addEventListener("click", event => {
      const candidate = this.under(event);
      candidate && focus(candidate);
    });
  }

  /** @param {Columns} columns @param {number} step from 0 */
  show(columns, step) {
    this.columns = columns;
    this.step = step;
    this.places = columns.all(step);
    this.table.ariaRowCount = String(this.places.length + 1);
    this.node.ariaLabel = `Candidates of step ${step + 1}`;
    this.fill();
  }

  /** The candidate whose row stands out. @param {Candidate | null} candidate */
  mark(candidate) {
    this.marked = candidate;
    this.fill();
  }

  fill() {
    const { columns, node, places } = this;
    if (!columns) {
      return;
    }
    const room = Math.ceil((node.clientHeight || 240) / ROW) + 1;
    const first = Math.max(0, Math.min(Math.floor(node.scrollTop / ROW), places.length - room));
    const shown = places.slice(first, first + room);
    while (this.rows.length < shown.length) {
      this.rows.push(emptyRow());
      this.below.before(/** @type {HTMLElement} */ (this.rows.at(-1)));
    }
    this.rows.splice(shown.length).forEach(row => row.remove());
    shown.forEach((place, i) => this.write(this.rows[i], { step: this.step, place }, first + i));
    this.above.style.height = `${first * ROW}px`;
    this.below.style.height = `${(places.length - first - shown.length) * ROW}px`;
  }

  /** @param {HTMLTableRowElement} row @param {Candidate} candidate @param {number} index */
  write(row, candidate, index) {
    const { results } = /** @type {Columns} */ (this.columns);
    const { record } = results;
    const { step, place } = candidate;
    const { ranks, logprobs, totals } = record.steps[step];
    const path = record.path(candidate).slice(-9, -1);
    const after = oneLine(record.words(path));
    const texts = [
      String(ranks[place]),
      oneLine(record.text(candidate)),
      after.length > AROUND ? `…${after.slice(-AROUND)}` : after,
      percent(logprobs[place]),
      decimal(totals[place]),
      decimal(results.score(candidate)),
      fate(results, candidate),
    ];
    texts.forEach((text, i) => {
      if (row.cells[i].textContent !== text) {
        row.cells[i].textContent = text;
      }
    });
    row.dataset.place = String(place);
    row.ariaRowIndex = String(index + 2);
    const state = results.rank(candidate) === null ? record.state(candidate) : "returned";
    const marked = this.marked?.step === step && this.marked.place === place;
    row.className = `nbllm-state-${state}${marked ? " nbllm-shown" : ""}`;
  }

  /** @param {MouseEvent} event @returns {Candidate | null} */
  under({ target }) {
    const row = /** @type {HTMLElement} */ (target).closest("tr");
    const place = row?.dataset.place;
    return place === undefined ? null : { step: this.step, place: Number(place) };
  }
}

function emptyRow() {
  const cells = HEADS.map(name =>
    name === "token" || name === "after"
      ? textElement("td", "nbllm-quoted")
      : element("td", NUMBERS.includes(name) ? "nbllm-number" : ""),
  );
  return element("tr", "", ...cells);
}
