/**
 * The tree of a search on a canvas as large as what is in view: pointed at, or walked through with the
 * arrow keys. Whoever cannot see it hears where they are.
 */
import { HEAD, leftOf, paint } from "./beam_canvas.js";
import { element } from "./element.js";

/**
 * @typedef {import("./beam_record.js").Candidate} Candidate
 * @typedef {import("./beam_columns.js").BeamColumns} Columns
 * @typedef {{point: (candidate: Candidate | null) => void, focus: (candidate: Candidate | null) => void,
 *   choose: (candidate: Candidate) => void}} Calls point: the mouse is over it; focus: it was clicked, or
 *   walked to; choose: to be selected
 */

const LARGE = { width: 116, height: 22, gap: 26, letters: 11 };
const SMALL = { width: 0, height: 8, gap: 2, letters: 0 };
const NARROWEST = 6;
// so that the border of the last box is seen
const EDGE = 3;
const HELP =
  "Tree of the search. Left and right arrows: what a token continues, and its likeliest continuation. " +
  "Up and down: other candidates of the step. Home and End: first and last step. Enter: select the path. " +
  "The same is in the table below.";

export class BeamTree {
  /** @param {Calls} calls @param {HTMLElement} legend whose marks have the colours */
  constructor(calls, legend) {
    this.calls = calls;
    this.legend = legend;
    this.canvas = element("canvas", "");
    this.canvas.ariaHidden = "true";
    this.room = element("div", "nbllm-tree-room", this.canvas);
    this.node = element("div", "nbllm-tree", this.room);
    this.node.tabIndex = 0;
    this.node.role = "application";
    this.node.ariaLabel = HELP;
    /** @type {Columns | null} */
    this.columns = null;
    this.prompt = "";
    this.at = -1;
    /** @type {Candidate[]} */
    this.path = [];
    /** @type {Candidate | null} */
    this.focused = null;
    this.overview = false;
    /** @type {{step: number, place?: number} | null} */
    this.wanted = null;
    this.frame = 0;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.node);
    const { node } = this;
    node.addEventListener("scroll", () => this.draw());
    // the colours of another theme arrive as a transition
    node.addEventListener("transitionend", () => this.draw());
    node.addEventListener("pointermove", event => calls.point(this.under(event)));
    node.addEventListener("pointerleave", () => calls.point(null));
    node.addEventListener("click", event => calls.focus(this.under(event)));
    node.addEventListener("dblclick", event => {
      const candidate = this.under(event);
      candidate && calls.choose(candidate);
    });
    node.addEventListener("keydown", event => this.key(event));
  }

  get grid() {
    if (!this.overview) {
      return LARGE;
    }
    const count = (this.columns?.results.record.steps.length ?? 0) + 1;
    const width = Math.max(NARROWEST, (this.node.clientWidth - EDGE) / count);
    return { ...SMALL, width: Math.min(width, 40) };
  }

  /** @param {Partial<Pick<BeamTree, "columns" | "prompt" | "at" | "path" | "focused" | "overview">>} changes */
  set(changes) {
    Object.assign(this, changes);
    this.draw();
  }

  /** Paint with the next frame. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { columns, grid, node, canvas } = this;
    if (!columns || !node.isConnected) {
      return;
    }
    const steps = columns.results.record.steps.length;
    this.room.style.width = `${Math.floor(leftOf(steps, grid) - grid.gap) + EDGE}px`;
    this.room.style.height = `${HEAD + columns.height * grid.height + 2}px`;
    this.scroll();
    const [width, height] = [node.clientWidth, node.clientHeight];
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    const view = { left: node.scrollLeft, top: node.scrollTop, width, height };
    const { prompt, at, path, focused: focus } = this;
    paint(ctx, { columns, grid, palette: this.palette(), prompt, at, path, focus }, view);
  }

  palette() {
    const { color, backgroundColor, fontFamily } = getComputedStyle(this.node);
    const mark = (/** @type {string} */ name) => {
      const node = /** @type {HTMLElement} */ (this.legend.querySelector(`.nbllm-key-${name}`));
      return getComputedStyle(node).color;
    };
    return {
      text: color,
      back: backgroundColor,
      font: fontFamily,
      live: mark("live"),
      finished: mark("finished"),
      dim: mark("dropped"),
    };
  }

  /**
   * Scroll, with the next frame: to a candidate, or to a step and what led to it.
   * @param {number} step
   * @param {number} [place]
   */
  reveal(step, place) {
    this.wanted = { step, place };
    this.draw();
  }

  scroll() {
    const { node, grid, wanted, columns } = this;
    this.wanted = null;
    if (!wanted || !columns) {
      return;
    }
    const { step, place } = wanted;
    const left = leftOf(step, grid) - grid.gap;
    // what led to a step is of interest, and what comes after it is not drawn
    const right = Math.max(0, left + grid.width + EDGE - node.clientWidth);
    if (place === undefined) {
      node.scrollLeft = right;
    } else {
      node.scrollLeft = between(node.scrollLeft, right, left - grid.width);
      const top = Math.max(0, columns.row({ step, place })) * grid.height;
      node.scrollTop = between(node.scrollTop, top + HEAD + 2 * grid.height - node.clientHeight, top);
    }
  }

  /** The candidate at a point; null: there is none. @param {MouseEvent} event @returns {Candidate | null} */
  under({ clientX, clientY }) {
    const { columns, grid, node } = this;
    const box = node.getBoundingClientRect();
    const y = clientY - box.top - node.clientTop;
    const x = clientX - box.left - node.clientLeft + node.scrollLeft;
    const step = Math.floor((x - leftOf(0, grid)) / grid.width);
    if (!columns || step < 0 || step > this.at || y < HEAD) {
      return null;
    }
    if (x - leftOf(step, grid) > grid.width - grid.gap) {
      return null;
    }
    const row = Math.floor((y - HEAD + node.scrollTop) / grid.height);
    const place = columns.column(step)?.places[row];
    return place === undefined ? null : { step, place };
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const to = this.towards(event.key);
    if (event.ctrlKey || event.metaKey || event.altKey || to === undefined) {
      return;
    }
    event.preventDefault();
    if (event.key === "Enter" || event.key === " ") {
      to && this.calls.choose(to);
    } else {
      this.calls.focus(to);
    }
  }

  /** Where a key leads; undefined: the key means nothing here. @param {string} key */
  towards(key) {
    const { columns, focused } = this;
    if (!columns || this.at < 0) {
      return undefined;
    }
    const { record } = columns.results;
    /** @type {(step: number, row: number) => Candidate | null} */
    const at = (step, row) => {
      const { places } = columns.column(step);
      const place = places[Math.max(0, Math.min(row, places.length - 1))];
      return place === undefined ? focused : { step, place };
    };
    if (key === "Escape") {
      return null;
    }
    if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "Enter", " "].includes(key)) {
      return undefined;
    }
    if (!focused) {
      return at(key === "Home" ? 0 : this.at, 0);
    }
    const row = columns.row(focused);
    switch (key) {
      case "ArrowUp":
        return at(focused.step, row - 1);
      case "ArrowDown":
        return at(focused.step, row + 1);
      case "ArrowLeft":
        return record.parent(focused) ?? focused;
      case "ArrowRight":
        return record.child(focused) ?? focused;
      case "Home":
        return at(0, 0);
      case "End":
        return at(record.steps.length - 1, 0);
      default:
        return focused;
    }
  }

  done() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

/** @param {number} value @param {number} low @param {number} high */
function between(value, low, high) {
  return Math.max(0, Math.min(Math.max(value, low), high));
}
