/** Completions: each prompt, and what the model made of it below. */
import { Alternatives } from './alternatives';
import { completionElement } from './completion';
import { element, note } from './element';
import { promptElement } from './prompt';
import { Output, Result } from './result';
import { visible } from './visible';

export function drawCompletions(result: Result): HTMLElement[] {
  const alternatives = new Alternatives();
  const blocks = result.outputs.map((output, i) => {
    // of a grid over one prompt, the prompt is said once
    const again = output.setting !== undefined && result.outputs[i - 1]?.prompt === output.prompt;
    return outputElement(output, again ? 'chat' : result.kind, alternatives);
  });
  if (blocks.length === 0) {
    blocks.push(note('no prompts'));
  }
  if (result.omitted) {
    blocks.push(note(`… and ${result.omitted.toLocaleString()} more in the frame`));
  }
  return [...blocks, alternatives.node];
}

function outputElement(
  output: Output,
  kind: Result['kind'],
  alternatives: Alternatives
): HTMLElement {
  const several = output.completions.length > 1;
  const completions = output.completions.map(completion =>
    completionElement(completion, several, alternatives)
  );
  // a chat shows its question in the cell
  const prompt = kind === 'chat' || !output.prompt ? [] : [promptElement(output.prompt)];
  const setting = output.setting === undefined ? [] : [note(visible(output.setting))];
  return element('section', 'nbllm-output', ...prompt, ...setting, ...completions);
}
