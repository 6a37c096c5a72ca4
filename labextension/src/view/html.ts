/** HTML that came with a result, treated as JupyterLab treats every HTML output. */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';

/** What is not trusted loses its style sheet, and whatever could do more than show text. */
export function htmlElement(
  html: string,
  trusted: boolean,
  sanitizer: IRenderMime.ISanitizer
): HTMLElement {
  const node = document.createElement('div');
  node.className = 'jp-RenderedHTMLCommon';
  node.innerHTML = trusted ? html : sanitizer.sanitize(html);
  return node;
}
