/** Scores, choices and comparisons as tables: a row for each prompt. */
import { Alternatives } from '../alternatives';
import { element, note } from '../element';
import { visible } from '../visible';
import { Table } from './data';
import { choiceRows, comparisonRows, Rows, scoreRows } from './rows';

export function drawTable(data: Table): HTMLElement[] {
  const alternatives = new Alternatives();
  const { head, rows } = rowsOf(data, alternatives);
  const blocks = rows.length ? [tableElement(head, rows)] : [note('no prompts')];
  if (data.omitted) {
    blocks.push(note(`… and ${data.omitted.toLocaleString()} more in the frame`));
  }
  if (data.caption) {
    blocks.push(...visible(data.caption).split('\n').map(note));
  }
  return [...blocks, alternatives.node];
}

function rowsOf(data: Table, alternatives: Alternatives): Rows {
  switch (data.kind) {
    case 'score':
      return scoreRows(data.rows);
    case 'choose':
      return choiceRows(data.rows);
    case 'compare':
      return comparisonRows(data.columns, data.rows, alternatives);
  }
}

function tableElement(head: HTMLElement[], rows: HTMLElement[][]): HTMLElement {
  const titles = element('thead', '', element('tr', '', ...head));
  const body = element('tbody', '', ...rows.map(cells => element('tr', '', ...cells)));
  return element('div', 'nbllm-wide', element('table', 'nbllm-table', titles, body));
}
