/**
 * A beam search as a tree to read: what is returned branch by branch, and what left it on the way. The same
 * tree as in nbllm/views/beam_tree.py.
 *
 * Tokens that follow one another without a fork are one branch. A beam that was dropped is no branch of
 * its own, or the tree would be a hedge: it is noted at the branch that it left.
 */
import { Search } from './data';
import { Nodes } from './nodes';

const MAX_BRANCHES = 60;

/** A beam that left a branch and did not come to be a result. */
export interface Leaver {
  /** As far as it came. */
  nodes: number[];
  /** What the branch went on with; null where it forked, too. */
  insteadOf: number | null;
  /** It completed a sequence, or lived to the last step, and was outscored. */
  ended: boolean;
}

export interface Branch {
  nodes: number[];
  /** Of the sequence that ends here. */
  rank: number | null;
  children: Branch[];
  leavers: Leaver[];
}

/** The root, which has no nodes of its own, and how many sequences there was no room for. */
export function tree(search: Search, nodes: Nodes): { root: Branch; missing: number } {
  const ends = new Map<number, number>();
  const shown = new Map<number, number[]>();
  let forks = 0;
  for (const { nodes: path, rank } of search.sequences) {
    // a new sequence forks off once, which makes two branches more
    if (!path || forks + 2 > MAX_BRANCHES) {
      continue;
    }
    forks += 2;
    for (const node of path) {
      const after = shown.get(nodes.parent(node)) ?? [];
      shown.set(nodes.parent(node), after.includes(node) ? after : [...after, node]);
    }
    // a search that was interrupted at once has found nothing: the prompt alone
    ends.set(path.at(-1) ?? -1, rank);
  }
  const root = branch([]);
  grow(root, shown, ends, nodes, search.num_steps);
  return { root, missing: search.sequences.length - ends.size };
}

function branch(nodes: number[]): Branch {
  return { nodes, rank: null, children: [], leavers: [] };
}

/** Follow branches from their last node to the next fork or their end. */
function grow(
  root: Branch,
  shown: Map<number, number[]>,
  ends: Map<number, number>,
  nodes: Nodes,
  numSteps: number
): void {
  const stack = [root];
  for (let top = stack.pop(); top; top = stack.pop()) {
    let node = top.nodes.at(-1) ?? -1;
    let after: number[];
    for (;;) {
      after = shown.get(node) ?? [];
      top.leavers.push(...leaversOf(node, after, nodes, numSteps));
      // the prompt is a line of its own, even where nothing forks at its end
      if (after.length !== 1 || node < 0) {
        break;
      }
      node = after[0]!;
      top.nodes.push(node);
    }
    top.rank = ends.get(node) ?? null;
    top.children = after.map(child => branch([child]));
    stack.push(...top.children);
  }
}

function leaversOf(node: number, after: number[], nodes: Nodes, numSteps: number): Leaver[] {
  return nodes
    .children(node)
    .filter(first => !after.includes(first) && nodes.state(first) !== 'pruned')
    .map(first => {
      const path = longest(first, nodes);
      const last = path.at(-1)!;
      const complete = ['finished', 'returned'].includes(nodes.state(last));
      return {
        nodes: path,
        insteadOf: after.length === 1 ? after[0]! : null,
        ended: complete || nodes.step[last] === numSteps
      };
    });
}

/** The longest path that begins with a node, of what lived. */
function longest(first: number, nodes: Nodes): number[] {
  let level = [first];
  let last = level;
  while (level.length) {
    last = level;
    level = level.flatMap(node => nodes.children(node).filter(n => nodes.state(n) !== 'pruned'));
  }
  const path: number[] = [];
  for (let node = last[0]!; node !== first; node = nodes.parent(node)) {
    path.unshift(node);
  }
  return [first, ...path];
}
