/** Two branches side by side: what they share, what each has alone, and how likely that is. */
import { Alternatives } from "./alternatives.js";
import { button, element, textElement } from "./element.js";
import { percent } from "./probability.js";
import { TokenText } from "./tokens.js";
import { oneLine, visible } from "./visible.js";

/**
 * @typedef {import("./branch_tree.js").Line & {whole: string, shared: number, after: number | null,
 *   differs: [begin: number, end: number][] | null, tokens: import("./alternatives.js").Token[]}} Side
 */

/**
 * @param {HTMLElement} section
 * @param {HTMLElement} parting gets the line about where they part
 * @param {import("./frame.js").Model} model
 * @param {import("./frame.js").Frame["act"]} act
 */
export function drawSides(section, parting, model, act) {
  /** @type {Record<string, Side>} */
  const pins = model.get("pins");
  const names = ["A", "B"].filter(name => pins[name]);
  section.hidden = !names.length;
  parting.hidden = names.length < 2;
  parting.textContent = names.length < 2 ? "" : partingOf(pins.A, pins.B);
  const alternatives = new Alternatives();
  const sides = names.map(name => side(name, pins[name], alternatives, act));
  section.replaceChildren(...sides, alternatives.node);
}

/**
 * @param {string} name
 * @param {Side} branch
 * @param {Alternatives} alternatives
 * @param {import("./frame.js").Frame["act"]} act
 */
function side(name, branch, alternatives, act) {
  const unpin = button("unpin", () => act("unpin", { name }), `unpin ${name}`);
  const title = element("h4", "", `${name}: ${visible(branch.name)} `, unpin);
  const facts = textElement("div", "nbllm-facts", measure(branch));
  return element("article", "nbllm-side", title, facts, sideText(name, branch, alternatives));
}

/** @param {string} name @param {Side} branch @param {Alternatives} alternatives */
function sideText(name, branch, alternatives) {
  if (!branch.tokens.length) {
    return textElement("div", "nbllm-text", visible(branch.whole));
  }
  const text = new TokenText(alternatives, `${name}: ${visible(branch.name)}`);
  text.append(branch.tokens);
  if (branch.differs) {
    text.spans.forEach(span => span.classList.add("nbllm-inherited"));
  }
  for (const [begin, end] of branch.differs ?? []) {
    const spans = text.spans.slice(begin, end);
    const mark = element(name === "A" ? "del" : "ins", "");
    spans[0]?.before(mark);
    mark.append(...spans);
    spans.forEach(span => span.classList.remove("nbllm-inherited"));
  }
  return text.node;
}

/** @param {Side} branch */
function measure({ num_tokens: count, cumulative_logprob: sum, shared, after, differs }) {
  const facts = [`${count.toLocaleString()} token${count === 1 ? "" : "s"}`];
  if (sum !== null) {
    facts.push(`log-probability ${signed(sum)}, ${signed(sum / Math.max(1, count))} per token`);
  }
  const rest = count - shared;
  if (differs && after !== null && rest > 0) {
    facts.push(`where they differ ${signed(after)}, ${signed(after / rest)} per token`);
  }
  return facts.join(" · ");
}

/** @param {Side} a @param {Side} b */
function partingOf(a, b) {
  const said = [a, b].map(({ tokens, shared, num_tokens: count }) => {
    const token = tokens[shared];
    return token ? `“${oneLine(token.text)}” ${percent(token.logprob)}` : shared < count ? "?" : "the end";
  });
  const start = a.shared ? `The same for ${a.shared.toLocaleString()} tokens, then` : "Different from the start:";
  return `${start} A goes on with ${said[0]}, B with ${said[1]}.`;
}

/** @param {number} logprob */
function signed(logprob) {
  return logprob.toFixed(2).replace("-", "−");
}
