/**
 * An element with a class and children. Strings become text nodes, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

/**
 * An element that holds text from a user or a model: its own script gives the direction.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function textElement(tag, className, ...children) {
  const node = element(tag, className, ...children);
  node.dir = "auto";
  return node;
}

/**
 * A button. label: all of its name, where the text alone says too little; it begins with the text, so
 * that who speaks to the page can say what they see.
 * @param {string} text
 * @param {() => void} onClick
 * @param {string} [label]
 */
export function button(text, onClick, label) {
  const node = element("button", "nbllm-button", text);
  node.type = "button";
  node.addEventListener("click", onClick);
  if (label) {
    node.ariaLabel = node.title = label;
  }
  return node;
}

/**
 * The head of a table. Columns of numbers are aligned as their numbers are.
 * @param {string[]} names
 * @param {string[]} numbers those of them that are numbers
 */
export function tableHead(names, numbers) {
  const cells = names.map(name => {
    const cell = element("th", numbers.includes(name) ? "nbllm-number" : "", name);
    cell.scope = "col";
    return cell;
  });
  return element("thead", "", element("tr", "", ...cells));
}
