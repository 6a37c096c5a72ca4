/** A completion token by token: the less likely a token, or the less sure the model, the stronger its shade. */
import { Alternatives, sameAs } from './alternatives';
import { element, textElement } from './element';
import { explorable } from './explore';
import { doubt, percent, probability } from './probability';
import { Token } from './result';
import { visible } from './visible';

export function tokensElement(tokens: Token[], alternatives: Alternatives): HTMLElement {
  const spans = tokens.map(tokenElement);
  const text = textElement('div', 'nbllm-text nbllm-tokens', ...spans);
  text.role = 'group';
  text.ariaLabel = 'Completion; the arrow keys move from token to token';
  explorable(text, spans, {
    show: (span, i) => showToken(alternatives, span, tokens[i]!),
    hide: alternatives.hide
  });
  return text;
}

function showToken(alternatives: Alternatives, span: HTMLElement, token: Token): void {
  const entropy =
    token.top.length && token.entropy != null ? ` · entropy ${token.entropy.toFixed(2)}` : '';
  alternatives.show(span, {
    text: token.text,
    facts: `${percent(token.logprob)} · rank ${token.rank.toLocaleString()}${entropy}`,
    others: token.top.map(([text, logprob]) => ({
      text,
      logprob,
      chosen: sameAs(token, text, logprob)
    }))
  });
}

function tokenElement(token: Token): HTMLElement {
  const span = element('span', 'nbllm-token', ...characters(token.text));
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
