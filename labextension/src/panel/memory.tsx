/** What the memory of the model's device is used for, as a bar and in numbers. */
import React from 'react';
import { Model } from '../model';
import { bytes } from '../units';

export function Memory({ model }: { model: Model }): React.JSX.Element {
  const parts = partsOf(model);
  const total = parts.reduce((sum, part) => sum + part.size, 0);
  return (
    <>
      <h3>Memory</h3>
      <div className="nbllm-memory" role="presentation">
        {parts.map(({ name, size }) => (
          <span key={name} data-part={name} style={{ flexGrow: size / total }} />
        ))}
      </div>
      <dl>
        {parts.map(({ name, size }) => (
          <div key={name} data-part={name}>
            <dt>{name}</dt>
            <dd>{bytes(size)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function partsOf(model: Model): { name: string; size: number }[] {
  const { weights, tables, kv_cache } = model.memory;
  // asleep on a GPU, they are on the host
  const away = model.asleep && model.device !== 'cpu';
  const own = [
    { name: model.adopted ? 'tables' : 'weights', size: away ? 0 : weights + tables },
    { name: 'KV cache', size: kv_cache }
  ];
  const { free, total } = model.device_memory;
  if (free === undefined || total === undefined) {
    return own;
  }
  const mine = own.reduce((sum, part) => sum + part.size, 0);
  // of a CPU's cache what was never written takes no memory
  const others = { name: 'others', size: Math.max(0, total - free - mine) };
  return [...own, others, { name: 'free', size: free }];
}
