/** A button that copies text as it is: control characters too, nothing from the page. */
import { element } from './element';

const THANKS_MS = 1500;

export function copyButton(text: string): HTMLButtonElement {
  const button = element('button', 'nbllm-copy', 'copy');
  button.type = 'button';
  button.title = 'Copy this completion';
  button.addEventListener('click', async () => {
    button.textContent = (await copy(text)) ? 'copied' : 'not allowed';
    setTimeout(() => (button.textContent = 'copy'), THANKS_MS);
  });
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // no clipboard on a Jupyter served over plain HTTP from another machine
    return copyByEvent(text);
  }
}

function copyByEvent(text: string): boolean {
  const put = (event: ClipboardEvent) => {
    event.clipboardData?.setData('text/plain', text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener('copy', put, { capture: true });
  try {
    return document.execCommand('copy');
  } finally {
    window.removeEventListener('copy', put, { capture: true });
  }
}
