/** A line of numbers over time, small, with the latest and the highest in words. */
import { element } from "./element.js";

const WIDTH = 240;
const HEIGHT = 36;
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {number[]} values oldest first
 * @param {string} unit
 */
export function sparkline(values, unit) {
  const top = Math.max(...values, 0);
  const now = values.at(-1) ?? 0;
  const words = `${rounded(now)} ${unit}, highest ${rounded(top)}`;
  const points = values.map((value, i) => {
    const x = (i / Math.max(1, values.length - 1)) * WIDTH;
    const y = HEIGHT - 1 - (top ? value / top : 0) * (HEIGHT - 2);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  svg.setAttribute("class", "nbllm-sparkline");
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  const node = element("div", "nbllm-speed-line", element("span", "nbllm-facts", words));
  node.prepend(svg);
  return node;
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value).toLocaleString();
}
