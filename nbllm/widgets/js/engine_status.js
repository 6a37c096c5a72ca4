/** The engines of a kernel: a section a model, changed in place so that what has the focus keeps it. */
import { button, element, tableHead, textElement } from "./element.js";
import { frame } from "./frame.js";
import { sparkline } from "./sparkline.js";
import { visible } from "./visible.js";

/**
 * As nbllm/widgets/engine_data.py and nbllm/views/status.py write them.
 * @typedef {{id: string, began: number, prompt: string, prompts: number, waiting: number,
 *   state: string, num_tokens: number, max_tokens: number}} Call
 * @typedef {{name: string, current: boolean, architecture: string, num_parameters: number,
 *   dtype: string, device: string, max_model_len: number, quantization: string | null,
 *   adopted: boolean, asleep: boolean, memory: {weights: number, tables: number, kv_cache: number},
 *   device_memory: {free?: number, total?: number}, kv_cache_bound: number, num_pages: number,
 *   num_used_pages: number, prefix_cache_queries: number, prefix_cache_hits: number,
 *   generation_tokens: number, speeds: number[], calls: Call[], more_calls: number}} EngineState
 * @typedef {import("./frame.js").Frame["act"]} Act
 */

const SURE_MS = 4000;

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const view = frame(model, el);
  const load = button("load the bundled model", () => view.act("load"));
  const none = element("div", "nbllm-bar", "No model is loaded.", load);
  const list = element("div", "");
  /** @type {Map<string, ModelSection>} */
  const sections = new Map();
  view.body.append(none, list);
  view.draw(["models"], () => {
    /** @type {EngineState[]} */
    const models = model.get("models");
    none.hidden = models.length > 0;
    update(list, sections, models, state => state.name, state => new ModelSection(state.name, view.act));
  });
  return view.done;
}

/**
 * Makes the children of `list` those of `items`: what is there already is only updated.
 * @template Item
 * @template {{node: HTMLElement, update(item: Item): void}} Drawn
 * @param {HTMLElement} list
 * @param {Map<string, Drawn>} drawn by key
 * @param {Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Drawn} make
 */
function update(list, drawn, items, keyOf, make) {
  const keys = new Set(items.map(keyOf));
  for (const [key, each] of drawn) {
    if (!keys.has(key)) {
      each.node.remove();
      drawn.delete(key);
    }
  }
  for (const item of items) {
    let each = drawn.get(keyOf(item));
    if (!each) {
      each = make(item);
      drawn.set(keyOf(item), each);
      list.append(each.node);
    }
    each.update(item);
  }
}

class ModelSection {
  /** @param {string} name @param {Act} act */
  constructor(name, act) {
    this.name = name;
    this.act = act;
    this.title = textElement("h4", "");
    this.facts = textElement("div", "nbllm-facts");
    this.memory = element("div", "nbllm-memory");
    this.numbers = element("div", "nbllm-numbers");
    this.speed = element("div", "nbllm-speed");
    this.body = element("tbody", "");
    /** @type {Map<string, CallRow>} */
    this.rows = new Map();
    this.more = element("div", "nbllm-facts");
    this.sleep = button("sleep", () => act(this.asleep ? "wake" : "sleep", { model: name }));
    this.asleep = false;
    this.stop = button("stop all", () => act("stop", { model: name }), `stop all calls of ${name}`);
    const tools = element("div", "nbllm-bar", this.sleep, unloadButton(name, act), this.stop);
    this.node = element(
      "section", "nbllm-model",
      this.title, this.facts, this.memory, this.numbers, this.speed,
      callTable(this.body), this.more, tools,
    );
  }

  /** @param {EngineState} state */
  update(state) {
    this.asleep = state.asleep;
    this.title.textContent = visible(state.name) + (state.current ? " (current)" : "");
    this.facts.textContent = facts(state);
    this.sleep.textContent = state.asleep ? "wake" : "sleep";
    this.sleep.ariaLabel = this.sleep.title = state.asleep
      ? `wake ${this.name} up`
      : `sleep: ${this.name} gives its memory back until it is used again`;
    this.memory.replaceChildren(...memoryBar(memoryParts(state)));
    this.numbers.replaceChildren(...numbers(state));
    this.speed.replaceChildren(sparkline(state.speeds, "tokens/s"));
    this.stop.disabled = !state.calls.length;
    const make = (/** @type {Call} */ call) => new CallRow(call.id, this.name, this.act);
    update(this.body, this.rows, state.calls, call => call.id, make);
    this.body.closest(".nbllm-scroll")?.toggleAttribute("hidden", !state.calls.length);
    this.more.textContent = state.more_calls ? `… and ${state.more_calls} more calls` : "";
  }
}

/** Asks once more: unloading ends what runs. @param {string} name @param {Act} act */
function unloadButton(name, act) {
  let sure = false;
  const reset = () => {
    sure = false;
    node.textContent = "unload";
  };
  const node = button("unload", () => {
    if (sure) {
      act("unload", { model: name });
      reset();
    } else {
      sure = true;
      node.textContent = "really unload?";
      setTimeout(reset, SURE_MS);
    }
  });
  return node;
}

/** @param {HTMLElement} body */
function callTable(body) {
  const numbers = ["call", "prompts", "tokens", "seconds"];
  const head = tableHead(["call", "prompt", "prompts", "tokens", "seconds", "state", ""], numbers);
  return element("div", "nbllm-scroll", element("table", "", head, body));
}

class CallRow {
  /** @param {string} id @param {string} model @param {Act} act */
  constructor(id, model, act) {
    this.cells = Array.from({ length: 6 }, (_, i) =>
      i === 1 ? textElement("td", "nbllm-quoted") : element("td", i < 5 ? "nbllm-number" : ""),
    );
    const stop = button("stop", () => act("stop", { model, call: id }), `stop call ${id}`);
    this.node = element("tr", "", ...this.cells, element("td", "", stop));
  }

  /** @param {Call} call */
  update(call) {
    const waiting = call.waiting && call.state !== "waiting" ? `, ${call.waiting} waiting` : "";
    const texts = [
      call.id,
      visible(call.prompt),
      call.prompts.toLocaleString(),
      `${call.num_tokens.toLocaleString()} of ${call.max_tokens.toLocaleString()}`,
      Math.max(0, Date.now() / 1000 - call.began).toFixed(1),
      call.state + waiting,
    ];
    texts.forEach((text, i) => (this.cells[i].textContent = text));
  }
}

/** @param {EngineState} state */
function facts(state) {
  return [
    state.architecture,
    `${(state.num_parameters / 1e6).toFixed(1)}M parameters`,
    `${state.dtype} on ${state.device}`,
    `context ${state.max_model_len.toLocaleString()}`,
    ...(state.quantization ? [state.quantization] : []),
    ...(state.adopted ? ["weights of your model object"] : []),
    ...(state.asleep ? ["asleep"] : []),
  ].join(" · ");
}

/**
 * What the device's memory holds: this model's parts, what is others', and what is free.
 * @param {EngineState} state
 * @returns {[string, number][]}
 */
function memoryParts({ memory: { weights, tables, kv_cache }, device_memory: { free, total } }) {
  const own = weights + tables + kv_cache;
  /** @type {[string, number][]} */
  const parts = [["weights", weights + tables], ["KV cache", kv_cache]];
  if (free === undefined || total === undefined) {
    return parts;
  }
  // read one after the other, the numbers need not add up
  return [...parts, ["other", Math.max(0, total - free - own)], ["free", free]];
}

/** @param {[string, number][]} parts @returns {HTMLElement[]} a bar, and what its colours mean */
function memoryBar(parts) {
  const total = parts.reduce((sum, [, size]) => sum + size, 0) || 1;
  const bar = element("div", "nbllm-memory-bar");
  bar.role = "img";
  bar.ariaLabel = `Memory: ${parts.map(([name, size]) => `${name} ${bytes(size)}`).join(", ")}`;
  const legend = element("div", "nbllm-legend nbllm-facts");
  parts.forEach(([name, size], i) => {
    const part = element("span", `nbllm-part nbllm-part-${i}`);
    part.style.flexGrow = String(size / total);
    bar.append(part);
    legend.append(
      element("span", "", element("span", `nbllm-key nbllm-part-${i}`), ` ${name} ${bytes(size)}`),
    );
  });
  return [bar, legend];
}

/** @param {EngineState} state */
function numbers(state) {
  const [used, all] = [state.num_used_pages, state.num_pages].map(n => n.toLocaleString());
  const asked = state.prefix_cache_queries;
  const rate = ((100 * state.prefix_cache_hits) / (asked || 1)).toFixed(0);
  const counts = {
    pages: `${used} of ${all} in use, at most ${bytes(state.kv_cache_bound)}`,
    "prefix hits": asked ? `${rate} % of ${asked.toLocaleString()} prompt tokens` : "no prompt yet",
    generated: `${state.generation_tokens.toLocaleString()} tokens`,
  };
  return Object.entries(counts).map(([name, value]) =>
    element("div", "", element("span", "nbllm-facts", name), value),
  );
}

/** @param {number} count */
function bytes(count) {
  return count >= 2 ** 30 ? `${(count / 2 ** 30).toFixed(2)} GiB` : `${(count / 2 ** 20).toFixed(1)} MiB`;
}

export default { render };
