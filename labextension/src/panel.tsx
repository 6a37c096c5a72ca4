/** The side panel: what the engine of the notebook in focus holds and does, and buttons to change it. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, ReactWidget, showErrorMessage, UseSignal } from '@jupyterlab/apputils';
import React from 'react';
import { IControl, Link } from './control';
import { engineIcon } from './icons';
import { ModelView } from './panel/model';
import { Ask } from './panel/requests';

export const SHOW_PANEL = 'nbllm:show-engine';

class EnginePanel extends ReactWidget {
  constructor(private readonly control: IControl) {
    super();
    this.id = 'nbllm-engine';
    this.addClass('nbllm-panel');
    this.title.icon = engineIcon;
    this.title.caption = 'nbllm: the engine of the notebook in focus';
  }

  protected override render(): React.JSX.Element {
    return (
      <UseSignal signal={this.control.changed}>
        {() => <Body link={this.control.current} />}
      </UseSignal>
    );
  }
}

function Body({ link }: { link: Link | null }): React.JSX.Element {
  if (!link) {
    return <Hint>Load nbllm in a notebook, with %load_ext nbllm, to see its engine here.</Hint>;
  }
  const { models, current } = link.status;
  const ask: Ask = (name, details) => {
    link.channel.ask(name, details).catch(error => void showErrorMessage('nbllm', error.message));
  };
  if (!models.length) {
    return <Hint>No model is loaded; %nbllm load MODEL, or the first prompt, loads one.</Hint>;
  }
  return (
    <>
      {models.map(model => (
        <ModelView
          key={model.name}
          model={model}
          speeds={model.name === current ? link.speeds : null}
          several={models.length > 1}
          ask={ask}
        />
      ))}
    </>
  );
}

function Hint({ children }: { children: React.ReactNode }): React.JSX.Element {
  return <p className="nbllm-hint">{children}</p>;
}

export const panel: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:panel',
  description: 'A side panel with the state of the engine of the notebook in focus.',
  autoStart: true,
  requires: [IControl],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    control: IControl,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const widget = new EnginePanel(control);
    app.shell.add(widget, 'right', { rank: 700, type: 'nbllm' });
    restorer?.add(widget, widget.id);
    app.commands.addCommand(SHOW_PANEL, {
      label: 'Show nbllm Engine',
      caption: 'Model, memory, cache, speed and running requests of the notebook in focus',
      icon: engineIcon,
      execute: () => app.shell.activateById(widget.id)
    });
    palette?.addItem({ command: SHOW_PANEL, category: 'nbllm' });
  }
};
