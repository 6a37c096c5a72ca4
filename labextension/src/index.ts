/**
 * nbllm in JupyterLab and Notebook 7: a plugin a file, which users can switch off one by one.
 *
 *   control.ts       which kernels have nbllm ── channel.ts, the comm `nbllm.control`
 *   stop.ts          ends a run and keeps what it has made
 *   status.ts        model and speed in the status bar
 *   panel.tsx        what the engine holds and does, in a side panel ── panel/
 *   highlight.ts     prompt cells as Markdown with templates ── highlight/
 *   diagnostics.ts   no Python diagnostics in them
 *   completer.ts     flags, values and templates in them
 *   convert.ts       makes one of what is selected
 *   over.ts          runs one over a DataFrame
 *   mime.ts          draws results, with or without a kernel; a plugin of its own kind
 */
import { completer } from './completer';
import { control } from './control';
import { convert } from './convert';
import { diagnostics } from './diagnostics';
import { highlight } from './highlight';
import { over } from './over';
import { panel } from './panel';
import { status } from './status';
import { stop } from './stop';

export default [completer, control, convert, diagnostics, highlight, over, panel, status, stop];
