/**
 * What a widget needs to know of the notebook it is in: JupyterLab's and Notebook 7's. Elsewhere, and
 * in versions that hide these objects, nothing happens.
 */

const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";
// every widget is a module of its own: what they share hangs on the notebook
const STAND_INS = Symbol.for("nbllm.standIns");
const ENDED = ["restarting", "autorestarting", "terminating", "dead"];

/**
 * A saved notebook gets `bundle` in the place of a widget: without its kernel a widget is nothing but
 * the message "model not found".
 * @param {{widget_manager?: any}} model
 * @param {string} id of the widget as it was displayed
 * @param {{data?: object, metadata?: object}} bundle
 */
export function keepStandIn(model, id, bundle) {
  const notebook = model.widget_manager?.context?.model;
  if (typeof notebook?.toJSON !== "function" || !bundle?.data) {
    return;
  }
  notebook[STAND_INS] ??= replacing(notebook);
  const before = notebook[STAND_INS].get(id);
  notebook[STAND_INS].set(id, bundle);
  if (before) {
    notebook.dirty = true;
  }
}

/**
 * From now on `notebook.toJSON`, which is what JupyterLab saves, has the stand-ins.
 * @param {any} notebook
 * @returns {Map<string, object>} id of a widget → what stands in for it
 */
function replacing(notebook) {
  const standIns = new Map();
  const toJSON = notebook.toJSON.bind(notebook);
  notebook.toJSON = () => {
    const saved = toJSON();
    for (const cell of saved.cells ?? []) {
      cell.outputs = cell.outputs?.map((/** @type {any} */ output) => {
        const bundle = standIns.get(output.data?.[WIDGET_VIEW]?.model_id);
        return bundle ? { ...output, ...bundle } : output;
      });
    }
    return saved;
  };
  return standIns;
}

/**
 * Calls `ended` when the widget's kernel is restarted, shut down or lost; a broken connection is none
 * of these.
 * @param {{widget_manager?: any}} model
 * @param {() => void} ended
 * @returns {() => void} ends it
 */
export function onKernelEnd(model, ended) {
  const session = model.widget_manager?.context?.sessionContext;
  const kernel = session?.session?.kernel;
  if (!kernel) {
    return () => {};
  }
  const look = () => {
    if (session.session?.kernel !== kernel || ENDED.includes(kernel.status)) {
      stop();
      ended();
    }
  };
  const stop = () => {
    session.statusChanged.disconnect(look);
    session.kernelChanged.disconnect(look);
  };
  session.statusChanged.connect(look);
  session.kernelChanged.connect(look);
  return stop;
}
