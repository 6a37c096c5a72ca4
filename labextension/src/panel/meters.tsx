/** How fast a model generates, and how full its caches are. */
import React from 'react';
import { Model, speedOf } from '../model';
import { bytes, percent, speed } from '../units';

export function Speed({
  model,
  speeds
}: {
  model: Model;
  speeds: readonly number[];
}): React.JSX.Element {
  const most = Math.max(1, ...speeds);
  const points = speeds.map((value, i) => `${60 - speeds.length + i},${20 - (19 * value) / most}`);
  const now = model.num_requests ? speed(speedOf(model)) : 'idle';
  return (
    <div className="nbllm-speed">
      <h3>Speed</h3>
      <output>{now}</output>
      <svg
        viewBox="0 0 60 21"
        preserveAspectRatio="none"
        role="img"
        aria-label={`Tokens per second lately, at most ${speed(most)}`}
      >
        <polyline points={points.join(' ')} />
      </svg>
      <small>{model.generation_tokens.toLocaleString()} tokens generated</small>
    </div>
  );
}

export function Caches({ model }: { model: Model }): React.JSX.Element {
  const { num_used_pages: used, num_pages: all } = model;
  const { prefix_cache_queries: asked, prefix_cache_hits: hits } = model;
  return (
    <>
      <h3>KV cache</h3>
      <meter value={used} max={all} aria-label="Pages of the KV cache in use" />
      <p className="nbllm-facts">
        {used.toLocaleString()} of {all.toLocaleString()} pages in use, at most{' '}
        {bytes(model.kv_cache_bound)}
      </p>
      <h3>Prefix cache</h3>
      <meter
        value={hits}
        max={Math.max(1, asked)}
        aria-label="Prompt tokens found in the prefix cache"
      />
      <p className="nbllm-facts">
        {asked
          ? `${percent(hits, asked)} of ${asked.toLocaleString()} prompt tokens were there`
          : 'no prompt yet'}
      </p>
    </>
  );
}
