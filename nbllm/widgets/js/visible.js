/**
 * Model output is untrusted text: what would be invisible or reorder a line is shown instead.
 * The same replacements as in nbllm/views/visible.py.
 */

// C0 but tab and newline, DEL and C1, line separators, bidirectional controls, lone surrogates
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;

/**
 * `text` with control characters replaced: an escape byte becomes ␛, U+202E the six characters `\u202e`.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(HIDDEN, symbolOf);
}

/** @param {string} character */
function symbolOf(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) {
    return String.fromCharCode(0x2400 + code);
  }
  if (code === 0x7f) {
    return "\u2421";
  }
  const hex = code.toString(16);
  return code < 0x100 ? `\\x${hex}` : `\\u${hex.padStart(4, "0")}`;
}

/**
 * `text` on one line, with a sign for each newline and tab.
 * @param {string} text
 */
export function oneLine(text) {
  return visible(text).replaceAll("\n", "⏎").replaceAll("\t", "⇥");
}
