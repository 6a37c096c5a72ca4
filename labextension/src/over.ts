/** Runs a prompt cell over a DataFrame that is chosen from those in the kernel. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, showErrorMessage } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { IControl } from './control';
import { isPrompt, overFrame } from './prompt';

const RUN_OVER = 'nbllm:run-over-frame';
const MAX_COLUMNS = 6;

/** What nbllm/notebook/control.py says. */
interface Frame {
  name: string;
  num_rows: number;
  columns: string[];
}

function described({ name, num_rows, columns }: Frame): string {
  const shown = columns.slice(0, MAX_COLUMNS).join(', ');
  const more = columns.length > MAX_COLUMNS ? ', …' : '';
  const rows = `${num_rows.toLocaleString()} row${num_rows === 1 ? '' : 's'}`;
  return `${name} · ${rows} · ${shown}${more}`;
}

/** The frame that most likely is meant: it has the columns that the prompt's templates name. */
function likeliest(frames: Frame[], source: string): number {
  const names = Array.from(source.matchAll(/\{\{\s*(\w+)/g), found => found[1]!);
  const scores = frames.map(f => names.filter(name => f.columns.includes(name)).length);
  return scores.indexOf(Math.max(...scores));
}

/** The selected text of the active cell, where that is a frame's name; else what the user picks. */
async function chosen(frames: Frame[], panel: NotebookPanel): Promise<string | null> {
  const editor = panel.content.activeCell?.editor;
  const source = editor?.model.sharedModel.getSource() ?? '';
  if (editor) {
    const { start, end } = editor.getSelection();
    const selected = source.slice(editor.getOffsetAt(start), editor.getOffsetAt(end)).trim();
    if (frames.some(frame => frame.name === selected)) {
      return selected;
    }
  }
  const items = frames.map(described);
  const answer = await InputDialog.getItem({
    title: 'Run Prompt on DataFrame',
    label: 'The prompt is sent once per row',
    items,
    current: likeliest(frames, source),
    okLabel: 'Run'
  });
  return answer.button.accept ? (frames[items.indexOf(answer.value ?? '')]?.name ?? null) : null;
}

async function run(control: IControl, panel: NotebookPanel): Promise<void> {
  const cell = panel.content.activeCell;
  const source = cell?.model.sharedModel.getSource() ?? '';
  if (!cell || !isPrompt(source)) {
    throw new Error('The active cell is no prompt: it has to begin with %%generate, for one.');
  }
  const link = control.of(panel);
  if (!link) {
    throw new Error('nbllm is not loaded in this kernel: run %load_ext nbllm first.');
  }
  const frames = (await link.channel.ask('frames')) as unknown as Frame[];
  if (!frames.length) {
    throw new Error('There is no DataFrame in this kernel.');
  }
  const frame = await chosen(frames, panel);
  if (frame !== null) {
    cell.model.sharedModel.setSource(overFrame(source, frame));
    await NotebookActions.run(panel.content, panel.sessionContext);
  }
}

export const over: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:over',
  description: 'A command that runs a prompt cell over a DataFrame.',
  autoStart: true,
  requires: [INotebookTracker, IControl],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    control: IControl,
    palette: ICommandPalette | null
  ) => {
    app.commands.addCommand(RUN_OVER, {
      label: 'Run Prompt on DataFrame…',
      caption: 'Send the prompt of this cell once per row of a DataFrame',
      isEnabled: () => Boolean(notebooks.currentWidget?.content.activeCell),
      execute: () => {
        const panel = notebooks.currentWidget;
        return (
          panel && run(control, panel).catch(error => showErrorMessage('nbllm', error.message))
        );
      }
    });
    palette?.addItem({ command: RUN_OVER, category: 'nbllm' });
  }
};
