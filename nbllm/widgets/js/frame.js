/**
 * What every widget's view has: a place for its error and for what is going on, the way back to
 * Python, and the ties to the notebook it is in.
 */
import { button, element } from "./element.js";
import { labelSliders } from "./labels.js";
import { keepStandIn, onKernelEnd } from "./notebook.js";
import { visible } from "./visible.js";

/**
 * What anywidget gives a view.
 * @typedef {{get(name: string): any, on(event: string, call: (...args: any[]) => void): void,
 *   off(event: string, call: (...args: any[]) => void): void, send(message: object): void,
 *   widget_manager?: any}} Model
 *
 * @typedef {object} Frame
 * @property {HTMLElement} body where the widget draws
 * @property {(event: string, call: (...args: any[]) => void) => void} on until the view is gone
 * @property {(names: string[], draw: () => void) => void} draw now, and when one of these traits changes
 * @property {(action: string, fields?: object) => void} act calls the widget's action of that name
 * @property {() => void} done what `render` returns: undoes everything
 */

/**
 * @param {Model} model
 * @param {HTMLElement} el
 * @returns {Frame}
 */
export function frame(model, el) {
  /** @type {(() => void)[]} */
  const undo = [];
  let ended = false;
  /** @type {Frame["on"]} */
  const on = (event, call) => {
    model.on(event, call);
    undo.push(() => model.off(event, call));
  };
  /** @type {Frame["draw"]} */
  const draw = (names, call) => {
    names.forEach(name => on(`change:${name}`, call));
    call();
  };
  /** @type {Frame["act"]} */
  const act = (action, fields = {}) => {
    if (!ended) {
      model.send({ action, ...fields });
    }
  };
  const body = element("div", "nbllm-body");
  const error = live("alert", "nbllm-error");
  const note = live("status", "nbllm-note");
  el.classList.add("nbllm-view");
  el.append(error, note, body, closeButton(act));
  draw(["error"], () => say(error, model.get("error")));
  draw(["note"], () => say(note, model.get("note")));
  draw(["stand_in"], () => keepStandIn(model, model.get("panel_id"), model.get("stand_in")));
  undo.push(
    onKernelEnd(model, () => {
      ended = true;
      end(panelOf(el));
      say(note, "The kernel has ended: this is what there was. Run the cell again to go on.");
    }),
    whenAttached(el, () => attached(el)),
    () => el.replaceChildren(),
  );
  return { body, on, draw, act, done: () => undo.forEach(call => call()) };
}

/** @param {"alert" | "status"} role @param {string} className */
function live(role, className) {
  const node = element("div", className);
  node.role = role;
  node.hidden = true;
  return node;
}

/** @param {HTMLElement} node @param {string} text */
function say(node, text) {
  node.textContent = visible(text);
  node.hidden = !text;
}

/** @param {Frame["act"]} act */
function closeButton(act) {
  const close = button("✕", () => act("close"), "Close, and keep what is shown");
  close.classList.add("nbllm-close");
  return close;
}

/** The whole widget, controls too. @param {HTMLElement} el @returns {HTMLElement} */
function panelOf(el) {
  return el.closest(".nbllm-panel") ?? el;
}

/**
 * What needs the kernel goes, what it made stays; what is in .nbllm-local needs none.
 * @param {HTMLElement} panel
 */
function end(panel) {
  panel.classList.add("nbllm-ended");
  for (const field of panel.querySelectorAll(":is(input, textarea):not(.nbllm-local *)")) {
    field.setAttribute("disabled", "");
  }
}

/** @param {HTMLElement} el */
function attached(el) {
  const panel = panelOf(el);
  // or JupyterLab takes keys before we see them: Enter on a button, arrows on a token
  panel.dataset.lmSuppressShortcuts = "true";
  // its arrow keys are for whatever has the focus, so that itself has to say so
  const suppress = (/** @type {FocusEvent} */ { target }) => {
    if (target instanceof HTMLElement) {
      target.dataset.lmSuppressShortcuts = "true";
    }
  };
  panel.addEventListener("focusin", suppress);
  const undo = labelSliders(panel);
  return () => {
    panel.removeEventListener("focusin", suppress);
    undo();
  };
}

/**
 * Calls `call` once the element is in the page: the view of a widget is drawn before that.
 * @param {HTMLElement} el
 * @param {() => () => void} call
 */
function whenAttached(el, call) {
  /** @type {() => void} */
  let undo = () => {};
  const observer = new ResizeObserver(() => {
    if (el.isConnected) {
      observer.disconnect();
      undo = call();
    }
  });
  observer.observe(el);
  return () => {
    observer.disconnect();
    undo();
  };
}
