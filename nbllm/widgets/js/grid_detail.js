/** The whole of one cell: its prompt, its text, its rating and its note. */
import { button, element, textElement } from "./element.js";
import { factsOfCell } from "./grid_table.js";
import { oneLine, visible } from "./visible.js";

/** @typedef {import("./grid_table.js").GridCell} GridCell */

const RATINGS = [1, 2, 3, 4, 5];

export class GridDetail {
  /**
   * @param {import("./grid_table.js").GridData} data
   * @param {import("./frame.js").Frame["act"]} act
   * @param {() => void} back gives the grid the focus
   */
  constructor(data, act, back) {
    this.data = data;
    this.act = act;
    /** @type {GridCell | null} */
    this.cell = null;
    this.title = textElement("h4", "");
    this.settings = textElement("div", "nbllm-facts");
    this.prompt = textElement("div", "nbllm-text nbllm-detail-prompt");
    this.text = textElement("div", "nbllm-text nbllm-detail-text");
    this.text.tabIndex = 0;
    this.text.role = "region";
    this.text.ariaLabel = "Text of the cell";
    this.facts = element("div", "nbllm-facts");
    this.ratings = RATINGS.map(n => this.ratingButton(n));
    this.note = element("textarea", "nbllm-note-field");
    this.note.rows = 1;
    this.note.placeholder = "note (key n)";
    this.note.ariaLabel = "note to this cell";
    this.note.addEventListener("change", () => this.annotate());
    this.note.addEventListener("keydown", event => {
      event.stopPropagation();
      if (event.key === "Escape") {
        this.note.value = this.cell?.note ?? "";
      }
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        // losing the focus is what says the note
        back();
      }
    });
    const stars = element("div", "nbllm-rating", "rate (keys 1 to 5)", ...this.ratings);
    stars.role = "group";
    stars.ariaLabel = "Rating";
    const bar = element("div", "nbllm-bar", stars, this.note);
    this.node = element(
      "section", "nbllm-detail", this.title, this.settings, this.prompt, this.text, this.facts, bar,
    );
    this.node.ariaLabel = "The selected cell";
  }

  /** @param {number} rating */
  ratingButton(rating) {
    const node = button(String(rating), () => {
      const now = this.cell?.rating === rating ? 0 : rating;
      this.say("rate", { rating: now });
    }, `${rating} of 5`);
    return node;
  }

  /** @param {string} action @param {object} fields */
  say(action, fields) {
    if (this.cell) {
      this.act(action, { row: this.cell.row, column: this.cell.column, ...fields });
    }
  }

  annotate() {
    if (this.cell && this.note.value !== this.cell.note) {
      this.say("annotate", { note: this.note.value });
    }
  }

  /** @param {{row: number, column: number}} at */
  show({ row, column }) {
    const of = this.data.columns[column];
    this.node.hidden = row < 0 || !of;
    if (this.node.hidden) {
      this.cell = null;
      return;
    }
    const moved = this.cell?.row !== row || this.cell?.column !== column;
    this.cell = this.data.cell(row, column);
    this.title.textContent = `row ${row} · ${oneLine(of.name)}`;
    this.settings.textContent = oneLine(of.settings);
    this.prompt.textContent = visible(this.data.prompts[row] ?? "");
    this.draw(moved);
  }

  /** @param {GridCell[]} cells */
  update(cells) {
    const mine = cells.findLast(c => c.row === this.cell?.row && c.column === this.cell?.column);
    if (mine) {
      this.cell = mine;
      this.draw(false);
    }
  }

  /** @param {boolean} moved */
  draw(moved) {
    const cell = /** @type {GridCell} */ (this.cell);
    this.node.dataset.state = cell.state;
    const text = visible(cell.error || cell.text);
    // what somebody has selected in it stays selected
    if (this.text.textContent !== text) {
      this.text.textContent = text;
    }
    this.facts.textContent = factsOfCell(cell) || "not made yet";
    this.ratings.forEach((node, i) => {
      node.ariaPressed = String(cell.rating === RATINGS[i]);
    });
    // nobody's half-typed note is overwritten
    if (moved || document.activeElement !== this.note) {
      this.note.value = cell.note;
    }
  }
}
