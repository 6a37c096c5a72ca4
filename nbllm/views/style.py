"""The views' CSS. Every rule is scoped to our own class; it travels with each output.

A page has one style sheet of every output on it, in any order: a rule of one kind of view names that
kind, so that the others stay as they are.

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
    " table": "color:inherit;border-collapse:collapse;table-layout:auto;margin:0;font-size:inherit;width:auto",
    " tr:nth-child(n)": "background:none",
    " td": "text-align:start;vertical-align:top;padding:.35em 1.2em .35em 0;border:0",
    " th": "text-align:start;padding:.35em 1.2em .35em 0;border:0;font-weight:normal;opacity:.62",
    " td .nbllm-prompt": "min-width:10em",
    " tbody tr": "border-top:1px solid rgba(128,128,128,.3)",
    " td .nbllm-note": "margin-top:.1em",
    " summary": "cursor:pointer",
    " .nbllm-fold[open]>summary>pre": "display:none",
    " .nbllm-fold[open]>summary::after": "content:'less';opacity:.62;font-size:85%",
    " progress": "vertical-align:middle;width:14em",
}

_SHADES = {
    f" .nbllm-p{level}": f"background:rgba(235,120,20,{0.08 * level:.2f})" for level in range(1, 10)
}

_CHECKED = ":has(.nbllm-by-entropy :checked) .nbllm-tokens"
_ENTROPY = {f"{_CHECKED} span": "background:none"} | {
    f"{_CHECKED} .nbllm-e{level}": f"background:rgba(60,130,245,{0.08 * level:.2f})"
    for level in range(1, 10)
}

_LINE = "border-inline-start:1px solid rgba(128,128,128,.5)"
_BEAM = {
    " .nbllm-same": "opacity:.5",
    " td b": "font-weight:600;border-radius:2px;background:rgba(60,130,245,.28)",
    " tbody th": "text-align:end;vertical-align:top;padding-inline-end:.8em",
    " td:nth-child(n+3)": "white-space:nowrap;font-variant-numeric:tabular-nums;opacity:.8",
    " thead th": "white-space:nowrap",
    " .nbllm-legend": "white-space:normal",
    " details": "margin-top:.8em",
    " summary": "cursor:pointer;opacity:.62;font-size:85%",
    " ul": "list-style:none;margin:0;padding:0",
    " li": "margin:0;padding:0",
    " details>ul": "margin:.4em 0;overflow-x:auto",
    # a line down to the last branch, an elbow to each
    " ul ul:not(.nbllm-left)>li": (
        f"position:relative;margin-inline-start:.6em;padding:.1em 0 .1em 1.4em;{_LINE}"
    ),
    " ul ul:not(.nbllm-left)>li:last-child": "border-color:transparent",
    " ul ul:not(.nbllm-left)>li::before": (
        "content:'';position:absolute;inset-inline-start:-1px;top:0;height:.9em;width:1em;"
        f"border-bottom:1px solid rgba(128,128,128,.5);{_LINE}"
    ),
    " .nbllm-left": f"margin-inline-start:.6em;padding:.1em 0 .1em 1.4em;{_LINE}",
    " .nbllm-left:last-child": "border-color:transparent",
    " .nbllm-left li": "opacity:.62;font-size:85%",
    " .nbllm-run": (
        "font-family:var(--jp-code-font-family,ui-monospace,monospace);white-space:pre-wrap;"
        "unicode-bidi:isolate;border-radius:3px;padding:.1em .3em;color:inherit;font-size:inherit;"
        "background:rgba(128,128,128,.13)"
    ),
    " .nbllm-run i": "opacity:.62",
    " .nbllm-share": (
        "display:inline-block;min-width:2.6em;text-align:end;opacity:.62;font-size:85%;"
        "font-variant-numeric:tabular-nums"
    ),
    " .nbllm-end": "border-radius:3px;padding:.1em .4em;background:rgba(60,130,245,.28)",
    " [title]": "cursor:default",
}


_TABLES = {
    "": "max-width:none;overflow-x:auto",
    " .nbllm-figure": "text-align:end;white-space:nowrap;font-variant-numeric:tabular-nums",
    " meter": "width:5em;vertical-align:middle",
    " td pre": "max-width:32em",
    " td pre+.nbllm-note+pre": "margin-top:.6em",
    " .nbllm-remark": "max-width:32em;font-size:92%;overflow-wrap:break-word",
    " .nbllm-caption": "white-space:normal",
}


def _css(rules: dict[str, str], kind: str = "") -> str:
    scope = f"div.nbllm.nbllm{kind}"
    return "\n".join(f"{scope}{where}{{{what}}}" for where, what in rules.items()) + "\n"


STYLE = _css(_RULES)
"""Of every view."""

TOKENS = _css(_SHADES | {" .nbllm-tokens span": "border-radius:2px;cursor:default"})
"""Added where tokens are shaded: the less likely the token, the stronger."""

ENTROPY = _css(_ENTROPY | {" .nbllm-by-entropy": "display:block;cursor:pointer"})
"""Added where a box chooses the other shade: the less sure the model, the stronger."""

BEAMS = _css(_BEAM, ".nbllm-beam")
"""Added where sequences of a beam search are shown."""

TABLES = _css(_TABLES, ".nbllm-wide")
"""Added where scores, choices or settings stand side by side."""
