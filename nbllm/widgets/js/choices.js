/** What else could have come at a position, to choose from: a dialog beside its token. */
import { Alternatives, chosen, fillRow, place } from "./alternatives.js";
import { button, element } from "./element.js";
import { visible } from "./visible.js";

/** @typedef {import("./alternatives.js").Token} Token */

/** The box that pointing at a token shows, and the dialog that opens where a token is clicked on. */
export class Choices extends Alternatives {
  /**
   * @param {import("./frame.js").Model} model with the traits shown, branches and forks
   * @param {import("./frame.js").Frame["act"]} act
   */
  constructor(model, act) {
    super();
    this.model = model;
    this.act = act;
    this.dialog = element("div", "nbllm-alternatives nbllm-choices");
    this.dialog.role = "dialog";
    // closed by Escape, and by a click anywhere else
    this.dialog.popover = "auto";
    /** @type {HTMLElement | null} the token that it was opened at */
    this.token = null;
    /** Called with the position at which a branch is about to part. @type {(position: number) => void} */
    this.chosen = () => {};
    this.follow = () => this.token && place(this.dialog, this.token);
    this.dialog.addEventListener("keydown", event => this.pressed(event));
    this.dialog.addEventListener("toggle", event => {
      if (/** @type {ToggleEvent} */ (event).newState === "closed") {
        this.closed();
      }
    });
  }

  /** @param {HTMLElement} anchor @param {Token} token */
  show(anchor, token) {
    if (!this.token) {
      super.show(anchor, token);
    }
  }

  /** @param {HTMLElement} anchor @param {Token} token @param {number} position */
  open(anchor, token, position) {
    this.hide();
    if (this.dialog.closest(".nbllm-ended")) {
      // nobody would hear what is chosen
      return;
    }
    this.token = anchor;
    anchor.classList.add("nbllm-opened");
    this.dialog.ariaLabel = `Alternatives at position ${position}`;
    this.dialog.replaceChildren(...this.content(token, position));
    this.dialog.showPopover();
    this.follow();
    window.addEventListener("scroll", this.follow, { capture: true });
    this.rows()[0].focus();
  }

  /** @param {Token} token @param {number} position */
  content(token, position) {
    const of = this.model.get("shown");
    const branch = (/** @type {object} */ fields) => {
      this.chosen(position);
      this.dialog.hidePopover();
      this.act("branch", { of, position, ...fields });
    };
    const rows = token.top.map(([text, logprob], choice) => {
      const row = fillRow(button("", () => branch({ choice })), text, logprob);
      row.className = "nbllm-choice nbllm-row";
      if (text === token.text && logprob === token.logprob) {
        row.classList.add("nbllm-row-chosen");
        row.ariaCurrent = "true";
      }
      return row;
    });
    const where = element("div", "nbllm-facts", `position ${position}: choose what comes here instead`);
    return [chosen(token), where, ...rows, otherText(branch), ...this.others(position)];
  }

  /** The branches that part here, to go to. @param {number} position */
  others(position) {
    const [, numbers = []] = this.model.get("forks").find((/** @type {any} */ f) => f[0] === position) ?? [];
    const named = new Map(this.model.get("branches").map((/** @type {any} */ b) => [b.branch, b]));
    const links = numbers
      .filter((/** @type {number} */ n) => named.has(n))
      .map((/** @type {number} */ n) => {
        const go = () => {
          this.dialog.hidePopover();
          this.act("show", { branch: n });
        };
        const name = visible(named.get(n).name);
        return button(name, go, `${name}: show this branch`);
      });
    return links.length ? [element("div", "nbllm-bar", "others here:", ...links)] : [];
  }

  /** @returns {HTMLElement[]} */
  rows() {
    return [...this.dialog.querySelectorAll("button, input")].map(n => /** @type {HTMLElement} */ (n));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const rows = this.rows();
    const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowUp: at - 1, ArrowDown: at + 1 }[event.key];
    event.stopPropagation();
    if (to !== undefined) {
      event.preventDefault();
      rows[(to + rows.length) % rows.length].focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      const token = this.token;
      this.dialog.hidePopover();
      token?.focus();
    }
  }

  closed() {
    this.token?.classList.remove("nbllm-opened");
    this.token = null;
    window.removeEventListener("scroll", this.follow, { capture: true });
  }
}

/**
 * A field for any other text, and a button that draws anew.
 * @param {(fields: object) => void} branch
 */
function otherText(branch) {
  const field = element("input", "nbllm-other");
  field.placeholder = "other text";
  field.ariaLabel = "other text at this position";
  const write = () => field.value && branch({ text: field.value });
  field.addEventListener("keydown", event => event.key === "Enter" && write());
  const draw = button("draw again", () => branch({}), "draw again: let the model choose once more");
  return element("div", "nbllm-bar", element("span", "nbllm-field", field, button("write", write)), draw);
}
