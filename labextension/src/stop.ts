/**
 * Stop: ends the run of the cell, which keeps what it has made and succeeds.
 *
 * The kernel is asked beside the cell; where it cannot be, or has no run to end, it is interrupted.
 */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { CodeCell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { stopIcon } from './icons';
import { delay } from './channel';
import { IControl } from './control';

const STOP = 'nbllm:stop';
const PATIENCE_MS = 1000;
const AGAIN_MS = 50;

/** Whether the kernel is to be interrupted: it has ended no run, and something else may be going on. */
async function needsInterrupt(control: IControl, panel: NotebookPanel, patience: number) {
  const channel = control.of(panel)?.channel;
  if (!channel?.besideCells) {
    return panel.sessionContext.session?.kernel?.status !== 'idle';
  }
  let waiting = 0;
  const settled = () => {
    waiting -= 1;
  };
  for (const cell of panel.content.widgets) {
    const sent = (cell as CodeCell).outputArea?.future;
    if (sent) {
      waiting += 1;
      // those of cells that have ended at once
      sent.done.then(settled, settled);
    }
  }
  for (;;) {
    const asked = channel.ask('stop').catch(() => null);
    const answer = (await Promise.race([asked, delay(patience)])) as Answer | null | undefined;
    if (!answer || answer.busy || answer.ended) {
      return !answer?.ended;
    }
    // a cell that the kernel has not begun: an interrupt now would miss it
    if (!waiting) {
      return false;
    }
    await delay(AGAIN_MS);
    if (control.of(panel)?.channel !== channel) {
      return false;
    }
  }
}

/** What nbllm/notebook/control.py says. */
interface Answer {
  ended: boolean;
  busy: boolean;
}

export const stop: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:stop',
  description: 'A command, a button and a shortcut that end a run and keep what it has made.',
  autoStart: true,
  requires: [INotebookTracker, IControl],
  optional: [ISettingRegistry, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    control: IControl,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null
  ) => {
    const settings = registry?.load(stop.id).catch(() => undefined);
    const pressed = new WeakSet<NotebookPanel>();
    app.commands.addCommand(STOP, {
      label: args => (args.toolbar ? '' : 'Stop Generating'),
      caption: 'End the run of this cell and keep what it has made',
      icon: args => (args.toolbar ? stopIcon : undefined),
      isVisible: args => !args.toolbar || control.current !== null,
      isEnabled: () => Boolean(notebooks.currentWidget?.sessionContext.session?.kernel),
      execute: async () => {
        const panel = notebooks.currentWidget;
        const kernel = panel?.sessionContext.session?.kernel;
        if (!panel || !kernel) {
          return;
        }
        // a second press would stop what comes after the run that the first one ends
        if (pressed.has(panel)) {
          return;
        }
        pressed.add(panel);
        try {
          const patience = (await settings)?.get('patience').composite as number | undefined;
          if (await needsInterrupt(control, panel, patience ?? PATIENCE_MS)) {
            await kernel.interrupt();
          }
        } finally {
          pressed.delete(panel);
        }
      }
    });
    palette?.addItem({ command: STOP, category: 'nbllm' });
    control.changed.connect(() => app.commands.notifyCommandChanged(STOP));
    notebooks.currentChanged.connect(() => app.commands.notifyCommandChanged(STOP));
  }
};
