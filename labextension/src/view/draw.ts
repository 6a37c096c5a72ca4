/** A result of any kind as a list of elements. */
import { Beams, isBeams } from './beam/data';
import { drawBeams } from './beam/draw';
import { drawCompletions } from './completions';
import { Conversation, drawConversation, isConversation } from './conversation';
import { note, textElement } from './element';
import { isResult, Result } from './result';
import { Check, isObject, isText } from './shape';
import { isTable, Table } from './table/data';
import { drawTable } from './table/draw';
import { visible } from './visible';

interface View {
  fits: Check;
  draw: (data: never) => HTMLElement[];
}

const completions: View = { fits: isResult, draw: (data: Result) => drawCompletions(data) };
const table: View = { fits: isTable, draw: (data: Table) => drawTable(data) };

const VIEWS = new Map<unknown, View>([
  ['completions', completions],
  ['chat', completions],
  ['beam', { fits: isBeams, draw: (data: Beams) => drawBeams(data) }],
  ['score', table],
  ['choose', table],
  ['compare', table],
  ['conversation', { fits: isConversation, draw: (data: Conversation) => drawConversation(data) }]
]);

/** Whether it is of a kind that there is no view of: a newer nbllm may have more. */
export function isOfAnotherKind(data: unknown): boolean {
  return isObject(data) && data.version === 1 && isText(data.kind) && !VIEWS.has(data.kind);
}

/** text: what every result carries; shown where the data cannot be drawn, below a line that says why. */
export function draw(data: unknown, text: string | undefined): HTMLElement[] {
  const view = isObject(data) && data.version === 1 ? VIEWS.get(data.kind) : undefined;
  if (view?.fits(data)) {
    return view.draw(data as never);
  }
  const version = isObject(data) ? data.version : undefined;
  const why =
    version === 1
      ? 'This nbllm result is damaged and cannot be drawn.'
      : `This nbllm result has format ${version}, and the installed nbllm draws format 1: update nbllm.`;
  const shown = text === undefined ? [] : [textElement('div', 'nbllm-text', visible(text))];
  return [note(why), ...shown];
}
