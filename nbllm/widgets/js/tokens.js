/** A text that grows token by token: the less likely a token, the stronger its shade. */
import { element, textElement } from "./element.js";
import { probability } from "./probability.js";
import { visible } from "./visible.js";

/** @typedef {import("./alternatives.js").Token} Token */

/**
 * Pointing at a token, or moving to it with the arrow keys, shows its alternatives. The text is one
 * stop of the Tab key, however many tokens it has.
 */
export class TokenText {
  /**
   * @param {import("./alternatives.js").Alternatives} alternatives
   * @param {string} label what a screen reader calls the text
   */
  constructor(alternatives, label) {
    this.node = textElement("div", "nbllm-text nbllm-tokens");
    this.node.role = "group";
    this.node.ariaLabel = `${label}; the arrow keys move from token to token`;
    this.alternatives = alternatives;
    /** @type {Token[]} */
    this.tokens = [];
    /** @type {HTMLElement[]} */
    this.spans = [];
    /** @type {HTMLElement | undefined} */
    this.stop = undefined;
    this.node.addEventListener("pointerover", event => this.show(event.target));
    this.node.addEventListener("pointerleave", () => alternatives.hide());
    this.node.addEventListener("focusin", event => this.focused(event.target));
    this.node.addEventListener("focusout", () => alternatives.hide());
    this.node.addEventListener("keydown", event => this.pressed(event));
  }

  /** @param {Token[]} tokens */
  append(tokens) {
    const spans = tokens.map(tokenElement);
    this.tokens.push(...tokens);
    this.spans.push(...spans);
    this.node.append(...spans);
    if (!this.stop && spans[0]) {
      this.stop = spans[0];
      this.stop.tabIndex = 0;
    }
  }

  /** @param {EventTarget | null} target @returns {number} −1: none */
  indexOf(target) {
    const span = target instanceof Element ? target.closest(".nbllm-token") : null;
    return span ? this.spans.indexOf(/** @type {HTMLElement} */ (span)) : -1;
  }

  /** @param {EventTarget | null} target */
  show(target) {
    const i = this.indexOf(target);
    if (i >= 0) {
      this.alternatives.show(this.spans[i], this.tokens[i]);
    }
    return this.spans[i];
  }

  /** @param {EventTarget | null} target */
  focused(target) {
    const span = this.show(target);
    if (span) {
      if (this.stop) {
        this.stop.tabIndex = -1;
      }
      span.tabIndex = 0;
      this.stop = span;
    }
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.key === "Escape") {
      this.alternatives.hide();
      return;
    }
    const at = this.indexOf(event.target);
    const last = this.spans.length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.spans[Math.max(0, Math.min(last, to))]?.focus();
    }
  }
}

/** @param {Token} token */
function tokenElement(token) {
  const span = element("span", "nbllm-token", ...characters(token.text));
  span.tabIndex = -1;
  span.style.setProperty("--nbllm-surprise", (1 - probability(token.logprob)).toFixed(3));
  return span;
}

/**
 * Newlines, tabs and tokens without any text get a mark, to be seen and pointed at.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function characters(text) {
  if (text === "") {
    return [mark("∅")];
  }
  return visible(text)
    .split(/([\n\t])/)
    .flatMap(part =>
      part === "\n" ? [mark("⏎"), part] : part === "\t" ? [mark("⇥"), part] : [part],
    );
}

/** @param {string} symbol */
function mark(symbol) {
  const node = element("span", "nbllm-mark", symbol);
  node.ariaHidden = "true";
  return node;
}
