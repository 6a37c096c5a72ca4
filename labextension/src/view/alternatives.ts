/** What could stand at one place instead, with probabilities, in a small box next to it. */
import { element, textElement } from './element';
import { percent, probability } from './probability';
import { oneLine } from './visible';

const GAP = 4;
let count = 0;

/** What the box shows: a token, facts about it, and the likeliest ones, best first. */
export interface Choice {
  text: string;
  facts: string;
  others: Alternative[];
}

export interface Alternative {
  text: string;
  logprob: number | null;
  chosen: boolean;
  /** What became of it. */
  note?: string;
}

/** Whether an alternative is the token itself. */
export function sameAs(
  token: { text: string; logprob: number | null },
  text: string,
  logprob: number | null
): boolean {
  return text === token.text && logprob === token.logprob;
}

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

  show(anchor: HTMLElement, choice: Choice): void {
    this.hide();
    this.anchor = anchor;
    anchor.setAttribute('aria-describedby', this.node.id);
    this.node.replaceChildren(header(choice), ...choice.others.map(row));
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

function header({ text, facts }: Choice): HTMLElement {
  return element('div', 'nbllm-chosen', quoted(text), element('span', 'nbllm-percent', facts));
}

function row({ text, logprob, chosen, note }: Alternative): HTMLElement {
  const node = element(
    'div',
    chosen ? 'nbllm-row nbllm-row-chosen' : 'nbllm-row',
    quoted(text),
    ...(note === undefined ? [] : [element('span', 'nbllm-state', note)]),
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
