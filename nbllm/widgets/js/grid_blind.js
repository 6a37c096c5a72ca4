/** Two texts of a row, without the names of the settings that made them: which is better? */
import { button, element, textElement } from "./element.js";
import { oneLine, visible } from "./visible.js";

/**
 * As nbllm/widgets/prompt_grid.py says.
 * @typedef {{row: number | null, prompt?: string, left?: string, right?: string, judged: number,
 *   of: number, same: number, waiting: number, outcome: Outcome | null}} Duel
 * @typedef {{text: string, wins: [name: string, count: number][], ties: number, share: number | null,
 *   low: number, high: number}} Outcome
 */

/** @type {Record<string, string>} */
const CHOICES = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", t: "tie" };

export class BlindView {
  /** @param {import("./frame.js").Frame["act"]} act */
  constructor(act) {
    this.act = act;
    /** @type {Duel | null} */
    this.duel = null;
    this.progress = element("div", "nbllm-facts");
    this.progress.role = "status";
    this.prompt = textElement("div", "nbllm-text nbllm-detail-prompt");
    this.left = textElement("div", "nbllm-text");
    this.right = textElement("div", "nbllm-text");
    this.pair = element("div", "nbllm-pair", side("left", this.left), side("right", this.right));
    this.outcome = element("div", "nbllm-outcome");
    const choose = (/** @type {string} */ choice) => () => this.choose(choice);
    this.buttons = [
      button("← left is better", choose("left")),
      button("↓ tie", choose("tie")),
      button("→ right is better", choose("right")),
    ];
    this.undo = button("undo", () => act("undo"), "undo: take the latest judgement back");
    this.reveal = button("reveal", () => act("reveal"), "reveal who won, and how sure that is");
    const back = button("back to the grid", () => act("end_blind"));
    const bar = element("div", "nbllm-bar", ...this.buttons, this.undo, this.reveal, back);
    this.node = element(
      "section", "nbllm-blind", this.progress, this.prompt, this.pair, bar, this.outcome,
    );
    this.node.tabIndex = 0;
    this.node.role = "group";
    this.node.ariaLabel = "Blind comparison: left arrow, right arrow, or down arrow for a tie; u takes back";
    this.node.addEventListener("keydown", event => this.pressed(event));
  }

  /** @param {string} choice */
  choose(choice) {
    if (this.duel && this.duel.row !== null) {
      this.act("choose", { choice, row: this.duel.row });
    }
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    const choice = CHOICES[event.key];
    if (choice) {
      this.choose(choice);
    } else if (event.key === "u") {
      this.act("undo");
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Duel} duel */
  show(duel) {
    this.duel = duel;
    const { row, judged, same, waiting } = duel;
    const facts = [`${judged} of ${duel.of} rows judged`];
    if (same) {
      facts.push(`${same} left out: both texts are the same`);
    }
    if (waiting) {
      facts.push(`${waiting} not made yet`);
    }
    this.progress.textContent = facts.join(" · ");
    const open = row !== null;
    this.pair.hidden = this.prompt.hidden = !open;
    this.prompt.textContent = visible(duel.prompt ?? "");
    this.left.textContent = visible(duel.left ?? "");
    this.right.textContent = visible(duel.right ?? "");
    this.buttons.forEach(node => {
      node.disabled = !open;
    });
    this.undo.disabled = this.reveal.disabled = !judged;
    this.outcome.hidden = !duel.outcome;
    this.outcome.replaceChildren(...(duel.outcome ? outcomeParts(duel.outcome) : []));
  }
}

/** @param {string} name @param {HTMLElement} text */
function side(name, text) {
  const node = element("article", "nbllm-side", element("h4", "", name), text);
  node.ariaLabel = name;
  return node;
}

/** @param {Outcome} outcome */
function outcomeParts({ text, wins, ties, share, low, high }) {
  const [[a, first], [b, second]] = wins;
  const counts = element(
    "div", "nbllm-counts",
    textElement("span", "", `${oneLine(a)} ${first}`), element("span", "", `tie ${ties}`),
    textElement("span", "", `${oneLine(b)} ${second}`),
  );
  const parts = [counts];
  if (share !== null) {
    const interval = element("div", "nbllm-interval-range");
    interval.style.insetInlineStart = `${100 * (1 - high)}%`;
    interval.style.width = `${100 * (high - low)}%`;
    const point = element("div", "nbllm-interval-point");
    point.style.insetInlineStart = `${100 * (1 - share)}%`;
    const bar = element("div", "nbllm-interval", interval, element("div", "nbllm-interval-half"), point);
    bar.ariaHidden = "true";
    parts.push(bar);
  }
  return [...parts, textElement("div", "", visible(text))];
}
