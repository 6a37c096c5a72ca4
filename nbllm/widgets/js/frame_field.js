/** A field for the name of a variable, and a button that makes it the widget's DataFrame. */
import { button, element } from "./element.js";

/**
 * @param {string} name what is in the field at first
 * @param {string} what the frame has, for the button's label
 * @param {import("./frame.js").Frame["act"]} act
 */
export function frameField(name, what, act) {
  const field = element("input", "nbllm-name");
  field.value = name;
  field.size = 12;
  field.ariaLabel = "variable for the DataFrame";
  const toFrame = () => act("frame", { name: field.value });
  field.addEventListener("keydown", event => event.key === "Enter" && toFrame());
  const press = button("to DataFrame", toFrame, `to DataFrame: ${what}, in this variable`);
  return { node: element("span", "nbllm-field", field, press), press };
}
