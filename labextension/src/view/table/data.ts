/** The data of scores, choices and comparisons, as nbllm/views/tables.py writes it. */
import { Completion, COMPLETION } from '../result';
import { has, isNumber, isNumberOrNull, isText, isTextOrNull, listOf, optional } from '../shape';

export interface Score {
  prompt: string;
  continuation: string | null;
  num_tokens: number;
  cumulative_logprob: number | null;
  mean_logprob: number | null;
  perplexity: number | null;
}

export interface Choices {
  prompt: string;
  choices: Choice[];
}

export interface Choice {
  choice: string;
  probability: number | null;
}

/** One prompt; a cell for each column, with one completion or several. */
export interface Cells {
  prompt: string;
  cells: Compared[][];
}

/** remark: what somebody said of it. */
export type Compared = Omit<Completion, 'output'> & { remark?: string };

/** omitted: rows that the kernel left out; the DataFrame has them. caption: what there is to say of all. */
export type Table = { omitted?: number; caption?: string } & (
  | { kind: 'score'; rows: Score[] }
  | { kind: 'choose'; rows: Choices[] }
  | { kind: 'compare'; columns: string[]; rows: Cells[] }
);

const SCORE = {
  prompt: isText,
  continuation: isTextOrNull,
  num_tokens: isNumber,
  cumulative_logprob: isNumberOrNull,
  mean_logprob: isNumberOrNull,
  perplexity: isNumberOrNull
};
const CHOICE = { choice: isText, probability: isNumberOrNull };

const COMPARED = { ...COMPLETION, remark: optional(isText) };

const CHECKS = {
  score: has({ rows: listOf(has(SCORE)) }),
  choose: has({ rows: listOf(has({ prompt: isText, choices: listOf(has(CHOICE)) })) }),
  compare: has({
    columns: listOf(isText),
    rows: listOf(has({ prompt: isText, cells: listOf(listOf(has(COMPARED))) })),
    caption: optional(isText)
  })
};

/** Whether `data`, which is of one of these kinds, has its shape. */
export function isTable(data: unknown): boolean {
  return CHECKS[(data as Table).kind](data);
}
