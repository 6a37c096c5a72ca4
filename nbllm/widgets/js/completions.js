/** The completions of one prompt, while they grow and when they have ended. */
import { Alternatives } from "./alternatives.js";
import { element, textElement } from "./element.js";
import { TokenText } from "./tokens.js";
import { visible } from "./visible.js";

/**
 * @typedef {import("./alternatives.js").Token} Token
 * @typedef {{output: number, text: string, finish_reason: string | null, num_tokens: number,
 *   cumulative_logprob: number | null, tokens?: Token[]}} Completion
 * @typedef {{output: number, start: number, tokens: Token[]}} Part
 */

/** Draws what nbllm/widgets/completions_view.py says. */
export class Completions {
  /**
   * @param {import("./frame.js").Model} model
   * @param {import("./frame.js").Frame} frame
   * @param {Alternatives} [alternatives] the box that pointing at a token shows
   */
  constructor(model, { on, draw, act }, alternatives = new Alternatives()) {
    this.node = element("div", "nbllm-completions");
    this.alternatives = alternatives;
    this.list = element("div", "");
    this.node.append(this.list, this.alternatives.node);
    this.act = act;
    this.run = 0;
    /** @type {Map<number, CompletionBlock>} */
    this.blocks = new Map();
    on("msg:custom", message => message?.kind === "more" && this.more(message));
    draw(["result"], () => this.whole(model.get("result")));
    draw(["running"], () => this.running(model.get("running")));
  }

  /** What is shown is of the run before, until the new one has a token. @param {boolean} running */
  running(running) {
    this.node.classList.toggle("nbllm-running", running);
    this.node.classList.toggle("nbllm-stale", running);
  }

  /** @param {{run: number, parts: Part[]}} message */
  more({ run, parts }) {
    if (run !== this.run) {
      this.clear(run);
    }
    for (const { output, start, tokens } of parts) {
      const block = this.block(output);
      if (block.text.tokens.length !== start) {
        this.act("draw");
        return;
      }
      block.text.append(tokens);
    }
  }

  /** @param {{run?: number, completions?: Completion[]}} result */
  whole({ run = 0, completions = [] }) {
    if (run !== this.run || !completions.every(c => this.has(c))) {
      this.clear(run);
    }
    completions.forEach(completion => this.block(completion.output).end(completion));
    this.node.classList.toggle("nbllm-several", completions.length > 1);
  }

  /** Whether it is drawn already: then what has the focus keeps it. @param {Completion} completion */
  has(completion) {
    const drawn = this.blocks.get(completion.output)?.text.tokens.length ?? 0;
    return drawn > 0 && drawn === completion.tokens?.length;
  }

  /** @param {number} run */
  clear(run) {
    this.run = run;
    this.blocks.clear();
    this.list.replaceChildren();
    this.node.classList.remove("nbllm-stale");
    this.alternatives.hide();
  }

  /** @param {number} output */
  block(output) {
    let block = this.blocks.get(output);
    if (!block) {
      block = new CompletionBlock(output, this.alternatives);
      this.blocks.set(output, block);
      this.list.append(block.node);
    }
    return block;
  }
}

class CompletionBlock {
  /** @param {number} output @param {Alternatives} alternatives */
  constructor(output, alternatives) {
    this.text = new TokenText(alternatives, `Completion ${output + 1}`);
    this.facts = element("div", "nbllm-facts");
    this.body = element("div", "nbllm-completion-body", this.text.node, this.facts);
    const number = element("div", "nbllm-number nbllm-output-number", String(output));
    this.node = element("article", "nbllm-completion", number, this.body);
  }

  /** @param {Completion} completion */
  end(completion) {
    if (!completion.tokens) {
      const text = textElement("div", "nbllm-text", visible(completion.text));
      this.body.replaceChildren(text, this.facts);
    } else if (!this.text.tokens.length) {
      this.text.append(completion.tokens);
    }
    this.facts.textContent = factsOf(completion);
  }
}

/** @param {Completion} completion */
function factsOf(completion) {
  const count = completion.num_tokens;
  const facts = [`${count.toLocaleString()} token${count === 1 ? "" : "s"}`];
  if (completion.finish_reason) {
    facts.unshift(visible(completion.finish_reason));
  }
  if (completion.cumulative_logprob !== null) {
    const logprob = completion.cumulative_logprob.toFixed(2).replace("-", "−");
    facts.push(`log-probability ${logprob}`);
  }
  return facts.join(" · ");
}
