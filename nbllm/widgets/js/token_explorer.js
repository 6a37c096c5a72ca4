/** The lower half of a TokenExplorer: a branch as tokens to choose at, two branches, the tree of all. */
import { drawTree } from "./branch_tree.js";
import { Choices } from "./choices.js";
import { drawSides } from "./compared_branches.js";
import { Completions } from "./completions.js";
import { button, element, textElement } from "./element.js";
import { frame } from "./frame.js";
import { frameField } from "./frame_field.js";
import { visible } from "./visible.js";

const SURE_AFTER_MS = 3000;
const SIDES = ["A", "B"];

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const view = frame(model, el);
  const facts = textElement("div", "nbllm-facts");
  const text = new BranchText(model, view);
  const tools = element("div", "nbllm-bar", ...branchTools(model, view));
  const sides = element("section", "nbllm-compared");
  const parting = element("div", "nbllm-facts nbllm-parting");
  const tree = element("section", "nbllm-branches");
  const field = frameField("branches", "all branches, and NAME_tokens", view.act);
  view.body.append(facts, text.node, tools, parting, sides, tree, element("div", "nbllm-bar", field.node));
  view.draw(["facts"], () => {
    facts.textContent = visible(model.get("facts"));
  });
  view.draw(["shown"], () => {
    tools.hidden = !model.get("shown");
  });
  view.draw(["pins"], () => drawSides(sides, parting, model, view.act));
  view.draw(["branches", "shown", "pins"], () => drawTree(tree, model, view.act));
  view.draw(["branches"], () => {
    field.press.disabled = !model.get("branches").length;
  });
  return view.done;
}

/** The branch in view: its prompt, and its tokens, each of which can be chosen at. */
class BranchText {
  /**
   * @param {import("./frame.js").Model} model
   * @param {import("./frame.js").Frame} view
   */
  constructor(model, view) {
    this.model = model;
    this.choices = new Choices(model, view.act);
    this.completions = new Completions(model, view, this.choices);
    this.prompt = textElement("div", "nbllm-text nbllm-branch-prompt");
    this.node = element("div", "nbllm-branch-text", this.prompt, this.completions.node, this.choices.dialog);
    this.marked = 0;
    /** @type {{position: number, run: number} | undefined} what gets the focus, after which run */
    this.next = undefined;
    this.choices.chosen = position => (this.next = { position, run: this.completions.run });
    this.completions.node.addEventListener("click", event => this.choose(event));
    this.completions.node.addEventListener("keydown", event => this.pressed(event));
    view.draw(["prompt"], () => {
      this.prompt.textContent = visible(model.get("prompt"));
    });
    view.draw(["result", "position", "forks"], () => this.mark(0));
    view.draw(["error"], () => {
      // there will be no such branch
      this.next = model.get("error") ? undefined : this.next;
    });
    // Completions has drawn the message already: it listened first
    view.on("msg:custom", () => this.mark(this.marked));
  }

  /** @returns {import("./tokens.js").TokenText | undefined} */
  get text() {
    return this.completions.blocks.get(0)?.text;
  }

  /** @param {Event} event */
  choose(event) {
    const at = this.text?.indexOf(event.target) ?? -1;
    if (this.text && at >= 0) {
      event.preventDefault();
      this.choices.open(this.text.spans[at], this.text.tokens[at], at);
    }
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (["Enter", " ", "ArrowDown"].includes(event.key)) {
      this.choose(event);
    }
  }

  /** Show whose tokens they are, and where others part, from a position on. @param {number} start */
  mark(start) {
    const spans = this.text?.spans ?? [];
    if (this.choices.token?.isConnected === false) {
      this.choices.dialog.hidePopover();
    }
    if (this.text) {
      this.text.node.ariaLabel = "Tokens of the branch; the arrow keys move, Enter opens the alternatives";
    }
    const [position, forks] = [this.model.get("position"), new Map(this.model.get("forks"))];
    for (let i = start; i < spans.length; i++) {
      spans[i].classList.toggle("nbllm-inherited", i < position);
      spans[i].classList.toggle("nbllm-parts-here", position > 0 && i === position);
      spans[i].classList.toggle("nbllm-fork", forks.has(i));
    }
    this.marked = spans.length;
    this.focusNext(spans);
  }

  /** Who has chosen by keyboard goes on from the new token. @param {HTMLElement[]} spans */
  focusNext(spans) {
    const span = this.next && spans[this.next.position];
    if (span && this.next?.run !== this.completions.run) {
      this.next = undefined;
      span.focus();
    }
  }
}

/**
 * What can be done with the branch in view.
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame} view
 */
function branchTools(model, view) {
  const shown = () => model.get("branches").find((/** @type {any} */ b) => b.branch === model.get("shown"));
  const name = element("input", "nbllm-name");
  name.size = 16;
  name.ariaLabel = "name of the branch";
  const rename = () => view.act("rename", { name: name.value });
  name.addEventListener("keydown", event => event.key === "Enter" && rename());
  view.draw(["branches", "shown"], () => {
    // not under the hands of somebody who types
    if (document.activeElement !== name || name.dataset.branch !== String(model.get("shown"))) {
      name.value = shown()?.name ?? "";
    }
    name.dataset.branch = String(model.get("shown"));
  });
  const goOn = button("continue", () => {
    const { branch, num_tokens: position } = shown();
    view.act("branch", { of: branch, position });
  }, "continue: go on at the end of this branch");
  view.draw(["branches", "shown", "running"], () => {
    goOn.disabled = !shown() || model.get("running");
  });
  const field = element("span", "nbllm-field", name, button("rename", rename, "rename this branch"));
  const hint = element("span", "nbllm-facts", "To branch, click on a token, or press Enter on it.");
  return [field, goOn, ...SIDES.map(side => pinButton(side, model, view)), removeButton(view.act), hint];
}

/**
 * @param {string} name
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame} view
 */
function pinButton(name, model, view) {
  const pinned = () => model.get("pins")[name]?.branch === model.get("shown");
  const node = button(`pin ${name}`, () => view.act(pinned() ? "unpin" : "pin", { name }));
  view.draw(["pins", "shown"], () => {
    node.ariaPressed = String(pinned());
  });
  return node;
}

/** Asks once more: what parts from the branch goes with it. @param {import("./frame.js").Frame["act"]} act */
function removeButton(act) {
  let sure = false;
  const reset = () => {
    sure = false;
    node.textContent = "remove";
  };
  const node = button("remove", () => {
    if (sure) {
      act("remove");
      reset();
    } else {
      sure = true;
      node.textContent = "really remove?";
      setTimeout(reset, SURE_AFTER_MS);
    }
  });
  return node;
}

export default { render };
