/** A conversation, as nbllm/views/messages.py writes it: who said what, one message below the other. */
import { Alternatives } from './alternatives';
import { completionElement } from './completion';
import { element, note, textElement } from './element';
import { Completion, COMPLETION } from './result';
import { has, isText, isTextOrNull, listOf, optional } from './shape';
import { oneLine, visible } from './visible';

export interface Conversation {
  messages: Message[];
  /** Messages at the beginning that the kernel left out. */
  omitted?: number;
}

interface Message {
  role: string;
  content: string;
  reasoning?: string | null;
  /** What the model made; its text is the content. */
  completion?: Omit<Completion, 'output'>;
}

export const isConversation = has({
  messages: listOf(
    has({
      role: isText,
      content: isText,
      reasoning: optional(isTextOrNull),
      completion: optional(has(COMPLETION))
    })
  )
});

export function drawConversation({ messages, omitted }: Conversation): HTMLElement[] {
  const alternatives = new Alternatives();
  const items = messages.map(message => messageElement(message, alternatives));
  const before = omitted ? [note(`… ${omitted.toLocaleString()} earlier messages`)] : [];
  const list = items.length ? element('ol', 'nbllm-messages', ...items) : note('nothing was said');
  return [...before, list, alternatives.node];
}

function messageElement(message: Message, alternatives: Alternatives): HTMLElement {
  const { role, content, reasoning, completion } = message;
  const said = completion
    ? completionElement({ ...completion, output: 0 }, false, alternatives)
    : textElement('div', 'nbllm-text', visible(content));
  const thoughts = reasoning
    ? [
        element(
          'details',
          'nbllm-reasoning',
          element('summary', '', 'reasoning'),
          textElement('div', 'nbllm-text', visible(reasoning))
        )
      ]
    : [];
  const node = element('li', '', element('h4', '', oneLine(role)), ...thoughts, said);
  node.dataset.role = ['user', 'assistant', 'system', 'tool'].includes(role) ? role : 'other';
  return node;
}
