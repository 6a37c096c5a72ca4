/** The sequences that a search returns, and other paths that were selected, with what takes them out. */
import { decimal } from "./beam_words.js";
import { button, element, tableHead, textElement } from "./element.js";
import { visible } from "./visible.js";

/**
 * @typedef {import("./beam_results.js").Line} Line
 * @typedef {import("./beam_record.js").Candidate} Candidate
 */

const COLUMNS = ["", "#", "text", "score", "log-prob.", "tokens", "ended"];
const MAX_SAME = 60;
const RIGHT = ["#", "score", "log-prob.", "tokens"];

export class BeamSequences {
  /**
   * @param {import("./frame.js").Frame["act"]} act
   * @param {(line: Line | null) => void} point the mouse or the keyboard is at a sequence
   */
  constructor(act, point) {
    this.act = act;
    this.point = point;
    this.body = element("tbody", "");
    this.table = element("table", "nbllm-sequences", tableHead(COLUMNS, RIGHT), this.body);
    this.all = checkbox("select all sequences", () => act(this.all.checked ? "all" : "none"));
    /** @type {HTMLElement} */ (this.table.querySelector("th")).append(this.all);
    const name = element("input", "nbllm-name");
    name.value = "sequences";
    name.size = 12;
    name.ariaLabel = "variable for the DataFrame";
    const toFrame = () => act("frame", { name: name.value });
    name.addEventListener("keydown", event => event.key === "Enter" && toFrame());
    this.button = button("to DataFrame", toFrame, "to DataFrame: what is selected, else all sequences");
    this.count = element("span", "nbllm-facts");
    const field = element("span", "nbllm-field", name, this.button);
    this.tools = element("div", "nbllm-bar", field, this.count);
    this.node = element("div", "", element("div", "nbllm-scroll", this.table), this.tools);
  }

  /** @param {Line[]} lines */
  show(lines) {
    const focused = /** @type {HTMLElement | null} */ (this.body.querySelector(":focus"))?.dataset.key;
    this.body.replaceChildren(...lines.map(line => this.row(line)));
    if (focused) {
      // what was pressed is there again
      [...this.body.querySelectorAll("input")].find(i => i.dataset.key === focused)?.focus();
    }
    const selected = lines.filter(line => line.selected).length;
    this.count.textContent = selected ? `${selected} of ${lines.length} selected` : "";
    this.all.checked = selected > 0 && lines.every(line => line.selected);
    this.all.indeterminate = selected > 0 && !this.all.checked;
    this.all.disabled = this.button.disabled = !lines.length;
  }

  /** @param {Line} line */
  row(line) {
    const { rank, step, place } = line;
    const name = rank === null ? `the path to step ${step + 1}` : `sequence ${rank}`;
    const select = checkbox(`select ${name}`, () => this.act("toggle", { step, place }));
    select.checked = line.selected;
    // the prompt alone is no path
    select.disabled = step < 0;
    select.dataset.key = `${step}-${place}`;
    const row = element(
      "tr",
      "",
      element("td", "", select),
      element("td", "nbllm-number", rank === null ? "–" : String(rank)),
      textElement("td", "nbllm-text", ...parts(line)),
      element("td", "nbllm-number", decimal(line.score)),
      element("td", "nbllm-number", decimal(line.cumulative_logprob)),
      element("td", "nbllm-number", line.num_tokens.toLocaleString()),
      element("td", "", visible(line.ended)),
    );
    row.addEventListener("pointerenter", () => this.point(line));
    row.addEventListener("pointerleave", () => this.point(null));
    row.addEventListener("focusin", () => this.point(line));
    row.addEventListener("focusout", () => this.point(null));
    return row;
  }
}

/** What it shares with the best is dim; of much of it only the end is there. @param {Line} line */
function parts({ text, same }) {
  // Python counts characters, not the halves of some
  const letters = [...text];
  const begin = same > MAX_SAME ? same - MAX_SAME : 0;
  const shared = (begin ? "… " : "") + visible(letters.slice(begin, same).join(""));
  const rest = visible(letters.slice(same).join(""));
  return same ? [element("span", "nbllm-same", shared), rest] : [rest];
}

/** @param {string} name @param {() => void} onChange */
function checkbox(name, onChange) {
  const node = element("input", "");
  node.type = "checkbox";
  node.ariaLabel = name;
  node.addEventListener("change", onChange);
  return node;
}
