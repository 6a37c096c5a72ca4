/** What stands in the rows of each kind of table. */
import { Alternatives } from '../alternatives';
import { completionElement } from '../completion';
import { element, textElement } from '../element';
import { number } from '../probability';
import { promptElement } from '../prompt';
import { oneLine, visible } from '../visible';
import { Cells, Choice, Choices, Compared, Score } from './data';
import { sortable } from './sort';

export interface Rows {
  head: HTMLElement[];
  rows: HTMLElement[][];
}

const FIGURES: [name: string, value: (row: Score) => number | null][] = [
  ['log-prob.', row => row.cumulative_logprob],
  ['per token', row => row.mean_logprob],
  ['perplexity', row => row.perplexity],
  ['tokens', row => row.num_tokens]
];

export function scoreRows(rows: Score[]): Rows {
  const told = rows.some(row => row.continuation !== null);
  const titles = ['prompt', ...(told ? ['continuation'] : [])];
  const cells = rows.map(row => [
    prompt(row.prompt),
    ...(told ? [said(row.continuation ?? '')] : []),
    figure(number(row.cumulative_logprob, 2)),
    figure(number(row.mean_logprob, 2)),
    figure(number(row.perplexity, 2)),
    figure(row.num_tokens.toLocaleString())
  ]);
  const figures = FIGURES.map(([name, value]) => sortable(name, rows.map(value)));
  return { head: [...titles.map(title), ...figures], rows: cells };
}

export function choiceRows(rows: Choices[]): Rows {
  return {
    head: ['prompt', 'choices'].map(title),
    rows: rows.map(row => [
      prompt(row.prompt),
      element('td', '', ...[...row.choices].sort(likelier).map(bar))
    ])
  };
}

function likelier(a: Choice, b: Choice): number {
  return (b.probability ?? 0) - (a.probability ?? 0);
}

function bar({ choice, probability }: Choice, rank: number): HTMLElement {
  const node = element(
    'div',
    rank ? 'nbllm-row' : 'nbllm-row nbllm-row-chosen',
    textElement('span', 'nbllm-quoted', oneLine(choice)),
    element('span', 'nbllm-percent', `${(100 * (probability ?? 0)).toFixed(1)} %`)
  );
  node.style.setProperty('--nbllm-share', (probability ?? 0).toFixed(3));
  return node;
}

export function comparisonRows(columns: string[], rows: Cells[], alternatives: Alternatives): Rows {
  const cell = (completions: Compared[]) =>
    element(
      'td',
      '',
      ...completions.flatMap((completion, output) => [
        completionElement({ ...completion, output }, completions.length > 1, alternatives),
        ...(completion.remark ? [remark(completion.remark)] : [])
      ])
    );
  return {
    head: ['prompt', ...columns].map(title),
    rows: rows.map(row => [prompt(row.prompt), ...row.cells.map(cell)])
  };
}

function title(text: string): HTMLElement {
  return textElement('th', '', oneLine(text));
}

function prompt(text: string): HTMLElement {
  return element('td', '', promptElement(text));
}

function said(text: string): HTMLElement {
  return element('td', '', textElement('div', 'nbllm-text', visible(text)));
}

function remark(text: string): HTMLElement {
  return textElement('div', 'nbllm-remark', visible(text));
}

function figure(text: string): HTMLElement {
  return element('td', 'nbllm-figure', text);
}
