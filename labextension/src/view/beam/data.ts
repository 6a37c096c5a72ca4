/** The data of beam searches, as nbllm/views/beam_data.py writes it. */
import {
  has,
  isNumber,
  isNumberOrNull,
  isText,
  isTextOrNull,
  listOf,
  oneOf,
  optional
} from '../shape';

export interface Beams {
  searches: Search[];
  /** Sequences that the kernel left out; the DataFrame has them. */
  omitted?: number;
}

export interface Search {
  prompt: string;
  finished: boolean;
  beam_width: number;
  num_steps: number;
  num_candidates: number;
  sequences: Sequence[];
  /** Candidates in columns: each after the one that it continues. */
  nodes: Columns;
  omitted_nodes: number;
}

export interface Sequence {
  rank: number;
  text: string;
  score: number | null;
  cumulative_logprob: number | null;
  num_tokens: number;
  finish_reason: string;
  /** How many tokens it shares with the best; null: it is the best. */
  diverges_at: number | null;
  /** Its candidates; missing where there was no room. */
  nodes?: number[];
  /** Characters at its end that are no part of the text: those of a stop string. */
  hidden?: number;
}

export type State = 'live' | 'pruned' | 'finished' | 'returned';

export interface Columns {
  /** -1: the prompt. */
  parent: number[];
  text: string[];
  logprob: (number | null)[];
  rank: number[];
  state: State[];
  special: number[];
}

const isColumns = has({
  parent: listOf(isNumber),
  text: listOf(isText),
  logprob: listOf(isNumberOrNull),
  rank: listOf(isNumber),
  state: listOf(oneOf('live', 'pruned', 'finished', 'returned')),
  special: listOf(isNumber)
});

const hasBeamFields = has({
  searches: listOf(
    has({
      prompt: isText,
      beam_width: isNumber,
      num_steps: isNumber,
      num_candidates: isNumber,
      omitted_nodes: isNumber,
      nodes: isColumns,
      sequences: listOf(
        has({
          rank: isNumber,
          text: isText,
          score: isNumberOrNull,
          cumulative_logprob: isNumberOrNull,
          num_tokens: isNumber,
          finish_reason: isTextOrNull,
          diverges_at: isNumberOrNull,
          nodes: optional(listOf(isNumber)),
          hidden: optional(isNumber)
        })
      )
    })
  )
});

export function isBeams(data: unknown): boolean {
  return hasBeamFields(data) && (data as Beams).searches.every(isConsistent);
}

/** Whether every number that names a candidate names one, and none comes before its parent. */
function isConsistent({ nodes, sequences }: Search): boolean {
  const { parent, text, logprob, rank, state } = nodes;
  const count = parent.length;
  return (
    [text, logprob, rank, state].every(column => column.length === count) &&
    parent.every((before, node) => Number.isInteger(before) && before >= -1 && before < node) &&
    sequences.every(({ nodes: path = [] }) =>
      path.every((node, i) => parent[node] === (i ? path[i - 1] : -1))
    )
  );
}
