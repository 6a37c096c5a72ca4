/** The messages that are shown, and the answer that grows below them. */
import { Alternatives } from "./alternatives.js";
import { element } from "./element.js";
import { MessageBlock } from "./message.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {{messages: Message[], growing: boolean, running: boolean, tokens: boolean}} State
 * @typedef {import("./said.js").Words & {start: number}} More
 */

const NEAR = 40;

export class Messages {
  /** @param {import("./frame.js").Frame["act"]} act @param {() => void} leave */
  constructor(act, leave) {
    this.act = act;
    this.leave = leave;
    this.alternatives = new Alternatives();
    this.context = { act, leave, alternatives: this.alternatives };
    this.list = element("ol", "nbllm-messages");
    this.none = element("div", "nbllm-facts", "Nothing was said yet.");
    this.earlier = element("div", "nbllm-facts");
    this.node = element("div", "nbllm-conversation", this.earlier, this.none, this.list, this.alternatives.node);
    this.node.role = "region";
    this.node.ariaLabel = "Conversation";
    this.node.tabIndex = 0;
    /** @type {MessageBlock[]} */
    this.blocks = [];
    /** @type {MessageBlock | null} */
    this.growing = null;
    this.asTokens = true;
    this.done = this.follow();
  }

  /** Keeps the end in view, unless somebody looks at something else. @returns {() => void} ends it */
  follow() {
    this.atEnd = true;
    this.node.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.node;
      this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    });
    const observer = new ResizeObserver(() => {
      if (this.atEnd) {
        this.node.scrollTop = this.node.scrollHeight;
      }
    });
    observer.observe(this.list);
    return () => observer.disconnect();
  }

  /** @param {State} state */
  show({ messages, growing, running, tokens }) {
    const focused = this.focusedKey();
    this.asTokens = tokens;
    messages.forEach((message, i) => this.put(i, message, { last: i === messages.length - 1, running }));
    this.blocks.splice(messages.length).forEach(block => block.node.remove());
    this.grow(growing, messages.length);
    [...this.blocks, ...(this.growing ? [this.growing] : [])].forEach(block => block.said.show(tokens));
    this.none.hidden = messages.length > 0 || growing;
    const earlier = messages[0]?.place ?? 0;
    this.earlier.hidden = !earlier;
    this.earlier.textContent = `… ${earlier.toLocaleString()} earlier messages`;
    this.refocus(focused);
  }

  /** @param {number} i @param {Message} message @param {{last: boolean, running: boolean}} state */
  put(i, message, state) {
    let block = this.blocks[i];
    if (!block && this.growing?.same(message)) {
      // the answer that has just ended stays what it was
      block = this.growing;
      this.growing = null;
      block.node.classList.remove("nbllm-running");
      this.blocks.push(block);
    } else if (!block?.same(message)) {
      const made = new MessageBlock(this.context, message.role, message.place);
      block ? block.node.replaceWith(made.node) : this.list.insertBefore(made.node, this.growing?.node ?? null);
      this.blocks[i] = block = made;
    }
    block.update(message, state);
  }

  /** @param {boolean} growing @param {number} place */
  grow(growing, place) {
    if (growing && !this.growing) {
      this.growing = new MessageBlock(this.context, "assistant", place);
      this.growing.node.classList.add("nbllm-running");
      this.list.append(this.growing.node);
      this.atEnd = true;
    } else if (!growing) {
      this.growing?.node.remove();
      this.growing = null;
    }
    this.node.ariaBusy = String(growing);
  }

  /** @param {More} more */
  more({ start, ...words }) {
    const said = this.growing?.said;
    if (said && words.tokens && said.tokens.length < start) {
      this.act("draw");
    } else {
      said?.say(words, start);
    }
  }

  /** The button that has the focus. @returns {string | undefined} undefined: none of these */
  focusedKey() {
    const focused = /** @type {HTMLElement | null} */ (this.list.querySelector(":focus"));
    return focused ? (focused.dataset.key ?? "") : undefined;
  }

  /** To the same button, or where the next message is written. @param {string | undefined} key */
  refocus(key) {
    if (key === undefined || this.list.querySelector(":focus:not(:disabled)")) {
      return;
    }
    const [place, what] = key.split(" ");
    const there = [...this.list.querySelectorAll("button")].filter(b => !b.disabled);
    const same = there.find(b => b.dataset.key === key);
    const other = what === "‹" ? "›" : what === "›" ? "‹" : undefined;
    const beside = there.find(b => b.dataset.key === `${place} ${other}`);
    (same ?? beside)?.focus();
    if (!same && !beside) {
      this.leave();
    }
  }
}
