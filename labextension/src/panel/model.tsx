/** One model: what it is, does and holds, and buttons that give its memory back. */
import React from 'react';
import { Model } from '../model';
import { parameters } from '../units';
import { oneLine } from '../view/visible';
import { Memory } from './memory';
import { Caches, Speed } from './meters';
import { Ask, Requests } from './requests';

interface ModelProps {
  model: Model;
  /** null: it is not the current one. */
  speeds: readonly number[] | null;
  several: boolean;
  ask: Ask;
}

export function ModelView({ model, speeds, several, ask }: ModelProps): React.JSX.Element {
  const { name } = model;
  return (
    <section aria-label={`Model ${oneLine(name)}`}>
      <h2>
        {oneLine(name)}
        {several && speeds && <small>current</small>}
        {model.asleep && <small>asleep</small>}
      </h2>
      <p className="nbllm-facts">
        {oneLine(model.architecture)} · {parameters(model.num_parameters)} parameters ·{' '}
        {model.dtype} on {model.device} · {model.max_model_len.toLocaleString()} tokens of context
        {model.quantization && ` · ${oneLine(model.quantization)}`}
      </p>
      {speeds && <Speed model={model} speeds={speeds} />}
      <Requests model={model} ask={ask} />
      <Memory model={model} />
      <Caches model={model} />
      <p className="nbllm-buttons">
        {model.asleep ? (
          <button onClick={() => ask('wake', { model: name })}>Wake up</button>
        ) : (
          <button
            title="Give the memory back until the next generation"
            onClick={() => ask('sleep', { model: name })}
          >
            Sleep
          </button>
        )}
        <button title="Free all its memory" onClick={() => ask('unload', { model: name })}>
          Unload
        </button>
      </p>
    </section>
  );
}
