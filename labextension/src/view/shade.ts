/** A button that shades tokens by what the model might have said, instead of by what it said. */
import { element } from './element';

/** Shown only where entropies are known: results of older versions have none. */
export function shadeButton(text: HTMLElement): HTMLButtonElement {
  const button = element('button', 'nbllm-shade', 'entropy');
  button.type = 'button';
  button.title = 'Shade tokens by the entropy of their position instead of by their probability';
  button.ariaPressed = 'false';
  button.addEventListener('click', () => {
    const on = text.classList.toggle('nbllm-by-entropy');
    button.ariaPressed = String(on);
    button.textContent = on ? 'probability' : 'entropy';
  });
  return button;
}
