/** The table of the sequences that were found, best first. */
import { element, textElement } from '../element';
import { number } from '../probability';
import { visible } from '../visible';
import { Search, Sequence } from './data';
import { Nodes } from './nodes';
import { BeamTokens } from './tokens';

/** Names of columns; those in `FIGURES` hold numbers. */
const HEAD = ['rank', 'text', 'score', 'log-prob.', 'tokens', 'ended'];
const FIGURES = ['score', 'log-prob.', 'tokens'];

/** choose: called with the sequence whose button is pressed, or null when it is pressed again. */
export function sequenceTable(
  search: Search,
  nodes: Nodes,
  tokens: BeamTokens,
  choose: (sequence: Sequence | null) => void
): HTMLElement {
  const buttons: HTMLButtonElement[] = [];
  const rows = search.sequences.map(sequence => {
    const button = element('button', 'nbllm-rank', `#${sequence.rank}`);
    button.type = 'button';
    button.title = 'Show this sequence in the tree';
    button.disabled = !sequence.nodes?.length;
    button.ariaPressed = 'false';
    button.addEventListener('click', () => {
      const on = button.ariaPressed === 'false';
      buttons.forEach(each => (each.ariaPressed = String(on && each === button)));
      choose(on ? sequence : null);
    });
    buttons.push(button);
    const text = textElement('div', 'nbllm-text', ...textOf(sequence, nodes, tokens));
    tokens.explore(text, `Sequence ${sequence.rank}`);
    return row(sequence, button, text);
  });
  const titles = HEAD.map(name =>
    element('th', FIGURES.includes(name) ? 'nbllm-figure' : '', name)
  );
  const head = element('tr', '', ...titles);
  const table = element(
    'table',
    'nbllm-table nbllm-sequences',
    element('thead', '', head),
    element('tbody', '', ...rows)
  );
  return element('div', 'nbllm-wide', table);
}

function row(sequence: Sequence, button: HTMLElement, text: HTMLElement): HTMLElement {
  const { score, cumulative_logprob, num_tokens, finish_reason } = sequence;
  return element(
    'tr',
    '',
    element('th', '', button),
    element('td', '', text),
    element('td', 'nbllm-figure', number(score)),
    element('td', 'nbllm-figure', number(cumulative_logprob)),
    element('td', 'nbllm-figure', num_tokens.toLocaleString()),
    element('td', '', visible(finish_reason))
  );
}

/** Dimmed as far as the best sequence goes the same way; the token that parts them is marked. */
function textOf(sequence: Sequence, nodes: Nodes, tokens: BeamTokens): HTMLElement[] {
  if (!sequence.nodes) {
    return [element('span', '', visible(sequence.text))];
  }
  const path = sequence.nodes.filter(node => !nodes.special.has(node));
  const turn = sequence.diverges_at;
  // lengths are counted in characters, as in Python
  let room = Array.from(nodes.words(path)).length - (sequence.hidden ?? 0);
  let turned = turn === null;
  return nodes.characters(path).map(group => {
    const characters = Array.from(nodes.words(group)).slice(0, Math.max(room, 0));
    room -= characters.length;
    const parts = !turned && nodes.step[group.at(-1)!]! > turn!;
    turned ||= parts;
    const className = parts ? 'nbllm-turn' : turned ? '' : 'nbllm-same';
    return tokens.piece(group, visible(characters.join('')), className);
  });
}
