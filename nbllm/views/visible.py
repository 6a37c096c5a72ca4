"""Model output is untrusted text: what would steer a terminal or reorder a line is shown instead."""

from __future__ import annotations


def _replacements() -> dict[int, str]:
    controls = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    controls[0x7F] = "\u2421"
    c1 = {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    # explicit bidirectional embeddings, overrides and isolates, line separators, lone surrogates
    codes = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, *range(0xD800, 0xE000)]
    return controls | c1 | {code: f"\\u{code:04x}" for code in codes}


_REPLACEMENTS = _replacements()


def visible(text: str) -> str:
    """`text` with control characters, but newlines and tabs, replaced by something that can be seen.

    An escape byte becomes ␛, a right-to-left override `\\u202e`; right-to-left text itself is kept.
    """
    return text.translate(_REPLACEMENTS)


def one_line(text: str) -> str:
    """`visible(text)` on one line, with a sign for each newline and tab."""
    return visible(text).replace("\n", "⏎").replace("\t", "⇥")


def shortened(text: str, limit: int = 240) -> str:
    """`text` without its middle when it is long; its end, where the model goes on, matters most."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 3]} … {text[-(limit - limit // 3) :]}"
