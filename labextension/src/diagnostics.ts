/** Keeps language servers for Python out of prompt cells: to them, what follows the magic is Markdown. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IExtractedCode, ILSPCodeExtractorsManager } from '@jupyterlab/lsp';
import { isPrompt, magicLine } from './prompt';

/** The prompt, without its magic line, and no line for the host language. */
function extract(source: string): IExtractedCode[] {
  const lines = source.split('\n');
  const begin = source.slice(0, magicLine(source)?.to ?? 0).split('\n').length;
  const end = { line: lines.length - 1, column: lines.at(-1)!.length };
  return [
    {
      foreignCode: lines.slice(begin).join('\n'),
      range: { start: { line: Math.min(begin, end.line), column: 0 }, end },
      virtualShift: null,
      hostCode: ''
    }
  ];
}

export const diagnostics: JupyterFrontEndPlugin<void> = {
  id: 'nbllm:diagnostics',
  description: 'Keeps language servers for Python out of prompt cells.',
  autoStart: true,
  optional: [ILSPCodeExtractorsManager],
  activate: (_: JupyterFrontEnd, extractors: ILSPCodeExtractorsManager | null) => {
    extractors?.register(
      {
        language: 'markdown',
        fileExtension: 'md',
        standalone: false,
        cellType: ['code'],
        hasForeignCode: isPrompt,
        extractForeignCode: extract
      },
      'python'
    );
  }
};
