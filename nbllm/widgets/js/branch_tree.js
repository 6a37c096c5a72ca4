/** All branches: each below the one that it parts from. */
import { button, element, textElement } from "./element.js";
import { percent } from "./probability.js";
import { oneLine, visible } from "./visible.js";

/**
 * As nbllm/widgets/explorer_view.py writes it.
 * @typedef {{branch: number, depth: number, name: string, position: number, token: string | null,
 *   logprob: number | null, text: string, num_tokens: number, cumulative_logprob: number | null,
 *   reason: string | null}} Line
 */

/**
 * @param {HTMLElement} section
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
export function drawTree(section, model, act) {
  /** @type {Line[]} */
  const lines = model.get("branches");
  const focused = /** @type {HTMLElement | null} */ (section.querySelector("button:focus"))?.dataset.key;
  section.hidden = !lines.length;
  const title = element("h4", "", `Branches: ${lines.length}`);
  section.replaceChildren(title, nested(lines, line => item(line, model, act)));
  if (focused) {
    // the button that was pressed is there again
    [...section.querySelectorAll("button")].find(b => b.dataset.key === focused)?.focus();
  }
}

/**
 * Lists in lists, from lines with a depth.
 * @param {Line[]} lines
 * @param {(line: Line) => HTMLElement} make
 */
function nested(lines, make) {
  const root = element("ul", "nbllm-branch-tree");
  const lists = [root];
  for (const line of lines) {
    const node = make(line);
    lists.length = line.depth + 1;
    lists[line.depth].append(node);
    const below = element("ul", "");
    node.append(below);
    lists.push(below);
  }
  root.querySelectorAll("ul:empty").forEach(list => list.remove());
  return root;
}

/**
 * @param {Line} line
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
function item(line, model, act) {
  const { branch, position, token, logprob } = line;
  const name = visible(line.name);
  const shown = branch === model.get("shown");
  const show = button(name, () => act("show", { branch }), `${name}: show this branch`);
  show.dataset.key = `show-${branch}`;
  show.ariaPressed = String(shown);
  const where =
    token === null ? [] : [textElement("code", "nbllm-parting-token", `“${oneLine(token)}”`), ` ${percent(logprob)} at ${position}`];
  const row = element(
    "div",
    shown ? "nbllm-branch nbllm-shown" : "nbllm-branch",
    show,
    // in the place of the button, which goes with the kernel
    textElement("span", "nbllm-branch-name", name),
    ...(where.length ? [element("span", "nbllm-facts nbllm-where", ...where)] : []),
    textElement("span", "nbllm-quoted", oneLine(line.text)),
    element("span", "nbllm-facts nbllm-number", sizeOf(line)),
    element("span", "nbllm-actions", ...["A", "B"].map(side => pin(side, line, model, act))),
  );
  return element("li", "", row);
}

/** @param {Line} line */
function sizeOf({ num_tokens: count, cumulative_logprob: logprob, reason }) {
  if (reason === "running") {
    return reason;
  }
  const sum = logprob === null ? "" : ` · ${logprob.toFixed(2).replace("-", "−")}`;
  return `${reason ? `${visible(reason)} · ` : ""}${count.toLocaleString()} token${count === 1 ? "" : "s"}${sum}`;
}

/**
 * @param {string} side
 * @param {Line} line
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
function pin(side, { branch, name }, model, act) {
  const pinned = model.get("pins")[side]?.branch === branch;
  const label = `${side}: ${pinned ? "unpin" : "pin"} ${visible(name)}`;
  const press = () => (pinned ? act("unpin", { name: side }) : act("pin", { name: side, branch }));
  const node = button(side, press, label);
  node.ariaPressed = String(pinned);
  node.dataset.key = `${side}-${branch}`;
  return node;
}
