/** The likeliest tokens at one position, with their probabilities, in a small box next to it. */
import { element, textElement } from "./element.js";
import { percent, probability } from "./probability.js";
import { oneLine } from "./visible.js";

/**
 * As nbllm/views/data.py writes it; `top`: the likeliest tokens, best first.
 * @typedef {{text: string, logprob: number | null, rank: number, entropy?: number | null,
 *   top: [text: string, logprob: number | null][]}} Token
 */

const GAP = 4;
let boxes = 0;

/** One box, shared by all tokens of a widget. */
export class Alternatives {
  constructor() {
    this.node = element("div", "nbllm-alternatives");
    this.node.id = `nbllm-widget-alternatives-${Date.now()}-${boxes++}`;
    this.node.role = "tooltip";
    // in the browser's top layer: neither the output area nor the notebook cuts it off
    this.node.popover = "manual";
    /** @type {HTMLElement | null} */
    this.anchor = null;
    this.hide = () => {
      this.anchor?.removeAttribute("aria-describedby");
      this.anchor = null;
      this.node.hidePopover();
      window.removeEventListener("scroll", this.hide, { capture: true });
    };
  }

  /** @param {HTMLElement} anchor @param {Token} token */
  show(anchor, token) {
    this.hide();
    this.anchor = anchor;
    anchor.setAttribute("aria-describedby", this.node.id);
    this.node.replaceChildren(chosen(token), ...token.top.map(top => alternative(top, token)));
    this.node.showPopover();
    place(this.node, anchor);
    window.addEventListener("scroll", this.hide, { capture: true, once: true });
  }
}

/** The token itself. @param {Token} token */
export function chosen(token) {
  const entropy =
    token.top.length && token.entropy != null ? ` · entropy ${token.entropy.toFixed(2)}` : "";
  const facts = `${percent(token.logprob)} · rank ${token.rank.toLocaleString()}${entropy}`;
  return element("div", "nbllm-chosen", quoted(token.text), element("span", "nbllm-percent", facts));
}

/** @param {Token["top"][0]} top @param {Token} token */
function alternative([text, logprob], token) {
  const own = text === token.text && logprob === token.logprob;
  return fillRow(element("div", own ? "nbllm-row nbllm-row-chosen" : "nbllm-row"), text, logprob);
}

/**
 * A text and its probability, with a bar as long as that.
 * @template {HTMLElement} E
 * @param {E} node
 * @param {string} text
 * @param {number | null} logprob
 */
export function fillRow(node, text, logprob) {
  node.replaceChildren(quoted(text), element("span", "nbllm-percent", percent(logprob)));
  node.style.setProperty("--nbllm-share", probability(logprob).toFixed(3));
  return node;
}

/** @param {string} text */
export function quoted(text) {
  return textElement("span", "nbllm-quoted", `“${oneLine(text)}”`);
}

/**
 * Below the anchor, above it where there is no room, never outside the window.
 * @param {HTMLElement} node
 * @param {HTMLElement} anchor
 */
export function place(node, anchor) {
  const at = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
  const { width, height } = node.getBoundingClientRect();
  const below = at.bottom + GAP;
  const fits = below + height <= window.innerHeight;
  node.style.top = `${fits ? below : Math.max(0, at.top - GAP - height)}px`;
  node.style.left = `${Math.max(0, Math.min(at.left, window.innerWidth - width - GAP))}px`;
}
