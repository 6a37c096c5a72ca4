/** Makes a prompt cell: of the text that is selected, or else of the selected cells themselves. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, Notebook, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { isPrompt } from './prompt';

const CONVERT = 'nbllm:convert-to-prompt';
const MAGIC = '%%generate';

/** What is selected in the active cell's editor, in rendered text or in an output. */
function selectedText(notebook: Notebook): string {
  const editor = notebook.activeCell?.editor;
  if (editor) {
    const { start, end } = editor.getSelection();
    const [from, to] = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((a, b) => a - b);
    const text = editor.model.sharedModel.getSource().slice(from, to);
    if (text.trim()) {
      return text;
    }
  }
  const selection = document.getSelection();
  return notebook.node.contains(selection?.anchorNode ?? null) ? String(selection) : '';
}

/** A new cell below the active one; what was selected stays where it is. */
function insertPrompt(notebook: Notebook, magic: string, text: string): void {
  const index = notebook.activeCellIndex + 1;
  notebook.model?.sharedModel.insertCell(index, {
    cell_type: 'code',
    source: `${magic}\n${text}`,
    metadata: { trusted: true }
  });
  notebook.deselectAll();
  notebook.activeCellIndex = index;
}

function convertCells(notebook: Notebook, magic: string): void {
  const chosen = notebook.widgets.filter(cell => notebook.isSelectedOrActive(cell));
  const indices = chosen.map(cell => notebook.widgets.indexOf(cell));
  NotebookActions.changeCellType(notebook, 'code');
  for (const index of indices) {
    // changing the type has made other cells
    const { sharedModel } = notebook.widgets[index]!.model;
    if (!isPrompt(sharedModel.getSource())) {
      sharedModel.updateSource(0, 0, `${magic}\n`);
    }
  }
}

export const convert: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:convert',
  description: 'A command that makes a prompt cell of what is selected.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ISettingRegistry, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null
  ) => {
    const settings = registry?.load(convert.id).catch(() => undefined);
    app.commands.addCommand(CONVERT, {
      label: 'Convert Selection to Prompt Cell',
      caption: 'Make a prompt cell of the selected text, or of the selected cells',
      isEnabled: () => Boolean(notebooks.currentWidget?.content.activeCell),
      execute: async () => {
        const notebook = notebooks.currentWidget?.content;
        if (!notebook) {
          return;
        }
        const text = selectedText(notebook);
        const magic = ((await settings)?.get('magic').composite as string | undefined) ?? MAGIC;
        if (text.trim()) {
          insertPrompt(notebook, magic, text);
        } else {
          convertCells(notebook, magic);
        }
      }
    });
    palette?.addItem({ command: CONVERT, category: 'nbllm' });
  }
};
