/** The data of `application/vnd.nbllm.v1+json`, as nbllm/views/data.py writes it. */

export interface Result {
  version: 1;
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

/** Whether `data` can be drawn. A notebook comes from anywhere: its shape is checked, too. */
export function isResult(data: unknown): data is Result {
  return isObject(data) && data.version === 1 && isArray(data.outputs, isOutput);
}

const DRAWN_AS_HTML: unknown[] = ['beam', 'score', 'choose', 'compare'];

/** Whether `data` is a result of this format that has no view of its own: searches and tables. */
export function isDrawnAsHtml(data: unknown): boolean {
  return isObject(data) && data.version === 1 && DRAWN_AS_HTML.includes(data.kind);
}

function isOutput(data: unknown): boolean {
  return (
    isObject(data) &&
    isTextOrNull(data.prompt) &&
    (data.setting === undefined || isText(data.setting)) &&
    isArray(data.completions, isCompletion)
  );
}

function isCompletion(data: unknown): boolean {
  return (
    isObject(data) &&
    isText(data.text) &&
    isTextOrNull(data.finish_reason) &&
    isNumberOrNull(data.cumulative_logprob) &&
    typeof data.output === 'number' &&
    typeof data.num_tokens === 'number' &&
    (data.tokens === undefined || isArray(data.tokens, isToken))
  );
}

function isToken(data: unknown): boolean {
  return (
    isObject(data) &&
    isText(data.text) &&
    isNumberOrNull(data.logprob) &&
    typeof data.rank === 'number' &&
    (data.entropy === undefined || isNumberOrNull(data.entropy)) &&
    isArray(data.top, isAlternative)
  );
}

function isAlternative(data: unknown): boolean {
  return Array.isArray(data) && isText(data[0]) && isNumberOrNull(data[1]);
}

function isObject(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null;
}

function isArray(data: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(data) && data.every(isItem);
}

function isText(data: unknown): data is string {
  return typeof data === 'string';
}

function isTextOrNull(data: unknown): boolean {
  return data === null || isText(data);
}

function isNumberOrNull(data: unknown): boolean {
  return data === null || typeof data === 'number';
}
