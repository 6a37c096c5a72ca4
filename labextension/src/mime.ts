/**
 * Draws results in JupyterLab: in a cell that runs, and in a saved notebook without a kernel.
 *
 *   mime.ts ── view/result.ts     is this a result we know?
 *          └── view/draw.ts       prompts ── view/completion.ts ── view/tokens.ts ── view/alternatives.ts
 */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { draw, drawUnknown } from './view/draw';
import { isResult } from './view/result';

const MIME_TYPE = 'application/vnd.nbllm.v1+json';

class ResultWidget extends Widget implements IRenderMime.IRenderer {
  constructor() {
    super();
    this.addClass('nbllm-result');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data: unknown = model.data[MIME_TYPE];
    this.node.replaceChildren(
      ...(isResult(data) ? draw(data) : drawUnknown(data, model.data['text/plain']))
    );
  }
}

const extension: IRenderMime.IExtension = {
  id: 'nbllm:result',
  rendererFactory: {
    // text only, whatever the model wrote: drawn in notebooks that are not trusted, too
    safe: true,
    mimeTypes: [MIME_TYPE],
    createRenderer: () => new ResultWidget()
  },
  // before text/html (50), after live widgets (-10)
  rank: 40
};

export default extension;
