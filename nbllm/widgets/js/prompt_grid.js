/** A grid of prompts and settings: its cells, the selected one, and two columns judged blind. */
import { element } from "./element.js";
import { frame } from "./frame.js";
import { BlindView } from "./grid_blind.js";
import { GridDetail } from "./grid_detail.js";
import { GridData, GridTable } from "./grid_table.js";
import { addTools, blindTools, fileTools, orderTools, runTools } from "./grid_tools.js";

/** @param {{model: import("./frame.js").Model, el: HTMLElement}} view */
function render({ model, el }) {
  const view = frame(model, el);
  const page = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const data = new GridData();
  const detail = new GridDetail(data, view.act, () => table.node.focus({ preventScroll: true }));
  const table = new GridTable(data, {
    moved: () => detail.show(table.at),
    looked: rows => view.act("look", { page, rows }),
    pressed: event => pressed(event, detail),
  });
  const blind = new BlindView(view.act);
  blind.node.hidden = true;
  const order = orderTools(model, view);
  const tools = element("div", "nbllm-bar", blindTools(model, view), ...fileTools(model, view));
  const cells = element("div", "nbllm-cells", order.node, table.node, detail.node, tools, addTools(model, view));
  view.body.append(runTools(model, view), cells, blind.node);
  // in sight: only then it has a height, and rows to draw
  const sized = new ResizeObserver(() => table.later());
  sized.observe(table.node);
  view.on("msg:custom", message => {
    if (message?.kind === "cells") {
      data.take(message.cells);
      table.update(message.cells);
      detail.update(message.cells);
    }
  });
  const whole = () => {
    data.prompts = model.get("prompts");
    data.columns = model.get("columns");
    data.rows = model.get("rows");
    table.node.hidden = !data.prompts.length || !data.columns.length;
    table.reset();
    detail.show(table.at);
  };
  view.draw(["prompts", "rows"], whole);
  view.draw(["columns"], () => {
    /** @type {import("./grid_table.js").GridColumn[]} */
    const columns = model.get("columns");
    if (columns.length !== data.columns.length) {
      whole();
    }
    data.columns = columns;
    // the mean of a column changes with every rating: rows stay
    table.heads();
  });
  view.draw(["duel"], () => {
    const duel = model.get("duel");
    const judging = "judged" in duel;
    const changed = blind.node.hidden === judging;
    const focused = el.contains(document.activeElement);
    cells.hidden = judging;
    blind.node.hidden = !judging;
    if (judging) {
      blind.show(duel);
    }
    // the button that was pressed is gone: the keys go on where the eye does
    if (changed && focused) {
      (judging ? blind.node : table.node).focus({ preventScroll: true });
    }
  });
  view.act("draw");
  return () => {
    sized.disconnect();
    table.stop();
    order.stop();
    view.done();
  };
}

/** A key that is none of the grid's own. @param {KeyboardEvent} event @param {GridDetail} detail */
function pressed(event, detail) {
  if (/^[0-5]$/.test(event.key)) {
    detail.say("rate", { rating: Number(event.key) });
  } else if (event.key === "n") {
    detail.note.focus();
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

export default { render };
