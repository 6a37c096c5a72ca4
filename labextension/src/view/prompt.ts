/** A prompt: dimmed, and folded when it is long. */
import { element, textElement } from './element';
import { oneLine, shortened, visible } from './visible';

const MAX_CHARACTERS = 480;
const MAX_LINES = 6;

export function promptElement(prompt: string): HTMLElement {
  const text = textElement('div', 'nbllm-text', visible(prompt));
  if (prompt.length <= MAX_CHARACTERS && prompt.split('\n').length <= MAX_LINES) {
    return element('div', 'nbllm-prompt', text);
  }
  const size = `prompt · ${prompt.length.toLocaleString()} characters`;
  const summary = element(
    'summary',
    '',
    element('span', 'nbllm-size', size),
    textElement('span', 'nbllm-preview', oneLine(shortened(prompt, 160), ' ⏎ '))
  );
  return element('details', 'nbllm-prompt', summary, text);
}
