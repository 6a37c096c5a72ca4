/** The words of one message: token by token, as plain text, with the reasoning before them. */
import { element, textElement } from "./element.js";
import { TokenText } from "./tokens.js";
import { visible } from "./visible.js";

/**
 * @typedef {import("./alternatives.js").Token} Token
 * @typedef {{content: string, reasoning?: string | null, tokens?: Token[] | null}} Words
 */

export class Said {
  /** @param {import("./alternatives.js").Alternatives} alternatives @param {string} label */
  constructor(alternatives, label) {
    this.node = element("div", "nbllm-said");
    this.thoughts = textElement("div", "nbllm-text");
    this.reasoning = element("details", "nbllm-reasoning", element("summary", "", "reasoning"), this.thoughts);
    this.plain = textElement("div", "nbllm-text");
    this.shaded = new TokenText(alternatives, label);
    /** @type {Token[]} */
    this.tokens = [];
    this.content = "";
    this.asTokens = true;
  }

  /** @param {Words} words all that was said; tokens: those from number `start` on */
  say({ content, reasoning, tokens }, start = 0) {
    this.content = content;
    this.thoughts.textContent = visible(reasoning ?? "");
    if (tokens) {
      this.tokens.push(...tokens.slice(this.tokens.length - start));
    } else {
      this.tokens = [];
    }
    this.draw();
  }

  /** @param {boolean} asTokens */
  show(asTokens) {
    if (asTokens !== this.asTokens) {
      this.asTokens = asTokens;
      this.draw();
    }
  }

  draw() {
    if (this.asTokens && this.tokens.length) {
      this.shaded.append(this.tokens.slice(this.shaded.tokens.length));
      this.put(this.shaded.node);
    } else {
      this.plain.textContent = visible(this.content);
      this.put(this.plain);
    }
  }

  /** What is there already stays, with its focus. @param {HTMLElement} words */
  put(words) {
    const parts = this.thoughts.textContent ? [this.reasoning, words] : [words];
    if (parts.some((part, i) => this.node.children[i] !== part)) {
      this.node.replaceChildren(...parts);
    }
  }
}
