/** One completion: its text, how it ended, and a button that copies it. */
import { Alternatives } from './alternatives';
import { copyButton } from './copy';
import { element, textElement } from './element';
import { number } from './probability';
import { Completion } from './result';
import { shadeButton } from './shade';
import { tokensElement } from './tokens';
import { visible } from './visible';

export function completionElement(
  completion: Completion,
  numbered: boolean,
  alternatives: Alternatives
): HTMLElement {
  const text = completion.tokens
    ? tokensElement(completion.tokens, alternatives)
    : textElement('div', 'nbllm-text', visible(completion.text));
  const footer = element(
    'footer',
    'nbllm-note',
    element('span', '', facts(completion)),
    copyButton(completion.text),
    ...(knowsEntropy(completion) ? [shadeButton(text)] : [])
  );
  const body = element('div', 'nbllm-body', text, footer);
  const number = numbered ? [element('div', 'nbllm-number', String(completion.output))] : [];
  return element('article', 'nbllm-completion', ...number, body);
}

function knowsEntropy(completion: Completion): boolean {
  return completion.tokens?.some(token => token.top.length > 1 && token.entropy != null) ?? false;
}

function facts(completion: Completion): string {
  const count = completion.num_tokens;
  const facts = [`${count.toLocaleString()} token${count === 1 ? '' : 's'}`];
  if (completion.finish_reason) {
    facts.unshift(visible(completion.finish_reason));
  }
  if (completion.cumulative_logprob !== null) {
    facts.push(`log-probability ${number(completion.cumulative_logprob, 2)}`);
  }
  return facts.join(' · ');
}
