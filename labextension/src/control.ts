/** Which notebooks' kernels have nbllm loaded, the channel to each, and what its engine does. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { Kernel } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Token } from '@lumino/coreutils';
import { ISignal, Signal } from '@lumino/signaling';
import { Channel } from './channel';
import { currentModel, speedOf, Status } from './model';
import { needsExtension } from './prompt';

/** A kernel that has nbllm loaded. */
export interface Link {
  channel: Channel;
  status: Status;
  /** Tokens per second of the current model, one a status, the latest last. */
  speeds: number[];
}

export interface IControl {
  /** To the kernel of the notebook in focus; null: nbllm is not loaded there. */
  readonly current: Link | null;
  /** `current` is another one, or its status has changed. */
  readonly changed: ISignal<IControl, void>;
  /** To the kernel of a notebook. */
  of(panel: NotebookPanel): Link | null;
}

export const IControl = new Token<IControl>(
  'nbllm:IControl',
  'What nbllm does in the kernels of notebooks, and what can be asked of it while a cell runs.'
);

const PERIOD_MS = 1000;
const MAX_SPEEDS = 60;

class Control implements IControl {
  private readonly links = new Map<Kernel.IKernelConnection, Link | null>();
  private readonly _changed = new Signal<this, void>(this);

  constructor(
    private readonly notebooks: INotebookTracker,
    private readonly period: () => number
  ) {
    notebooks.currentChanged.connect(() => this._changed.emit());
    notebooks.forEach(panel => this.watch(panel));
    notebooks.widgetAdded.connect((_, panel) => this.watch(panel));
    NotebookActions.executed.connect((_, { notebook, cell, success }) => {
      const panel = notebooks.find(each => each.content === notebook);
      if (panel && success && needsExtension(cell.model.sharedModel.getSource())) {
        void this.connect(kernelOf(panel));
      }
    });
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get current(): Link | null {
    const panel = this.notebooks.currentWidget;
    return panel && this.of(panel);
  }

  of(panel: NotebookPanel): Link | null {
    const kernel = kernelOf(panel);
    return (kernel && this.links.get(kernel)) ?? null;
  }

  private watch(panel: NotebookPanel): void {
    const session = panel.sessionContext;
    session.kernelChanged.connect((_, { newValue }) => void this.look(newValue));
    session.statusChanged.connect((_, status) => {
      if (status === 'restarting' || status === 'autorestarting') {
        this.drop(kernelOf(panel));
      }
    });
    void this.look(kernelOf(panel));
  }

  /** A kernel may have been there before this page. */
  private async look(kernel: Kernel.IKernelConnection | null): Promise<void> {
    if (kernel && !kernel.isDisposed && (await Channel.isKnown(kernel).catch(() => false))) {
      await this.connect(kernel);
    }
  }

  private async connect(kernel: Kernel.IKernelConnection | null): Promise<void> {
    if (!kernel || this.links.has(kernel)) {
      return;
    }
    // null: on its way, or nbllm is not there after all
    this.links.set(kernel, null);
    kernel.disposed.connect(() => this.drop(kernel));
    try {
      const channel = await Channel.open(kernel, this.period(), {
        status: status => this.told(kernel, channel, status),
        gone: () => this.drop(kernel)
      });
    } catch {
      // it has gone meanwhile
      this.drop(kernel);
    }
  }

  private told(kernel: Kernel.IKernelConnection, channel: Channel, status: Status): void {
    const before = this.links.get(kernel);
    const model = currentModel(status);
    const same = before && model && model.name === currentModel(before.status)?.name;
    const speeds = [...(same ? before.speeds : []), ...(model ? [speedOf(model)] : [])];
    this.links.set(kernel, { channel, status, speeds: speeds.slice(-MAX_SPEEDS) });
    this._changed.emit();
  }

  private drop(kernel: Kernel.IKernelConnection | null): void {
    const link = kernel && this.links.get(kernel);
    if (kernel && this.links.delete(kernel)) {
      link?.channel.end();
      this._changed.emit();
    }
  }
}

function kernelOf(panel: NotebookPanel): Kernel.IKernelConnection | null {
  return panel.sessionContext.session?.kernel ?? null;
}

export const control: JupyterFrontEndPlugin<IControl> = {
  id: 'nbllm:control',
  description: 'Talks to the kernels of notebooks that have nbllm loaded.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ISettingRegistry],
  provides: IControl,
  activate: (
    _: JupyterFrontEnd,
    notebooks: INotebookTracker,
    registry: ISettingRegistry | null
  ) => {
    let settings: ISettingRegistry.ISettings | undefined;
    registry?.load(control.id).then(
      loaded => (settings = loaded),
      () => undefined
    );
    const period = () => settings?.get('period').composite as number | undefined;
    return new Control(notebooks, () => period() ?? PERIOD_MS);
  }
};
