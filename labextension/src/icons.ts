/** Icons in JupyterLab's colours. */
import { LabIcon } from '@jupyterlab/ui-components';

const svg = (shapes: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">${shapes}</svg>`;

/** A text that forks: the engine. */
export const engineIcon = new LabIcon({
  name: 'nbllm:engine',
  svgstr: svg(
    `<g class="jp-icon3 jp-icon-selectable" fill="#616161">
      <circle cx="4.5" cy="12" r="2.5"/><circle cx="12" cy="12" r="2.5"/>
      <circle cx="19.5" cy="5" r="2.5"/><circle cx="19.5" cy="12" r="2.5"/><circle cx="19.5" cy="19" r="2.5"/>
    </g>
    <path class="jp-icon3 jp-icon-selectable-inverse" fill="none" stroke="#616161" stroke-width="1.6"
      d="M4.5 12H19.5M12 12L19.5 5M12 12L19.5 19"/>`
  )
});

/** Lines of text, and the sign for stop. */
export const stopIcon = new LabIcon({
  name: 'nbllm:stop',
  svgstr: svg(
    `<g class="jp-icon3" fill="#616161">
      <path d="M3 4h18v2H3zM3 9h7v2H3zM3 14h7v2H3zM3 19h7v2H3z"/><path d="M12.5 11h9v9h-9z"/>
    </g>`
  )
});
