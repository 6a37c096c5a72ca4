/** What stands around the cells of a grid: running, sorting, judging, saving, adding. */
import { button, element } from "./element.js";
import { frameField } from "./frame_field.js";
import { oneLine } from "./visible.js";

/**
 * @typedef {import("./frame.js").Model} Model
 * @typedef {import("./frame.js").Frame} View
 * @typedef {{by: string, column: number | null, descending: boolean, text: string, show: string}} Order
 */

const TYPING_MS = 250;
/** @type {[value: string, text: string][]} */
const BY = [
  ["row", "as they came"], ["prompt", "prompt"], ["text", "text"], ["rating", "rating"],
  ["tokens", "tokens"], ["logprob", "log-probability per token"],
];
/** @type {[value: string, text: string][]} */
const SHOW = [
  ["all", "all rows"], ["rated", "rated"], ["unrated", "unrated"], ["noted", "with a note"],
  ["missing", "not made yet"], ["failed", "failed"],
];

/** @param {Model} model @param {View} view */
export function runTools(model, view) {
  const run = button("Run", () => view.act("run"), "Run every cell that is not done");
  const stop = button("Stop", () => view.act("stop"), "Stop, and keep what there is");
  const bar = element("progress", "nbllm-progress");
  bar.ariaLabel = "cells that are done";
  const count = element("span", "nbllm-facts");
  view.draw(["progress", "running"], () => {
    const { done = 0, failed = 0, total = 0 } = model.get("progress");
    const running = model.get("running");
    run.disabled = running || done === total;
    stop.disabled = !running;
    bar.max = total || 1;
    bar.value = done + failed;
    bar.hidden = !running;
    const said = `${done.toLocaleString()} of ${total.toLocaleString()} cells done`;
    count.textContent = failed ? `${said} · ${failed.toLocaleString()} failed` : said;
  });
  return element("div", "nbllm-bar", run, stop, bar, count);
}

/** Which rows are shown, in what order. @param {Model} model @param {View} view */
export function orderTools(model, view) {
  const by = select("sort by", BY);
  const column = select("of which column", []);
  const down = button("↓", () => send({ descending: down.ariaPressed !== "true" }), "↓ the greatest first");
  const show = select("show", SHOW);
  const text = element("input", "nbllm-filter");
  text.type = "search";
  text.placeholder = "containing …";
  text.ariaLabel = "show rows containing";
  const shown = element("span", "nbllm-facts");
  shown.role = "status";
  const send = (/** @type {object} */ change) => {
    const place = column.value === "" ? null : Number(column.value);
    const order = { by: by.value, column: place, show: show.value, text: text.value };
    view.act("sort", { ...order, descending: down.ariaPressed === "true", ...change });
  };
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(send, TYPING_MS, {});
  };
  [by, column, show].forEach(node => node.addEventListener("change", () => send({})));
  text.addEventListener("input", soon);
  view.draw(["columns"], () => {
    offer(column, [["", "all columns"], ...named(model)]);
  });
  view.draw(["order", "columns"], () => {
    /** @type {Partial<Order>} */
    const order = model.get("order");
    by.value = order.by ?? "row";
    column.value = String(order.column ?? "");
    show.value = order.show ?? "all";
    down.ariaPressed = String(!!order.descending);
    if (document.activeElement !== text) {
      text.value = order.text ?? "";
    }
  });
  view.draw(["rows", "prompts"], () => {
    const [some, all] = [model.get("rows").length, model.get("prompts").length];
    shown.textContent = some === all ? "" : `${some.toLocaleString()} of ${all.toLocaleString()} rows`;
  });
  const sort = element("span", "nbllm-field", label("sort by", by), column, down);
  const bar = element("div", "nbllm-bar", sort, label("show", show), text, shown);
  return { node: bar, stop: () => clearTimeout(timer) };
}

/** @param {Model} model @param {View} view */
export function blindTools(model, view) {
  const a = select("first column to judge", []);
  const b = select("second column to judge", []);
  const start = button("judge blind", () => view.act("blind", { a: Number(a.value), b: Number(b.value) }),
    "judge blind: two columns, row by row, without their names");
  const node = element("span", "nbllm-field", start, a, "or", b);
  view.draw(["columns"], () => {
    const names = named(model);
    node.hidden = names.length < 2;
    const chosen = [a.value, b.value];
    offer(a, names);
    offer(b, names);
    [a.value, b.value] = chosen[0] && chosen[1] ? chosen : ["0", "1"];
  });
  return node;
}

/** @param {Model} model @param {View} view */
export function fileTools(model, view) {
  const file = element("input", "nbllm-file");
  file.ariaLabel = "file for ratings, beside the notebook";
  file.size = 14;
  view.draw(["file"], () => {
    file.value = model.get("file");
  });
  const save = button("save", () => view.act("save", { path: file.value }), "save texts, ratings and notes in this file");
  const load = button("load", () => view.act("restore", { path: file.value }), "load what this file has of these cells");
  onEnter(file, () => save.click());
  const frame = frameField("cells", "all cells", view.act);
  return [element("span", "nbllm-field", file, save, load), frame.node];
}

/** @param {Model} model @param {View} view */
export function addTools(model, view) {
  const prompt = element("textarea", "nbllm-prompt-field");
  prompt.rows = 2;
  prompt.placeholder = "a prompt";
  prompt.ariaLabel = "prompt of a new row";
  const addRow = button("add row", () => {
    view.act("add", { prompt: prompt.value });
    prompt.value = "";
  });
  const setting = element("input", "nbllm-setting-field");
  setting.placeholder = "wild: temperature=1.3 top_k=50";
  setting.ariaLabel = "setting of a new column";
  const addColumn = button("add column", () => {
    view.act("add_setting", { setting: setting.value });
    setting.value = "";
  });
  onEnter(setting, () => addColumn.click());
  const rows = element("div", "nbllm-bar", prompt, addRow);
  const columns = element("div", "nbllm-bar", setting, addColumn);
  const node = element("details", "nbllm-add", element("summary", "", "Add rows and columns"), rows, columns);
  view.draw(["fixed", "prompts"], () => {
    rows.hidden = model.get("fixed");
    node.open ||= !model.get("prompts").length;
  });
  return node;
}

/** @param {Model} model @returns {[value: string, text: string][]} */
function named(model) {
  /** @type {{name: string}[]} */
  const columns = model.get("columns");
  return columns.map((column, i) => [String(i), oneLine(column.name)]);
}

/** @param {string} name @param {[value: string, text: string][]} options */
function select(name, options) {
  const node = element("select", "nbllm-select");
  node.ariaLabel = name;
  offer(node, options);
  return node;
}

/** @param {HTMLSelectElement} node @param {[value: string, text: string][]} options */
function offer(node, options) {
  const chosen = node.value;
  if (options.map(([, text]) => text).join("\n") === [...node.options].map(o => o.text).join("\n")) {
    return;
  }
  node.replaceChildren(
    ...options.map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      return option;
    }),
  );
  if (options.some(([value]) => value === chosen)) {
    node.value = chosen;
  }
}

/** @param {string} text @param {HTMLElement} field */
function label(text, field) {
  return element("label", "nbllm-field", text, field);
}

/** @param {HTMLElement} field @param {() => void} call */
function onEnter(field, call) {
  field.addEventListener("keydown", event => event.key === "Enter" && call());
}
