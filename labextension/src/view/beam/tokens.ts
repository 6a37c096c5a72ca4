/** Tokens of a search, which tell what else their beam offered, and what became of it. */
import { Alternatives } from '../alternatives';
import { element } from '../element';
import { explorable } from '../explore';
import { percent } from '../probability';
import { Nodes } from './nodes';

export class BeamTokens {
  constructor(
    private readonly nodes: Nodes,
    private readonly alternatives: Alternatives
  ) {}

  /** One piece of text: nodes that only together are characters. */
  piece(group: number[], text: string, className = ''): HTMLElement {
    const span = element('span', `nbllm-piece ${className}`.trim(), text);
    span.dataset.node = String(group.at(-1));
    return span;
  }

  /** Lets people look at the pieces in `container`. */
  explore(container: HTMLElement, label: string): void {
    const pieces = [...container.querySelectorAll<HTMLElement>('.nbllm-piece')];
    container.role = 'group';
    container.ariaLabel = `${label}; the arrow keys move from token to token`;
    explorable(container, pieces, {
      show: piece => this.show(piece, Number(piece.dataset.node)),
      hide: this.alternatives.hide
    });
  }

  private show(piece: HTMLElement, node: number): void {
    const { nodes } = this;
    this.alternatives.show(piece, {
      text: nodes.text(node),
      facts: `${percent(nodes.logprob(node))} · step ${nodes.step[node]} · rank ${nodes.rank(node)}`,
      others: nodes.siblings(node).map(other => ({
        text: nodes.text(other),
        logprob: nodes.logprob(other),
        chosen: other === node,
        note: nodes.state(other)
      }))
    });
  }
}
