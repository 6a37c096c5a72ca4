/**
 * `{{ expressions }}` in a prompt. Nothing else of Jinja is active there: `{%` and `{#` are text, and with
 * --raw so are the braces.
 */
import { Extension, RangeSetBuilder } from '@codemirror/state';
import { Decoration, DecorationSet, EditorView, ViewPlugin, ViewUpdate } from '@codemirror/view';
import { isRaw, magicLine } from '../prompt';

const TEMPLATE = /\{\{[^]*?\}\}/g;
const TOKEN = /^\{\{|\}\}$|"[^"]*"|'[^']*'|\|\s*\w+|\d+(?:\.\d+)?|\w+/g;

const KINDS: [RegExp, string][] = [
  [/^[{}]/, 'brace'],
  [/^["']/, 'string'],
  [/^\|/, 'filter'],
  [/^\d/, 'number']
];

const MARKS = new Map(
  ['brace', 'string', 'filter', 'number', 'name'].map(kind => [
    kind,
    Decoration.mark({ class: `nbllm-template nbllm-template-${kind}` })
  ])
);

function decorations(text: string): DecorationSet {
  const found = new RangeSetBuilder<Decoration>();
  const line = magicLine(text);
  if (line && !isRaw(line)) {
    for (const template of text.matchAll(TEMPLATE)) {
      for (const token of template[0].matchAll(TOKEN)) {
        const kind = KINDS.find(([pattern]) => pattern.test(token[0]))?.[1] ?? 'name';
        const from = template.index + token.index;
        found.add(from, from + token[0].length, MARKS.get(kind)!);
      }
    }
  }
  return found.finish();
}

const marks = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = decorations(view.state.doc.toString());
    }

    update(update: ViewUpdate): void {
      if (update.docChanged) {
        this.decorations = decorations(update.state.doc.toString());
      }
    }
  },
  { decorations: plugin => plugin.decorations }
);

const theme = EditorView.baseTheme({
  '.nbllm-template, .nbllm-template *': { color: 'var(--jp-mirror-editor-variable-2-color)' },
  '.nbllm-template-brace, .nbllm-template-brace *': {
    color: 'var(--jp-mirror-editor-operator-color)',
    fontWeight: 'bold'
  },
  '.nbllm-template-string, .nbllm-template-string *': {
    color: 'var(--jp-mirror-editor-string-color)'
  },
  '.nbllm-template-filter, .nbllm-template-filter *': {
    color: 'var(--jp-mirror-editor-builtin-color)'
  },
  '.nbllm-template-number, .nbllm-template-number *': {
    color: 'var(--jp-mirror-editor-number-color)'
  }
});

export const templates: Extension = [marks, theme];
