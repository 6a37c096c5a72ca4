/** The field in which somebody writes a message: Enter sends, Shift+Enter begins a line. */
import { button, element } from "./element.js";

/**
 * @param {string} label
 * @param {(text: string) => void} send
 */
export function messageField(label, send) {
  const field = element("textarea", "nbllm-message-field");
  field.rows = 1;
  field.dir = "auto";
  field.ariaLabel = label;
  field.addEventListener("keydown", event => {
    // Enter also ends what an input method composes
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send(field.value);
    }
  });
  // on the field itself JupyterLab forbids line breaks, since in a cell Shift+Enter runs that
  field.addEventListener("beforeinput", event => event.stopImmediatePropagation());
  return field;
}

/** The field below a conversation, with its buttons. */
export class Composer {
  /** @param {import("./frame.js").Frame["act"]} act */
  constructor(act) {
    this.act = act;
    this.busy = false;
    this.field = messageField("message", () => this.send());
    this.field.placeholder = "Enter sends, Shift+Enter begins a line, Escape stops";
    this.sendButton = button("send", () => this.send());
    this.stopButton = button("stop", () => act("stop"), "stop, and keep what there is");
    this.sendButton.classList.add("nbllm-send");
    const buttons = element("span", "nbllm-composer-buttons", this.sendButton, this.stopButton);
    this.node = element("div", "nbllm-bar nbllm-composer", this.field, buttons);
  }

  focus() {
    this.field.focus();
  }

  send() {
    const text = this.field.value;
    if (text.trim() && !this.busy) {
      this.field.value = "";
      this.focus();
      this.act("say", { text });
    }
  }

  /** It was not said, so it is not lost. @param {string} text */
  giveBack(text) {
    const typed = this.field.value;
    this.field.value = typed ? `${text}\n${typed}` : text;
  }

  /** @param {boolean} running */
  running(running) {
    this.busy = running;
    if (!running && document.activeElement === this.stopButton) {
      this.focus();
    }
    this.sendButton.disabled = running;
    this.stopButton.disabled = !running;
  }
}
