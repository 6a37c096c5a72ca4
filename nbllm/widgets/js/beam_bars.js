/** What moves through the steps of a search, and what says which candidates are shown. */
import { decimal } from "./beam_words.js";
import { button, element } from "./element.js";

/** @typedef {import("./beam_columns.js").Filter} Filter */

const PACE_MS = 160;

/** A slider over the steps, one step back and forth, and play. */
export class StepBar {
  /** @param {(step: number) => void} go a person moves to a step, from 1; 0: the prompt */
  constructor(go) {
    this.go = go;
    this.slider = element("input", "nbllm-steps");
    this.slider.type = "range";
    this.slider.min = "0";
    this.slider.ariaLabel = "step of the search";
    this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
    this.back = button("◀", () => this.move(this.step - 1), "◀ one step back");
    this.forth = button("▶", () => this.move(this.step + 1), "▶ one step further");
    this.play = button("play", () => (this.timer ? this.pause() : this.start()));
    this.where = element("span", "nbllm-facts nbllm-where");
    this.timer = 0;
    this.node = element(
      "div", "nbllm-bar nbllm-local", this.back, this.slider, this.forth, this.play, this.where,
    );
  }

  get step() {
    return Number(this.slider.value);
  }

  get steps() {
    return Number(this.slider.max);
  }

  /** @param {number} step @param {number} steps */
  show(step, steps) {
    this.slider.max = String(steps);
    this.slider.value = String(step);
    const words = step ? `step ${step} of ${steps}` : `the prompt, before ${steps} steps`;
    this.where.textContent = words;
    this.slider.ariaValueText = words;
    this.back.disabled = step <= 0;
    this.forth.disabled = step >= steps;
    this.play.disabled = !steps;
  }

  /** @param {number} step */
  move(step) {
    this.pause();
    this.go(Math.max(0, Math.min(step, this.steps)));
  }

  /** Step by step to the end; at the end, from the beginning. */
  start() {
    if (this.step >= this.steps) {
      this.go(0);
    }
    this.play.textContent = "pause";
    this.timer = setInterval(() => {
      this.go(this.step + 1);
      if (this.step >= this.steps) {
        this.pause();
      }
    }, PACE_MS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.play.textContent = "play";
  }
}

/** Which states are shown, and from which score on. */
export class FilterBar {
  /** @param {() => void} changed @param {(small: boolean) => void} overview */
  constructor(changed, overview) {
    /** @type {Record<"live" | "finished" | "pruned", HTMLInputElement>} */
    this.states = {
      live: this.box("live", changed),
      finished: this.box("finished", changed),
      pruned: this.box("pruned", changed),
    };
    this.range = element("input", "nbllm-least");
    this.range.type = "range";
    this.range.min = "0";
    this.range.max = "100";
    this.range.value = "0";
    this.range.ariaLabel = "least score";
    this.range.addEventListener("input", () => {
      this.say();
      changed();
    });
    this.value = element("output", "nbllm-facts");
    this.limits = { low: 0, high: 0 };
    this.overview = button("overview", () => {
      const pressed = this.overview.ariaPressed !== "true";
      this.overview.ariaPressed = String(pressed);
      overview(pressed);
    }, "overview: the whole tree, without words");
    this.overview.ariaPressed = "false";
    const boxes = Object.entries(this.states).map(([name, box]) =>
      element("label", "nbllm-check", box, ` ${name}`),
    );
    const score = element("label", "nbllm-check", "score ≥ ", this.range, " ", this.value);
    this.node = element("div", "nbllm-bar nbllm-local", ...boxes, score, this.overview);
    this.say();
  }

  /** @param {string} name @param {() => void} changed */
  box(name, changed) {
    const node = element("input", "");
    node.type = "checkbox";
    node.checked = true;
    node.ariaLabel = `show what is ${name}`;
    node.addEventListener("change", changed);
    return node;
  }

  /** @returns {Filter} */
  get filter() {
    const { live, finished, pruned } = this.states;
    return {
      live: live.checked,
      finished: finished.checked,
      pruned: pruned.checked,
      least: this.least,
    };
  }

  /** -Infinity: all. */
  get least() {
    const { low, high } = this.limits;
    const share = Number(this.range.value) / 100;
    return share ? low + share * (high - low) : -Infinity;
  }

  /** The scores that there are. @param {number} low @param {number} high */
  limit(low, high) {
    this.limits = { low, high };
    this.say();
  }

  say() {
    this.value.textContent = this.least === -Infinity ? "all" : decimal(this.least);
    this.range.ariaValueText = this.value.textContent;
  }
}
