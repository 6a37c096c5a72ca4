/** The lower half of a Playground: what a run makes, two runs side by side, and all runs so far. */
import { Completions } from "./completions.js";
import { copyButton } from "./copy.js";
import { button, element, tableHead, textElement } from "./element.js";
import { frame } from "./frame.js";
import { frameField } from "./frame_field.js";
import { oneLine, visible } from "./visible.js";

/**
 * @typedef {{run: number, prompt: string, settings: string, text: string, reason: string,
 *   num_tokens: number}} Line a run in the history
 * @typedef {[shared: boolean, words: string][]} Parts
 */

const PINS = ["A", "B"];

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const view = frame(model, el);
  const completions = new Completions(model, view);
  const details = textElement("div", "nbllm-facts");
  const tools = element("div", "nbllm-bar");
  const code = element("section", "nbllm-code-section");
  const compared = element("section", "nbllm-compared");
  const history = element("details", "nbllm-history");
  view.body.append(completions.node, details, tools, code, compared, history);
  view.draw(["facts"], () => {
    details.textContent = visible(model.get("facts"));
  });
  tools.append(...pinButtons(model, view), ...exportTools(model, view));
  view.draw(["code"], () => drawCode(code, model.get("code")));
  view.draw(["pins", "diff"], () => drawCompared(compared, model, view.act));
  view.draw(["history", "shown", "pins"], () => drawHistory(history, model, view.act));
  return view.done;
}

/**
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame} view
 */
function pinButtons(model, view) {
  return PINS.map(name => {
    const node = button(`pin ${name}`, () => {
      const pinned = model.get("pins")[name]?.run === model.get("shown");
      view.act(pinned ? "unpin" : "pin", { name });
    });
    view.draw(["pins", "shown"], () => {
      const shown = model.get("shown");
      node.disabled = !shown;
      node.ariaPressed = String(!!shown && model.get("pins")[name]?.run === shown);
    });
    return node;
  });
}

/**
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame} view
 */
function exportTools(model, view) {
  const field = frameField("runs", "all runs", view.act);
  const codeButton = button("to code", () => view.act("code"), "to code: the cell that does the same");
  view.draw(["history"], () => {
    field.press.disabled = !model.get("history").length;
  });
  return [field.node, codeButton];
}

/** @param {HTMLElement} section @param {string} code */
function drawCode(section, code) {
  section.hidden = !code;
  const text = textElement("pre", "nbllm-text nbllm-code", visible(code));
  section.replaceChildren(text, copyButton(code, "copy this cell"));
}

/**
 * @param {HTMLElement} section
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
function drawCompared(section, model, act) {
  const pins = model.get("pins");
  const diff = model.get("diff");
  const names = PINS.filter(name => pins[name]);
  section.hidden = !names.length;
  section.replaceChildren(
    ...names.map(name => {
      const i = PINS.indexOf(name);
      const unpin = button("unpin", () => act("unpin", { name }), `unpin ${name}`);
      const settings = textElement("div", "nbllm-facts", visible(pins[name].settings));
      const parts = diff[i] ?? [[true, pins[name].whole]];
      return element(
        "article",
        "nbllm-side",
        element("h4", "", `${name}: run ${pins[name].run} `, unpin),
        settings,
        textElement("div", "nbllm-text", ...wordsOf(parts, i)),
      );
    }),
  );
}

/**
 * Words that only one side has are marked as deleted from A, or as inserted in B.
 * @param {Parts} parts
 * @param {number} side
 */
function wordsOf(parts, side) {
  return parts.map(([shared, words]) =>
    shared ? visible(words) : element(side ? "ins" : "del", "", visible(words)),
  );
}

/**
 * @param {HTMLDetailsElement} section
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
function drawHistory(section, model, act) {
  /** @type {Line[]} */
  const lines = model.get("history");
  const [shown, pins] = [model.get("shown"), model.get("pins")];
  const focused = /** @type {HTMLElement | null} */ (section.querySelector("button:focus"))?.dataset.key;
  section.hidden = !lines.length;
  const summary = element("summary", "", `History: ${lines.length} run${lines.length === 1 ? "" : "s"}`);
  const rows = lines.toReversed().map(line => historyRow(line, line.run === shown, pins, act));
  const head = tableHead(["run", "prompt", "settings", "text", "tokens", ""], ["run", "tokens"]);
  const table = element("table", "", head, element("tbody", "", ...rows));
  section.replaceChildren(summary, element("div", "nbllm-scroll", table));
  if (focused) {
    // the button that was pressed is there again
    [...section.querySelectorAll("button")].find(b => b.dataset.key === focused)?.focus();
  }
}

/**
 * @param {Line} line
 * @param {boolean} shown
 * @param {Record<string, Line>} pins
 * @param {import("./frame.js").Frame["act"]} act
 */
function historyRow(line, shown, pins, act) {
  const { run } = line;
  const restore = button("restore", () => act("restore", { run }), `restore run ${run}`);
  restore.dataset.key = `restore-${run}`;
  const pin = PINS.map(name => {
    const pinned = pins[name]?.run === run;
    const label = `${name}: ${pinned ? "unpin" : "pin"} run ${run}`;
    const press = () => (pinned ? act("unpin", { name }) : act("pin", { name, run }));
    const node = button(name, press, label);
    node.ariaPressed = String(pinned);
    node.dataset.key = `${name}-${run}`;
    return node;
  });
  const row = element(
    "tr",
    shown ? "nbllm-shown" : "",
    element("td", "nbllm-number", String(run)),
    ...[line.prompt, line.settings, line.text].map(text => textElement("td", "", oneLine(text))),
    element("td", "nbllm-number", String(line.num_tokens)),
    element("td", "nbllm-actions", restore, ...pin),
  );
  row.ariaCurrent = String(shown);
  return row;
}

export default { render };
