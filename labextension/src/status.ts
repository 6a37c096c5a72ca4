/** The status bar: which model there is, and how fast it generates. A click opens the panel. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Widget } from '@lumino/widgets';
import { IControl } from './control';
import { currentModel, Model, speedOf } from './model';
import { SHOW_PANEL } from './panel';
import { speed } from './units';
import { element } from './view/element';
import { oneLine } from './view/visible';

class StatusItem extends Widget {
  private readonly button = element('button', 'nbllm-status-button');

  constructor(
    private readonly control: IControl,
    open: () => void
  ) {
    super();
    this.addClass('nbllm-status');
    this.button.type = 'button';
    this.button.addEventListener('click', open);
    this.node.append(this.button);
    control.changed.connect(this.draw, this);
    this.draw();
  }

  private draw(): void {
    const model = currentModel(this.control.current?.status ?? null);
    this.button.textContent = model
      ? `${oneLine(model.name)} · ${doing(model)}`
      : 'nbllm · no model';
    this.button.title = 'nbllm: show the engine';
    this.button.ariaLabel = `nbllm: ${this.button.textContent}; show the engine`;
  }
}

function doing(model: Model): string {
  if (model.num_requests) {
    return speed(speedOf(model));
  }
  return model.asleep ? 'asleep' : 'idle';
}

export const status: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:status',
  description: 'An item of the status bar: the model, and its tokens per second.',
  autoStart: true,
  requires: [IControl],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, control: IControl, statusBar: IStatusBar | null) => {
    statusBar?.registerStatusItem(status.id, {
      item: new StatusItem(control, () => void app.commands.execute(SHOW_PANEL)),
      align: 'left',
      rank: 5,
      isActive: () => control.current !== null,
      activeStateChanged: control.changed
    });
  }
};
