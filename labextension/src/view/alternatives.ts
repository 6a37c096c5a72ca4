/** The likeliest tokens at one position, with their probabilities, in a small box next to it. */
import { element, textElement } from './element';
import { percent, probability } from './probability';
import { Token } from './result';
import { oneLine } from './visible';

const GAP = 4;
let count = 0;

/** One box, shared by all tokens of a result. */
export class Alternatives {
  readonly node = element('div', 'nbllm-alternatives');
  private anchor: HTMLElement | null = null;

  constructor() {
    this.node.id = `nbllm-alternatives-${count++}`;
    this.node.role = 'tooltip';
    // in the browser's top layer: neither the output area nor the notebook cuts it off
    this.node.popover = 'manual';
  }

  show(anchor: HTMLElement, token: Token): void {
    this.hide();
    this.anchor = anchor;
    anchor.setAttribute('aria-describedby', this.node.id);
    this.node.replaceChildren(header(token), ...token.top.map(([text, p]) => row(text, p, token)));
    this.node.showPopover();
    place(this.node, anchor);
    window.addEventListener('scroll', this.hide, { capture: true, once: true });
  }

  readonly hide = (): void => {
    this.anchor?.removeAttribute('aria-describedby');
    this.anchor = null;
    this.node.hidePopover();
    window.removeEventListener('scroll', this.hide, { capture: true });
  };
}

function header(token: Token): HTMLElement {
  const entropy =
    token.top.length && token.entropy != null ? ` · entropy ${token.entropy.toFixed(2)}` : '';
  const rank = `${percent(token.logprob)} · rank ${token.rank.toLocaleString()}${entropy}`;
  return element('div', 'nbllm-chosen', quoted(token.text), element('span', 'nbllm-percent', rank));
}

function row(text: string, logprob: number | null, token: Token): HTMLElement {
  const chosen = text === token.text && logprob === token.logprob;
  const node = element(
    'div',
    chosen ? 'nbllm-row nbllm-row-chosen' : 'nbllm-row',
    quoted(text),
    element('span', 'nbllm-percent', percent(logprob))
  );
  node.style.setProperty('--nbllm-share', probability(logprob).toFixed(3));
  return node;
}

function quoted(text: string): HTMLElement {
  return textElement('span', 'nbllm-quoted', `“${oneLine(text)}”`);
}

/** Below the anchor, above it where there is no room, never outside the window. */
function place(node: HTMLElement, anchor: HTMLElement): void {
  const at = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
  const { width, height } = node.getBoundingClientRect();
  const below = at.bottom + GAP;
  const fits = below + height <= window.innerHeight;
  node.style.top = `${fits ? below : Math.max(0, at.top - GAP - height)}px`;
  node.style.left = `${Math.max(0, Math.min(at.left, window.innerWidth - width - GAP))}px`;
}
