/** What a model has to do, with a button that ends each. */
import React from 'react';
import { Model, Request } from '../model';
import { oneLine } from '../view/visible';

/** Asks the kernel for something about a model; mistakes are shown. */
export type Ask = (name: string, details: { model: string; request_id?: string }) => void;

export function Requests({ model, ask }: { model: Model; ask: Ask }): React.JSX.Element {
  const more = model.num_requests - model.requests.length;
  return (
    <>
      <h3>
        Requests <small>{model.num_requests || 'none'}</small>
      </h3>
      <ul className="nbllm-requests">
        {model.requests.map(request => (
          <RequestView key={request.request_id} request={request} model={model.name} ask={ask} />
        ))}
        {more > 0 && <li>… and {more.toLocaleString()} more</li>}
      </ul>
    </>
  );
}

function RequestView(props: { request: Request; model: string; ask: Ask }): React.JSX.Element {
  const { request_id, state, prompt, num_tokens, max_tokens } = props.request;
  const said = oneLine(prompt);
  return (
    <li>
      <bdi title={said}>{said}</bdi>
      <button
        aria-label={`Stop ${said}`}
        title="End this request and keep what it has made"
        onClick={() => props.ask('abort', { model: props.model, request_id })}
      >
        Stop
      </button>
      <progress value={num_tokens} max={max_tokens} aria-label={`Tokens of ${said}`} />
      <small>
        {state}, {num_tokens.toLocaleString()} of {max_tokens.toLocaleString()}
      </small>
    </li>
  );
}
