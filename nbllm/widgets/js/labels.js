/** ipywidgets' sliders have no accessible names: each gets the text of the label beside it. */

const UNNAMED =
  '.widget-slider :is([role="slider"], .widget-readout[contenteditable]):not([aria-label])';

/**
 * @param {HTMLElement} panel
 * @returns {() => void} ends it
 */
export function labelSliders(panel) {
  const label = () => {
    for (const node of panel.querySelectorAll(UNNAMED)) {
      const name = node.closest(".widget-slider")?.querySelector(".widget-label")?.textContent;
      node.ariaLabel = name || "value";
      if (!node.role) {
        node.role = "textbox";
      }
    }
  };
  label();
  const observer = new MutationObserver(label);
  observer.observe(panel, { childList: true, subtree: true });
  return () => observer.disconnect();
}
