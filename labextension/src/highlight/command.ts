/** The magic line as a block of its own in Markdown: `%%generate out --over frame -t 0.7 --stop "\n"`. */
import { tags } from '@lezer/highlight';
import { BlockContext, MarkdownConfig } from '@lezer/markdown';
import { magicLine } from '../prompt';

const STYLES = {
  MagicName: tags.keyword,
  MagicVariable: tags.definition(tags.name),
  MagicFlag: tags.attributeName,
  MagicNumber: tags.number,
  MagicString: tags.string
};

type Kind = keyof typeof STYLES;

const KINDS: [Kind, RegExp][] = [
  ['MagicString', /^["'{]/],
  ['MagicFlag', /^--?[a-z]/],
  ['MagicNumber', /^-?[\d.]+$/]
];
/** Words as the kernel splits them: quotes and templates stay in one piece. */
const WORD = /\{\{.*?\}\}|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s"'{]+|\{/g;

/** Where `rest`, what follows a magic's name, has words of which kind. */
function* words(rest: string): Generator<{ kind: Kind; from: number; to: number }> {
  let first = true;
  for (const { 0: word, index } of rest.matchAll(WORD)) {
    const known = KINDS.find(([, pattern]) => pattern.test(word))?.[0];
    // the one word before all flags is the variable that is bound
    const kind = known ?? (first ? 'MagicVariable' : undefined);
    first = false;
    if (kind) {
      yield { kind, from: index, to: index + word.length };
    }
  }
}

function parse(context: BlockContext, line: { text: string }): boolean {
  const magic = context.lineStart === 0 ? magicLine(line.text) : null;
  if (!magic) {
    return false;
  }
  const begin = magic.to - magic.rest.length;
  const parts = [
    context.elt('MagicName', magic.from, begin),
    ...Array.from(words(magic.rest), ({ kind, from, to }) =>
      context.elt(kind, begin + from, begin + to)
    )
  ];
  context.addElement(context.elt('MagicLine', magic.from, magic.to, parts));
  context.nextLine();
  return true;
}

export const command: MarkdownConfig = {
  defineNodes: [
    { name: 'MagicLine', block: true },
    ...Object.entries(STYLES).map(([name, style]) => ({ name, style }))
  ],
  parseBlock: [{ name: 'MagicLine', before: 'IndentedCode', parse }]
};
