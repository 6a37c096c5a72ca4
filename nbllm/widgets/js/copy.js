/** A button that copies text as it is: control characters too, nothing from the page. */
import { button } from "./element.js";

const THANKS_MS = 1500;

/** @param {string} text @param {string} label */
export function copyButton(text, label) {
  const node = button(
    "copy",
    async () => {
      node.textContent = (await copy(text)) ? "copied" : "not allowed";
      setTimeout(() => (node.textContent = "copy"), THANKS_MS);
    },
    label,
  );
  return node;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // no clipboard on a Jupyter served over plain HTTP from another machine
    return copyByEvent(text);
  }
}

/** @param {string} text */
function copyByEvent(text) {
  const put = (/** @type {ClipboardEvent} */ event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("copy", put, { capture: true });
  try {
    return document.execCommand("copy");
  } finally {
    window.removeEventListener("copy", put, { capture: true });
  }
}
