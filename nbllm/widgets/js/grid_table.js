/** Rows and columns of texts: however many there are, only those in sight are drawn. */
import { element, textElement } from "./element.js";
import { oneLine, visible } from "./visible.js";

/**
 * As nbllm/widgets/prompt_grid_view.py sends them.
 * @typedef {{row: number, column: number, state: string, text: string, reason: string | null,
 *   tokens: number, logprob: number | null, rating: number | null, note: string, error: string}} GridCell
 * @typedef {{name: string, settings: string, mean: number | null, rated: number}} GridColumn
 */

const ROW_PX = 100;
const LOOK_MS = 100;
/** Rows above and below those in sight that are drawn, too. */
const SPARE = 4;
const EMPTY = { state: "", text: "", reason: null, tokens: 0, logprob: null, rating: null, note: "", error: "" };
let tables = 0;

/** What the page knows of every cell. */
export class GridData {
  constructor() {
    /** @type {Map<string, GridCell>} */
    this.cells = new Map();
    /** @type {string[]} */
    this.prompts = [];
    /** @type {GridColumn[]} */
    this.columns = [];
    /** @type {number[]} the rows that are shown, in order */
    this.rows = [];
  }

  /** @param {number} row @param {number} column @returns {GridCell} */
  cell(row, column) {
    return this.cells.get(`${row}-${column}`) ?? { row, column, ...EMPTY };
  }

  /** @param {GridCell[]} cells */
  take(cells) {
    cells.forEach(cell => this.cells.set(`${cell.row}-${cell.column}`, cell));
  }
}

/**
 * One stop of the Tab key: the arrow keys move from cell to cell, which `aria-activedescendant` tells.
 * The element that is the grid never changes, so that nothing loses the focus when rows come and go.
 */
export class GridTable {
  /**
   * @param {GridData} data
   * @param {{moved: () => void, looked: (rows: number[]) => void,
   *   pressed: (event: KeyboardEvent) => void}} calls
   */
  constructor(data, calls) {
    this.data = data;
    this.calls = calls;
    this.id = `nbllm-grid-${Date.now()}-${tables++}`;
    this.head = element("div", "nbllm-grid-head");
    this.head.role = "row";
    this.body = element("div", "nbllm-grid-body");
    this.body.role = "rowgroup";
    this.node = element("div", "nbllm-grid", this.head, this.body);
    this.node.role = "grid";
    this.node.tabIndex = 0;
    this.node.ariaLabel = "Cells: the arrow keys move, 1 to 5 rate, 0 clears, n writes a note";
    /** @type {Map<number, GridRow>} the drawn rows, by place */
    this.drawn = new Map();
    this.at = { row: -1, column: 0 };
    this.seen = "";
    this.frame = this.timer = 0;
    this.node.addEventListener("scroll", () => this.later());
    this.node.addEventListener("keydown", event => this.key(event));
    this.node.addEventListener("click", event => this.clicked(event.target));
  }

  /** Draw in the next frame, however often it is asked for. */
  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Rows or columns are others now. */
  reset() {
    const { columns, rows } = this.data;
    this.node.style.setProperty("--nbllm-count", String(columns.length));
    this.node.ariaRowCount = String(rows.length + 1);
    this.node.ariaColCount = String(columns.length + 1);
    this.heads();
    this.body.style.height = `${rows.length * ROW_PX}px`;
    this.drawn.forEach(row => row.node.remove());
    this.drawn.clear();
    if (!rows.includes(this.at.row)) {
      this.at.row = rows[0] ?? -1;
      this.calls.moved();
    }
    this.at.column = Math.max(0, Math.min(this.at.column, columns.length - 1));
    this.later();
  }

  heads() {
    this.head.replaceChildren(header("prompt", ""), ...this.data.columns.map(columnHeader));
  }

  /** The rows in sight, and nothing else. */
  draw() {
    const { rows } = this.data;
    const room = this.node.clientHeight - this.head.offsetHeight;
    if (room <= 0) {
      // out of sight
      return;
    }
    const top = this.node.scrollTop / ROW_PX;
    const first = Math.max(0, Math.floor(top) - SPARE);
    const last = Math.min(rows.length, Math.ceil(top + room / ROW_PX) + SPARE);
    const wanted = new Map(rows.slice(first, last).map((row, i) => [row, first + i]));
    for (const [row, drawn] of this.drawn) {
      if (!wanted.has(row)) {
        drawn.node.remove();
        this.drawn.delete(row);
      }
    }
    for (const [row, place] of wanted) {
      if (!this.drawn.has(row)) {
        const drawn = new GridRow(this.id, row, place, this.data);
        this.drawn.set(row, drawn);
        this.body.append(drawn.node);
      }
    }
    this.mark();
    this.look();
  }

  /** Say which rows are in sight, when they are others and the scrolling pauses. */
  look() {
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      const rows = [...this.drawn.keys()];
      if (rows.join() !== this.seen) {
        this.seen = rows.join();
        this.calls.looked(rows);
      }
    }, LOOK_MS);
  }

  /** @param {GridCell[]} cells */
  update(cells) {
    for (const cell of cells) {
      this.drawn.get(cell.row)?.cells[cell.column]?.update(cell);
    }
  }

  /** Show where we are. */
  mark() {
    this.body.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    const cell = this.drawn.get(this.at.row)?.cells[this.at.column];
    cell?.node.setAttribute("aria-selected", "true");
    // a cell that is not drawn cannot be pointed at
    if (cell) {
      this.node.setAttribute("aria-activedescendant", cell.node.id);
    } else {
      this.node.removeAttribute("aria-activedescendant");
    }
  }

  /** @param {number} place of the row among those that are shown @param {number} column */
  move(place, column) {
    const { rows, columns } = this.data;
    if (!rows.length || !columns.length) {
      return;
    }
    const to = Math.max(0, Math.min(place, rows.length - 1));
    this.at = { row: rows[to], column: Math.max(0, Math.min(column, columns.length - 1)) };
    this.reveal(to);
    this.draw();
    this.calls.moved();
  }

  /** Scroll as little as it takes. @param {number} place */
  reveal(place) {
    const room = this.node.clientHeight - this.head.offsetHeight;
    const top = place * ROW_PX;
    this.node.scrollTop = Math.max(top + ROW_PX - room, Math.min(top, this.node.scrollTop));
    const cell = this.drawn.get(this.at.row)?.cells[this.at.column]?.node;
    if (cell) {
      const left = /** @type {HTMLElement} */ (this.head.firstChild).offsetWidth;
      const end = cell.offsetLeft + cell.offsetWidth - this.node.clientWidth;
      this.node.scrollLeft = Math.max(end, Math.min(cell.offsetLeft - left, this.node.scrollLeft));
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.altKey || event.metaKey) {
      return;
    }
    const place = this.data.rows.indexOf(this.at.row);
    const { column } = this.at;
    const page = Math.max(1, Math.floor((this.node.clientHeight - this.head.offsetHeight) / ROW_PX) - 1);
    const last = this.data.columns.length - 1;
    const end = this.data.rows.length - 1;
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowUp: [place - 1, column],
      ArrowDown: [place + 1, column],
      ArrowLeft: [place, column - 1],
      ArrowRight: [place, column + 1],
      PageUp: [place - page, column],
      PageDown: [place + page, column],
      Home: event.ctrlKey ? [0, 0] : [place, 0],
      End: event.ctrlKey ? [end, last] : [place, last],
    };
    const to = moves[event.key];
    if (to) {
      event.preventDefault();
      event.stopPropagation();
      this.move(...to);
    } else if (!event.ctrlKey) {
      this.calls.pressed(event);
    }
  }

  /** @param {EventTarget | null} target */
  clicked(target) {
    const cell = target instanceof Element ? target.closest(".nbllm-grid-cell, .nbllm-grid-prompt") : null;
    if (cell instanceof HTMLElement) {
      const column = cell.dataset.column === undefined ? this.at.column : Number(cell.dataset.column);
      this.move(this.data.rows.indexOf(Number(cell.dataset.row)), column);
    }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
  }
}

class GridRow {
  /** @param {string} id @param {number} row @param {number} place @param {GridData} data */
  constructor(id, row, place, data) {
    const text = textElement("div", "nbllm-text", visible(data.prompts[row] ?? ""));
    const prompt = element("div", "nbllm-grid-prompt", element("span", "nbllm-facts", String(row)), text);
    prompt.role = "rowheader";
    prompt.dataset.row = String(row);
    this.cells = data.columns.map((_, column) => new CellView(id, row, column));
    this.cells.forEach((cell, column) => cell.update(data.cell(row, column)));
    this.node = element("div", "nbllm-grid-row", prompt, ...this.cells.map(cell => cell.node));
    this.node.role = "row";
    this.node.ariaRowIndex = String(place + 2);
    this.node.style.top = `${place * ROW_PX}px`;
  }
}

class CellView {
  /** @param {string} id @param {number} row @param {number} column */
  constructor(id, row, column) {
    this.text = textElement("div", "nbllm-text");
    this.facts = element("span", "nbllm-facts");
    this.said = element("span", "nbllm-stars");
    this.node = element("div", "nbllm-grid-cell", this.text, element("div", "nbllm-grid-foot", this.facts, this.said));
    this.node.role = "gridcell";
    this.node.id = `${id}-${row}-${column}`;
    this.node.dataset.row = String(row);
    this.node.dataset.column = String(column);
    this.node.ariaSelected = "false";
    this.node.ariaColIndex = String(column + 2);
  }

  /** @param {GridCell} cell */
  update(cell) {
    this.node.dataset.state = cell.state;
    this.text.textContent = visible(cell.error || cell.text);
    this.facts.textContent = factsOfCell(cell);
    this.said.textContent = starsOf(cell.rating) + (cell.note ? " ✎" : "");
    this.said.role = "img";
    this.said.ariaLabel = ratingOf(cell);
    this.said.hidden = !this.said.ariaLabel;
    this.said.title = visible(cell.note);
  }
}

/** @param {GridCell} cell */
export function factsOfCell(cell) {
  if (!cell.state || cell.state === "error") {
    return cell.state;
  }
  const facts = [`${cell.tokens.toLocaleString()} token${cell.tokens === 1 ? "" : "s"}`];
  if (cell.reason) {
    facts.unshift(visible(cell.reason));
  }
  if (cell.logprob !== null) {
    facts.push(`${cell.logprob.toFixed(2).replace("-", "−")} per token`);
  }
  return facts.join(" · ");
}

/** @param {number | null} rating */
export function starsOf(rating) {
  return rating === null ? "" : "★".repeat(rating) + "☆".repeat(5 - rating);
}

/** @param {GridCell} cell */
function ratingOf(cell) {
  const rated = cell.rating === null ? [] : [`rated ${cell.rating} of 5`];
  return [...rated, ...(cell.note ? ["with a note"] : [])].join(", ");
}

/** @param {GridColumn} column */
function columnHeader(column) {
  const rated = column.mean === null ? "" : `★ ${column.mean.toFixed(1)} (${column.rated})`;
  return header(column.name, column.settings, rated);
}

/** @param {string} name @param {string} settings @param {string} [rated] */
function header(name, settings, rated = "") {
  const node = element(
    "div", "nbllm-grid-column",
    textElement("span", "nbllm-grid-name", oneLine(name)), element("span", "nbllm-facts", rated),
  );
  node.role = "columnheader";
  node.title = oneLine(settings);
  return node;
}
