/** An element with a class and children. Strings become text nodes, never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

/** An element that holds text from a user or a model: its own script gives the direction. */
export function textElement<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = element(tag, className, ...children);
  node.dir = 'auto';
  return node;
}

/** A line that says something about a result. */
export function note(text: string): HTMLElement {
  return element('div', 'nbllm-note', text);
}
