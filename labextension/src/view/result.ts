/** The data of `application/vnd.nbllm.v1+json` for completions, as nbllm/views/data.py writes it. */
import {
  Check,
  has,
  isNumber,
  isNumberOrNull,
  isText,
  isTextOrNull,
  listOf,
  optional
} from './shape';

export interface Result {
  kind: 'completions' | 'chat';
  outputs: Output[];
  /** Completions that the kernel left out of the view; the DataFrame has them. */
  omitted?: number;
}

export interface Output {
  prompt: string | null;
  /** Of a grid: what the settings of this output are. */
  setting?: string;
  completions: Completion[];
}

export interface Completion {
  output: number;
  text: string;
  finish_reason: string | null;
  num_tokens: number;
  cumulative_logprob: number | null;
  /** Only when log-probabilities were asked for. */
  tokens?: Token[];
}

export interface Token {
  text: string;
  /** null: minus infinity, which JSON lacks. */
  logprob: number | null;
  rank: number;
  /** In nats, of the tokens of `top` and all others taken as one; missing in older results. */
  entropy?: number | null;
  /** The likeliest tokens, best first. */
  top: [text: string, logprob: number | null][];
}

const isToken = has({
  text: isText,
  logprob: isNumberOrNull,
  rank: isNumber,
  entropy: optional(isNumberOrNull),
  top: listOf(pair => Array.isArray(pair) && isText(pair[0]) && isNumberOrNull(pair[1]))
});

/** Of a completion without the number that it has among those of its prompt. */
export const COMPLETION: Record<string, Check> = {
  text: isText,
  finish_reason: isTextOrNull,
  num_tokens: isNumber,
  cumulative_logprob: isNumberOrNull,
  tokens: optional(listOf(isToken))
};

export const isResult = has({
  outputs: listOf(
    has({
      prompt: isTextOrNull,
      setting: optional(isText),
      completions: listOf(has({ output: isNumber, ...COMPLETION }))
    })
  )
});
