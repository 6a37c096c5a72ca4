/** The title of a table's column that sorts its rows: by the column, the other way round, as they were. */
import { element } from '../element';

const ORDERS = ['none', 'descending', 'ascending'] as const;

/** values: of the column, in the rows' own order; null comes last. */
export function sortable(name: string, values: (number | null)[]): HTMLElement {
  const button = element('button', 'nbllm-sort', name);
  button.type = 'button';
  button.title = `Sort by ${name}`;
  const title = element('th', 'nbllm-figure', button);
  title.ariaSort = 'none';
  let own: HTMLTableRowElement[] | null = null;
  button.addEventListener('click', () => {
    const body = title.closest('table')?.tBodies[0];
    if (!body) {
      return;
    }
    const rows = (own ??= ownOrder(body));
    const order = ORDERS[(ORDERS.indexOf(title.ariaSort as 'none') + 1) % ORDERS.length]!;
    title.parentElement!.querySelectorAll('th[aria-sort]').forEach(th => (th.ariaSort = 'none'));
    title.ariaSort = order;
    body.append(...sorted(values, order).map(i => rows[i]!));
  });
  return title;
}

/** Rows as they were before anybody sorted them: each remembers its place. */
function ownOrder(body: HTMLTableSectionElement): HTMLTableRowElement[] {
  const rows = [...body.rows];
  rows.forEach((row, i) => (row.dataset.place ??= String(i)));
  return rows.sort((a, b) => Number(a.dataset.place) - Number(b.dataset.place));
}

function sorted(values: (number | null)[], order: (typeof ORDERS)[number]): number[] {
  const indices = values.map((_, i) => i);
  const sign = order === 'ascending' ? 1 : -1;
  const last = order === 'ascending' ? Infinity : -Infinity;
  const value = (i: number) => values[i] ?? last;
  return order === 'none'
    ? indices
    : indices.sort((a, b) => (value(a) === value(b) ? a - b : sign * (value(a) - value(b))));
}
