/** Prompt cells: their first line is one of our cell magics, the rest is a prompt. */

const MAGICS = [
  ...['generate', 'chat', 'beam', 'score', 'choose', 'compare'],
  ...['playground', 'tokenexplorer', 'beamexplorer', 'promptgrid', 'chatui']
];
const PROMPT = new RegExp(`^\\s*%%(${MAGICS.join('|')})(?=[ \\t]|$)(.*)`, 'm');
const LOADS = new RegExp(
  `^\\s*%(re)?load_ext\\s+nbllm\\b|(^|=)\\s*%%?(nbllm|${MAGICS.join('|')})\\b`,
  'm'
);

/** The magic line of a prompt cell. `from` and `to`: where it is; `name`: of the magic, without %%. */
export interface MagicLine {
  from: number;
  to: number;
  name: string;
  /** All that follows the name. */
  rest: string;
}

/** The magic line of `source`; null where that is no prompt cell. */
export function magicLine(source: string): MagicLine | null {
  const found = PROMPT.exec(source);
  if (!found || found.index !== 0) {
    return null;
  }
  const to = found[0].length;
  const from = to - found[0].trimStart().length;
  return { from, to, name: found[1]!, rest: found[2]! };
}

/** Whether `source` is a prompt cell. */
export function isPrompt(source: string): boolean {
  return magicLine(source) !== null;
}

/** Whether a kernel that has run `source` without an error has nbllm's extension loaded. */
export function needsExtension(source: string): boolean {
  return LOADS.test(source);
}

/** Whether `{{ }}` in the prompt is sent as it is. */
export function isRaw(line: MagicLine): boolean {
  return /(^|\s)--raw(?=\s|$)/.test(line.rest);
}

/** `source`, a prompt cell, with `--over frame` instead of the frame that it may have had. */
export function overFrame(source: string, frame: string): string {
  const line = magicLine(source);
  if (!line) {
    return source;
  }
  const rest = line.rest.replace(/\s--over(?:=|\s+)\S+/, '').trimEnd();
  return `${source.slice(0, line.from)}%%${line.name}${rest} --over ${frame}${source.slice(line.to)}`;
}
