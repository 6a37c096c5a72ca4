/** Completes flags, values and `{{ }}` in prompt cells, with help; the kernel knows them, also while it runs. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  CompletionHandler,
  ICompletionContext,
  ICompletionProvider,
  ICompletionProviderManager
} from '@jupyterlab/completer';
import { INotebookTracker } from '@jupyterlab/notebook';
import { Channel } from './channel';
import { IControl } from './control';
import { isPrompt } from './prompt';

/** What nbllm/notebook/completion.py says. */
interface Suggestions {
  /** Where the word to replace begins, in characters. */
  start: number;
  items: { text: string; kind: string; help: string }[];
}

class PromptCompleter implements ICompletionProvider {
  readonly identifier = 'nbllm:prompt';
  /** Before the kernel's own completer, which is asked too. */
  readonly rank = 1000;
  readonly renderer = null;

  constructor(
    private readonly notebooks: INotebookTracker,
    private readonly control: IControl
  ) {}

  async isApplicable(context: ICompletionContext): Promise<boolean> {
    const source = context.editor?.model.sharedModel.getSource() ?? '';
    return isPrompt(source) && this.channel(context) !== undefined;
  }

  async fetch(
    { text, offset }: CompletionHandler.IRequest,
    context: ICompletionContext
  ): Promise<CompletionHandler.ICompletionItemsReply> {
    // offsets count characters, not UTF-16's units
    const before = Array.from(text).slice(0, offset).join('');
    const reply = (await this.channel(context)?.ask('complete', { before })) as unknown;
    const { start, items } = (reply ?? { start: offset, items: [] }) as Suggestions;
    return {
      start,
      end: offset,
      items: items.map(({ text, kind, help }) => ({
        label: text,
        type: kind,
        documentation: help
      }))
    };
  }

  /** While somebody types: for flags and templates, never in the middle of prose. */
  shouldShowContinuousHint(visible: boolean, _: unknown, context?: ICompletionContext): boolean {
    const editor = context?.editor;
    if (visible || !editor) {
      return false;
    }
    const cursor = editor.getOffsetAt(editor.getCursorPosition());
    const before = editor.model.sharedModel.getSource().slice(0, cursor);
    return /^[^\n]*\s--?[\w-]*$|\{\{(?:(?!\}\})[^])*\w$/.test(before.trimStart());
  }

  private channel(context: ICompletionContext): Channel | undefined {
    const panel = this.notebooks.find(each => each === context.widget);
    return panel && this.control.of(panel)?.channel;
  }
}

export const completer: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:completer',
  description: 'Completes flags, values and templates in prompt cells.',
  autoStart: true,
  requires: [INotebookTracker, IControl],
  optional: [ICompletionProviderManager],
  activate: (
    _: JupyterFrontEnd,
    notebooks: INotebookTracker,
    control: IControl,
    providers: ICompletionProviderManager | null
  ) => providers?.registerProvider(new PromptCompleter(notebooks, control))
};
