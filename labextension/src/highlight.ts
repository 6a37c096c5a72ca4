/** Prompt cells are edited as Markdown, with the magic line as a command and `{{ }}` as Jinja. */
import { markdown, markdownLanguage } from '@codemirror/lang-markdown';
import { LanguageDescription } from '@codemirror/language';
import { Compartment, EditorState, Extension, Prec } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  EditorExtensionRegistry,
  IEditorExtensionRegistry,
  IEditorLanguageRegistry
} from '@jupyterlab/codemirror';
import { command } from './highlight/command';
import { templates } from './highlight/templates';
import { isPrompt } from './prompt';

/** Characters in which a magic's name has to come, if it does. */
const HEAD = 200;

const NONE: Extension = [];

/** What a prompt is edited with. languages: of fenced code in it. */
function promptExtension(languages: IEditorLanguageRegistry): Extension {
  return [
    markdown({
      base: markdownLanguage,
      extensions: [command],
      codeLanguages: info => languages.findBest(info, false) as LanguageDescription | null,
      completeHTMLTags: false,
      pasteURLAsLink: false
    }),
    templates,
    // prompts are prose
    EditorView.lineWrapping
  ];
}

/** The extension of a cell's editor: `prompt` as long as its text is one, else the notebook's own. */
function ofCell(source: string, prompt: Extension): Extension {
  const language = new Compartment();
  const choose = (text: string) => (isPrompt(text.slice(0, HEAD)) ? prompt : NONE);
  return [
    // before the notebook's own language
    Prec.high(language.of(choose(source))),
    EditorState.transactionExtender.of(change => {
      if (!change.docChanged) {
        return null;
      }
      const now = choose(change.newDoc.sliceString(0, HEAD));
      return now === language.get(change.startState)
        ? null
        : { effects: language.reconfigure(now) };
    })
  ];
}

export const highlight: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:highlight',
  description: 'Edits prompt cells as Markdown with Jinja templates.',
  autoStart: true,
  requires: [IEditorExtensionRegistry, IEditorLanguageRegistry],
  activate: (
    _: JupyterFrontEnd,
    editors: IEditorExtensionRegistry,
    languages: IEditorLanguageRegistry
  ) => {
    const prompt = promptExtension(languages);
    editors.addExtension({
      name: 'nbllm:prompt',
      factory: ({ model }) => {
        // of the models of editors, only those of cells have a type
        const isCode = 'type' in model && model.type === 'code';
        const extension = () => ofCell(model.sharedModel.getSource(), prompt);
        return isCode ? EditorExtensionRegistry.createImmutableExtension(extension()) : null;
      }
    });
  }
};
