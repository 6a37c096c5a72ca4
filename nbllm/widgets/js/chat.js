/** A conversation: who said what, the field to say more, and what can be done with all of it. */
import { Composer } from "./composer.js";
import { copyButton } from "./copy.js";
import { button, element, textElement } from "./element.js";
import { frame } from "./frame.js";
import { Messages } from "./messages.js";
import { visible } from "./visible.js";

const ANNOUNCED = 1500;

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const view = frame(model, el);
  const { draw, on, act } = view;
  const composer = new Composer(act);
  const messages = new Messages(act, () => composer.focus());
  const facts = textElement("div", "nbllm-facts");
  const code = element("section", "nbllm-code-section");
  const news = announcer();
  view.body.append(messages.node, facts, composer.node, chatTools(view, model), code, news.node);
  draw(["messages", "growing", "running", "tokens"], () => {
    messages.show({
      messages: model.get("messages"),
      growing: model.get("growing"),
      running: model.get("running"),
      tokens: model.get("tokens"),
    });
    composer.running(model.get("running"));
    news.look(model);
  });
  draw(["facts"], () => (facts.textContent = visible(model.get("facts"))));
  draw(["code"], () => drawChatCode(code, model.get("code")));
  on("msg:custom", message => {
    if (message?.kind === "more") {
      messages.more(message);
    } else if (message?.kind === "unsent") {
      composer.giveBack(message.text);
    }
  });
  // wherever in the widget somebody is
  el.addEventListener("keydown", event => {
    if (event.key === "Escape" && model.get("running")) {
      act("stop");
    }
  });
  return () => {
    messages.done();
    view.done();
  };
}

/**
 * What to do with the whole conversation.
 * @param {import("./frame.js").Frame} view
 * @param {import("./frame.js").Model} model
 */
function chatTools({ act, draw }, model) {
  const undo = button("undo", () => act("undo"), "undo: take your last message and its answer back");
  const redo = button("redo", () => act("redo"), "redo: say again what was taken back");
  const name = element("input", "nbllm-name");
  name.value = "talk";
  name.size = 10;
  name.ariaLabel = "variable for the conversation";
  const send = () => act("export", { name: name.value });
  name.addEventListener("keydown", event => event.key === "Enter" && send());
  const to = button("to variable", send, "to variable: the conversation, for cells");
  const code = button("to code", () => act("code"), "to code: the program that makes this answer again");
  draw(["messages", "running", "ahead"], () => {
    const empty = !model.get("messages").length;
    undo.disabled = model.get("running") || empty;
    redo.disabled = model.get("running") || !model.get("ahead");
    to.disabled = code.disabled = empty;
  });
  return element("div", "nbllm-bar", undo, redo, element("span", "nbllm-field", name, to), code);
}

/** @param {HTMLElement} section @param {string} code */
function drawChatCode(section, code) {
  section.hidden = !code;
  const text = element("pre", "nbllm-text nbllm-code", visible(code));
  section.replaceChildren(text, copyButton(code, "copy this program"));
}

/** Says every new answer to a screen reader, once and whole: not every token of it. */
function announcer() {
  const node = element("div", "nbllm-news");
  node.role = "status";
  let before = false;
  return {
    node,
    /** @param {import("./frame.js").Model} model */
    look(model) {
      const growing = model.get("growing");
      const last = model.get("messages").at(-1);
      if (before && !growing && last?.role === "assistant") {
        const said = last.content.slice(0, ANNOUNCED);
        node.textContent = visible(`${said}${last.content.length > ANNOUNCED ? " …" : ""}`);
      } else if (growing) {
        node.textContent = "";
      }
      before = growing;
    },
  };
}

export default { render };
