/** One message of a conversation: what was said, which branch it is, and what can be done about it. */
import { messageField } from "./composer.js";
import { copyButton } from "./copy.js";
import { button, element } from "./element.js";
import { Said } from "./said.js";
import { oneLine, visible } from "./visible.js";

/**
 * As nbllm/widgets/chat_view.py describes it.
 * @typedef {import("./said.js").Words & {role: string, place: number, turn: number, branch: number,
 *   branches: number, completion?: {finish_reason: string | null, num_tokens: number,
 *   cumulative_logprob: number | null, tokens?: import("./alternatives.js").Token[]}}} Message
 * @typedef {{act: import("./frame.js").Frame["act"], leave: () => void,
 *   alternatives: import("./alternatives.js").Alternatives}} Context leave: the focus goes elsewhere
 */

const ROLES = ["user", "assistant", "system", "tool"];

export class MessageBlock {
  /** @param {Context} context @param {string} role @param {number} place */
  constructor(context, role, place) {
    this.context = context;
    this.role = role;
    this.said = new Said(context.alternatives, `${oneLine(role)}, message ${place + 1}`);
    this.branches = element("span", "nbllm-branches");
    this.tools = element("span", "nbllm-message-tools");
    this.facts = element("div", "nbllm-facts");
    const head = element("div", "nbllm-message-head", element("h4", "", oneLine(role)), this.branches, this.tools);
    this.node = element("li", "nbllm-message", head, this.said.node, this.facts);
    this.node.dataset.role = ROLES.includes(role) ? role : "other";
  }

  /** Whether this is drawn already, so that what has the focus keeps it. @param {Message} message */
  same(message) {
    const tokens = message.completion?.tokens?.length ?? 0;
    const { said, role } = this;
    return role === message.role && said.content === message.content && said.tokens.length === tokens;
  }

  /** @param {Message} message @param {{last: boolean, running: boolean}} state */
  update(message, { last, running }) {
    if (!this.said.tokens.length) {
      this.said.say({ ...message, tokens: message.completion?.tokens });
    }
    this.facts.textContent = message.completion ? answerFacts(message.completion) : "";
    this.branches.replaceChildren(...this.switches(message, running));
    this.tools.replaceChildren(...this.buttons(message, last, running));
    this.tools.querySelectorAll("button").forEach(node => {
      node.dataset.key = `${message.place} ${node.textContent}`;
      node.disabled = running && node.textContent !== "copy";
    });
  }

  /** @param {Message} message @param {boolean} running */
  switches({ place, branch, branches }, running) {
    if (branches < 2) {
      return [];
    }
    const step = (/** @type {string} */ sign, /** @type {number} */ to, /** @type {string} */ label) => {
      const go = () => this.context.act("switch", { place, branch: to });
      const node = button(sign, go, `${sign} ${label} of ${branches} branches here`);
      node.disabled = running || to < 1 || to > branches;
      node.dataset.key = `${place} ${sign}`;
      return node;
    };
    const which = element("span", "nbllm-which", `${branch}/${branches}`);
    return [step("‹", branch - 1, "previous"), which, step("›", branch + 1, "next")];
  }

  /** @param {Message} message @param {boolean} last @param {boolean} running */
  buttons({ role, turn, place, content }, last, running) {
    const { act, leave } = this.context;
    const number = place + 1;
    const does = (/** @type {string} */ action, fields = {}) => () => {
      leave();
      act(action, fields);
    };
    const copy = copyButton(content, `copy message ${number}`);
    if (role === "user") {
      const edit = () => this.edit(content, turn);
      const ask = button("answer", does("retry", { turn }), `answer message ${number}, which has no answer yet`);
      return [
        ...(last && !running ? [ask] : []),
        button("edit", edit, `edit: say something else instead of message ${number}`),
        copy,
      ];
    }
    if (role !== "assistant") {
      return [copy];
    }
    const retry = button("retry", does("retry", { turn }), `retry: another answer instead of message ${number}`);
    const on = button("continue", does("continue"), "continue this answer");
    return [...(turn ? [retry] : []), ...(last ? [on] : []), copy];
  }

  /** @param {string} content @param {number} turn */
  edit(content, turn) {
    if (this.node.querySelector(".nbllm-editor")) {
      return;
    }
    const { act, leave } = this.context;
    const end = () => {
      editor.remove();
      this.said.node.hidden = false;
    };
    const send = (/** @type {string} */ text) => {
      if (text.trim()) {
        end();
        leave();
        act("edit", { turn, text });
      }
    };
    const cancel = () => {
      end();
      this.tools.querySelector("button")?.focus();
    };
    const field = messageField("instead of this message", send);
    field.value = content;
    const buttons = [button("send", () => send(field.value)), button("cancel", cancel)];
    const editor = element("div", "nbllm-editor nbllm-bar", field, ...buttons);
    editor.addEventListener("keydown", event => {
      if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      }
    });
    this.said.node.hidden = true;
    this.said.node.after(editor);
    field.focus();
  }
}

/** @param {NonNullable<Message["completion"]>} completion */
function answerFacts({ finish_reason, num_tokens, cumulative_logprob }) {
  const facts = [`${num_tokens.toLocaleString()} token${num_tokens === 1 ? "" : "s"}`];
  if (finish_reason) {
    facts.unshift(visible(finish_reason));
  }
  if (cumulative_logprob !== null) {
    facts.push(`log-probability ${cumulative_logprob.toFixed(2).replace("-", "−")}`);
  }
  return facts.join(" · ");
}
