/** Beam searches: of each its prompt, its sequences, and the tree of the search. */
import { Alternatives } from '../alternatives';
import { element, note, textElement } from '../element';
import { promptElement } from '../prompt';
import { oneLine, shortened } from '../visible';
import { branchList, treeNotes } from './branches';
import { Beams, Search, Sequence } from './data';
import { Nodes } from './nodes';
import { sequenceTable } from './sequences';
import { BeamTokens } from './tokens';
import { tree } from './tree';

export function drawBeams(beams: Beams): HTMLElement[] {
  const alternatives = new Alternatives();
  const opened = beams.searches.length === 1;
  const blocks = beams.searches.map(search => searchElement(search, opened, alternatives));
  if (!blocks.length) {
    blocks.push(note('nothing was searched'));
  }
  if (beams.omitted) {
    blocks.push(note(`… and ${beams.omitted.toLocaleString()} more sequences in the frame`));
  }
  return [...blocks, alternatives.node];
}

function searchElement(search: Search, opened: boolean, alternatives: Alternatives): HTMLElement {
  const nodes = new Nodes(search);
  const tokens = new BeamTokens(nodes, alternatives);
  const { root, missing } = tree(search, nodes);
  const prompt = textElement('code', 'nbllm-run', oneLine(shortened(search.prompt, 60)));
  const list = element('ul', '', branchList(root, prompt, nodes, tokens));
  const drawing = element('div', 'nbllm-tree', list);
  tokens.explore(drawing, 'The tree of the search');
  const notes = treeNotes(search, missing).map(note);
  const summary = element('summary', '', headline(search));
  const details = element('details', 'nbllm-search', summary, drawing, ...notes);
  details.open = opened;
  const table = sequenceTable(search, nodes, tokens, chosen => {
    details.open ||= chosen !== null;
    markPath(drawing, chosen);
  });
  return element('section', 'nbllm-output', promptElement(search.prompt), table, details);
}

/** Marks the tokens of a sequence in the tree; null: of none. */
function markPath(drawing: HTMLElement, sequence: Sequence | null): void {
  const path = new Set(sequence?.nodes);
  drawing.querySelectorAll<HTMLElement>('[data-node]').forEach(span => {
    span.classList.toggle('nbllm-on-path', path.has(Number(span.dataset.node)));
  });
}

function headline(search: Search): string {
  const { beam_width, num_steps, num_candidates, finished } = search;
  const counts = [
    count(beam_width, 'beam'),
    count(num_steps, 'step'),
    count(num_candidates, 'candidate')
  ];
  return `the search: ${counts.join(', ')}${finished ? '' : ', interrupted'}`;
}

function count(number: number, word: string): string {
  return `${number.toLocaleString()} ${word}${number === 1 ? '' : 's'}`;
}
