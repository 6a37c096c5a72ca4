"""The views' CSS. Every rule is scoped to our own class; it travels with each output.

No colour is absolute: text inherits its colour and lines are translucent, so that light, dark and
high-contrast themes need no rules of their own. Text is monospaced: spaces, code and tables in it
are part of what a model said. The doubled class outweighs JupyterLab's own rules for tables.
"""

_RULES = {
    "": "max-width:60em;line-height:1.45",
    " pre": (
        "margin:0;padding:0;border:0;background:none;color:inherit;font-size:inherit;"
        "font-family:var(--jp-code-font-family,ui-monospace,monospace);line-height:1.45;"
        "white-space:pre-wrap;word-break:normal;overflow-wrap:break-word;unicode-bidi:isolate"
    ),
    " .nbllm-prompt": "opacity:.62",
    " .nbllm-note": "opacity:.62;font-size:85%;margin-top:.3em;white-space:nowrap",
    " table": "border-collapse:collapse;table-layout:auto;margin:0;font-size:inherit;width:auto",
    " tr:nth-child(n)": "background:none",
    " td": "text-align:start;vertical-align:top;padding:.35em 1.2em .35em 0;border:0",
    " th": "text-align:start;padding:.35em 1.2em .35em 0;border:0;font-weight:normal;opacity:.62",
    " tbody tr": "border-top:1px solid rgba(128,128,128,.3)",
    " td .nbllm-note": "margin-top:.1em",
    " progress": "vertical-align:middle;width:14em",
}

_SHADES = {
    f" .nbllm-p{level}": f"background:rgba(235,120,20,{0.08 * level:.2f})" for level in range(1, 10)
}


def _css(rules: dict[str, str]) -> str:
    return "\n".join(f"div.nbllm.nbllm{where}{{{what}}}" for where, what in rules.items()) + "\n"


STYLE = _css(_RULES)
"""Of every view."""

TOKENS = _css(_SHADES | {" .nbllm-tokens span": "border-radius:2px;cursor:default"})
"""Added where tokens are shaded: the less likely the token, the stronger."""
