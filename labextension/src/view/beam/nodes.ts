/** The candidates of a search as a tree. */
import { Columns, Search, State } from './data';

export class Nodes {
  readonly columns: Columns;
  readonly special: Set<number>;
  /** From 1. */
  readonly step: number[] = [];
  private readonly after = new Map<number, number[]>();

  constructor(search: Search) {
    this.columns = search.nodes;
    this.special = new Set(search.nodes.special);
    search.nodes.parent.forEach((parent, node) => {
      this.step.push(parent < 0 ? 1 : this.step[parent]! + 1);
      const siblings = this.after.get(parent);
      if (siblings) {
        siblings.push(node);
      } else {
        this.after.set(parent, [node]);
      }
    });
  }

  text(node: number): string {
    return this.columns.text[node]!;
  }

  logprob(node: number): number | null {
    return this.columns.logprob[node]!;
  }

  rank(node: number): number {
    return this.columns.rank[node]!;
  }

  state(node: number): State {
    return this.columns.state[node]!;
  }

  parent(node: number): number {
    return this.columns.parent[node]!;
  }

  /** Candidates that continue a node; of the prompt, -1. */
  children(node: number): number[] {
    return this.after.get(node) ?? [];
  }

  /** What its beam offered, likeliest first; itself among them. */
  siblings(node: number): number[] {
    const value = (n: number) => this.logprob(n) ?? -Infinity;
    return [...this.children(this.parent(node))].sort((a, b) => value(b) - value(a));
  }

  words(nodes: number[]): string {
    return nodes.map(node => this.text(node)).join('');
  }

  /** Nodes in a row, those together that only together are text. */
  characters(path: number[]): number[][] {
    const groups: number[][] = [];
    let group: number[] = [];
    path.forEach((node, i) => {
      group.push(node);
      if (this.text(node) || i === path.length - 1) {
        groups.push(group);
        group = [];
      }
    });
    return groups;
  }
}
