/** The tree as nested lists: a branch an item, with the beams that left it. */
import { element, textElement } from '../element';
import { share } from '../probability';
import { oneLine } from '../visible';
import { Search } from './data';
import { Nodes } from './nodes';
import { BeamTokens } from './tokens';
import { Branch, Leaver } from './tree';

const MAX_RUN = 40;
const MAX_LEAVERS = 3;
const MAX_LEAVER_TEXT = 48;

/** A branch that begins with `first`: its text, its leavers and the branches after it. */
export function branchList(
  branch: Branch,
  first: HTMLElement,
  nodes: Nodes,
  tokens: BeamTokens
): HTMLElement {
  const below = branch.children.map(child => {
    const run = runElement(child.nodes, nodes, tokens);
    const item = branchList(child, run, nodes, tokens);
    item.prepend(element('span', 'nbllm-share', share(nodes.logprob(child.nodes[0]!))));
    return item;
  });
  const end = branch.rank === null ? [] : [element('b', 'nbllm-end', `#${branch.rank}`)];
  return element(
    'li',
    '',
    first,
    ...end,
    ...leaversElements(branch.leavers, nodes),
    ...(below.length ? [element('ul', '', ...below)] : [])
  );
}

/** Tokens in a row; of many the middle is folded. */
function runElement(path: number[], nodes: Nodes, tokens: BeamTokens): HTMLElement {
  const pieces = nodes.characters(path).map(group => {
    const special = nodes.special.has(group.at(-1)!);
    return tokens.piece(group, oneLine(nodes.words(group)), special ? 'nbllm-special' : '');
  });
  const run = textElement('code', 'nbllm-run', ...pieces);
  if (pieces.length > MAX_RUN) {
    const middle = pieces.slice(MAX_RUN / 2, -MAX_RUN / 2);
    const unfold = element('button', 'nbllm-unfold', ` → ${middle.length} tokens → `);
    unfold.type = 'button';
    unfold.title = 'Show them';
    middle.forEach(piece => (piece.hidden = true));
    unfold.addEventListener('click', () => {
      middle.forEach(piece => (piece.hidden = false));
      middle[0]!.focus();
      unfold.remove();
    });
    pieces[MAX_RUN / 2]!.before(unfold);
  }
  return run;
}

function leaversElements(leavers: Leaver[], nodes: Nodes): HTMLElement[] {
  if (!leavers.length) {
    return [];
  }
  const longest = [...leavers].sort((a, b) => b.nodes.length - a.nodes.length);
  const item = (leaver: Leaver) => textElement('li', '', leaverLine(leaver, nodes));
  const named = longest.slice(0, MAX_LEAVERS).sort((a, b) => a.nodes[0]! - b.nodes[0]!);
  const list = element('ul', 'nbllm-left', ...named.map(item));
  const rest = longest.slice(MAX_LEAVERS);
  if (rest.length) {
    const summary = element('summary', '', `… and ${rest.length.toLocaleString()} more`);
    const more = element('ul', '', ...rest.map(item));
    list.append(element('li', '', element('details', '', summary, more)));
  }
  return [list];
}

/** With what a beam left, instead of what, and what became of it. */
function leaverLine(leaver: Leaver, nodes: Nodes): string {
  const [first, last] = [leaver.nodes[0]!, leaver.nodes.at(-1)!];
  const words = Array.from(nodes.words(leaver.nodes));
  // how it began matters most
  const said =
    words.length > MAX_LEAVER_TEXT
      ? `${words.slice(0, MAX_LEAVER_TEXT - 1).join('')}…`
      : words.join('');
  const other = leaver.insteadOf;
  const instead = other === null ? '' : ` instead of ${choice(nodes.text(other), other, nodes)}`;
  const fate = leaver.ended ? 'outscored' : `dropped after step ${nodes.step[last]}`;
  return `${leaver.ended ? '○' : '✂'} ${choice(said, first, nodes)}${instead}: ${fate}`;
}

function choice(text: string, node: number, nodes: Nodes): string {
  return `“${oneLine(text)}” (${share(nodes.logprob(node))})`;
}

/** How to read the tree, and what it leaves out. */
export function treeNotes(search: Search, missing: number): string[] {
  const legend =
    'Each line goes on where the line above it ends. A percentage is how likely the model found the ' +
    'first token. ✂ and ○ are beams that are not in the result.';
  const left = [
    ...(missing ? [`${missing.toLocaleString()} sequences not drawn`] : []),
    ...(search.omitted_nodes
      ? [`${search.omitted_nodes.toLocaleString()} beam tokens not kept in this view`]
      : [])
  ];
  return left.length ? [legend, `(${left.join('; ')}: the frames have everything)`] : [legend];
}
