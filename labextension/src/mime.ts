/**
 * Draws results in JupyterLab: in a cell that runs, and in a saved notebook without a kernel.
 *
 *   mime.ts ── view/draw.ts ── completions.ts    prompts and completions ── tokens.ts ── alternatives.ts
 *          │               ├── beam/             sequences and the tree of a search
 *          │               ├── table/            scores, choices, comparisons
 *          │               └── conversation.ts   messages
 *          └── view/html.ts                      kinds of a newer nbllm: their HTML, as JupyterLab draws it
 */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { draw, isOfAnotherKind } from './view/draw';
import { htmlElement } from './view/html';

const MIME_TYPE = 'application/vnd.nbllm.v1+json';

class ResultWidget extends Widget implements IRenderMime.IRenderer {
  constructor(private readonly options: IRenderMime.IRendererOptions) {
    super();
    this.addClass('nbllm-result');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data: unknown = model.data[MIME_TYPE];
    const html = joined(model.data['text/html']);
    if (isOfAnotherKind(data) && html !== undefined) {
      this.node.replaceChildren(htmlElement(html, model.trusted, this.options.sanitizer));
    } else {
      this.node.replaceChildren(...draw(data, joined(model.data['text/plain'])));
    }
  }
}

/** The text of a mime type; a notebook may hold it as a list of lines. */
function joined(text: unknown): string | undefined {
  const whole: unknown = Array.isArray(text) ? text.join('') : text;
  return typeof whole === 'string' ? whole : undefined;
}

const extension: IRenderMime.IExtension = {
  id: 'nbllm:result',
  rendererFactory: {
    // text only, whatever the model wrote, or sanitized: drawn in notebooks that are not trusted, too
    safe: true,
    mimeTypes: [MIME_TYPE],
    createRenderer: options => new ResultWidget(options)
  },
  // before text/html (50), after live widgets (-10)
  rank: 40
};

export default extension;
