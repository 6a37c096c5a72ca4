/** A completion token by token: the less likely a token, or the less sure the model, the stronger its shade. */
import { Alternatives } from './alternatives';
import { element, textElement } from './element';
import { doubt, probability } from './probability';
import { Token } from './result';
import { visible } from './visible';

/**
 * Pointing at a token, or moving to it with the arrow keys, shows its alternatives. The text is one
 * stop of the Tab key, however many tokens it has.
 */
export function tokensElement(tokens: Token[], alternatives: Alternatives): HTMLElement {
  const spans = tokens.map(tokenElement);
  const text = textElement('div', 'nbllm-text nbllm-tokens', ...spans);
  text.role = 'group';
  text.ariaLabel = 'Completion; the arrow keys move from token to token';
  let tabStop = spans[0];
  tabStop?.setAttribute('tabindex', '0');

  const indexOf = (target: EventTarget | null) =>
    spans.findIndex(span => span.contains(target as Node | null));
  const show = (event: Event) => {
    const i = indexOf(event.target);
    if (spans[i] && tokens[i]) {
      alternatives.show(spans[i], tokens[i]);
    }
    return spans[i];
  };

  text.addEventListener('pointerover', show);
  text.addEventListener('pointerleave', () => alternatives.hide());
  text.addEventListener('focusin', event => {
    const span = show(event);
    tabStop?.setAttribute('tabindex', '-1');
    span?.setAttribute('tabindex', '0');
    tabStop = span;
    if (span?.matches(':focus-visible')) {
      // JupyterLab takes the arrow keys before we see them; after a mere click it may have them
      text.dataset.lmSuppressShortcuts = 'true';
    }
  });
  text.addEventListener('focusout', () => {
    delete text.dataset.lmSuppressShortcuts;
    alternatives.hide();
  });
  text.addEventListener('keydown', event => {
    const to = destination(event.key, indexOf(event.target), spans.length);
    if (event.key === 'Escape') {
      alternatives.hide();
    } else if (to !== undefined) {
      event.preventDefault();
      spans[to]?.focus();
    }
  });
  return text;
}

function tokenElement(token: Token): HTMLElement {
  const span = element('span', 'nbllm-token', ...characters(token.text));
  span.tabIndex = -1;
  span.style.setProperty('--nbllm-surprise', (1 - probability(token.logprob)).toFixed(3));
  span.style.setProperty('--nbllm-doubt', doubt(token.entropy).toFixed(3));
  return span;
}

/** Newlines, tabs and tokens without any text get a mark, to be seen and pointed at. */
function characters(text: string): (Node | string)[] {
  if (text === '') {
    return [mark('∅')];
  }
  return visible(text)
    .split(/([\n\t])/)
    .flatMap(part =>
      part === '\n' ? [mark('⏎'), part] : part === '\t' ? [mark('⇥'), part] : [part]
    );
}

function mark(symbol: string): HTMLElement {
  const node = element('span', 'nbllm-mark', symbol);
  node.ariaHidden = 'true';
  return node;
}

function destination(key: string, from: number, count: number): number | undefined {
  const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: count - 1 }[key];
  return to === undefined ? undefined : Math.max(0, Math.min(count - 1, to));
}
