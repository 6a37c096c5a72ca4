"""Completions as HTML: no script, everything escaped, the same bytes for the same data.

It reads without its style sheet too: GitHub, and notebooks that are not trusted, remove it.
"""

from __future__ import annotations

from html import escape
from typing import Any

from .style import ENTROPY, STYLE, TOKENS
from .tokens import ENTROPY_TOGGLE, knows_entropy, tokens
from .visible import shortened, visible

MAX_TEXT = 800
"""A table's longer texts are folded."""


def html(data: dict[str, Any]) -> str:
    """One completion: the prompt and what follows it. Several: a table."""
    outputs = data["outputs"]
    one = len(outputs) == 1 and len(outputs[0]["completions"]) == 1
    body = _one(outputs[0], data["kind"]) if one else _table(outputs)
    if data.get("omitted"):
        body += f'<div class="nbllm-note">… and {data["omitted"]} more in the frame</div>'
    shaded = [c["tokens"] for o in outputs for c in o["completions"] if "tokens" in c]
    style = STYLE + (TOKENS if shaded else "")
    if any(map(knows_entropy, shaded)):
        style, body = style + ENTROPY, body + ENTROPY_TOGGLE
    return f'<div class="nbllm"><style>{style}</style>{body}</div>'


def _one(output: dict[str, Any], kind: str) -> str:
    completion = output["completions"][0]
    # a chat shows its question in the cell; a completion reads as one text with its prompt
    prompt = "" if kind == "chat" else f'<span class="nbllm-prompt">{_prompt(output)}</span>'
    return f'{pre(prompt + text_of(completion))}<div class="nbllm-note">{note_of(completion)}</div>'


def _table(outputs: list[dict[str, Any]]) -> str:
    if not outputs:
        return '<div class="nbllm-note">nothing was generated</div>'
    named = "setting" in outputs[0]
    # of a grid over one prompt, the prompt is said once
    several = len(outputs) > 1 and not (named and len({o["prompt"] for o in outputs}) == 1)
    numbered = any(len(output["completions"]) > 1 for output in outputs)
    head = ["prompt"] * several + ["setting"] * named + ["output"] * numbered + ["text", ""]
    rows = "".join(_rows(output, several, numbered) for output in outputs)
    above = "" if several else pre(_prompt(outputs[0]), "nbllm-prompt")
    cells = "".join(f"<th>{name}</th>" for name in head)
    return f"{above}<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"


def _rows(output: dict[str, Any], with_prompt: bool, numbered: bool) -> str:
    completions, rows = output["completions"], []
    for i, completion in enumerate(completions):
        cells = [f"<td>{completion['output']}</td>"] if numbered else []
        cells.append(f"<td>{_folded(completion)}</td>")
        cells.append(f'<td><div class="nbllm-note">{note_of(completion)}</div></td>')
        span = f' rowspan="{len(completions)}"' if len(completions) > 1 else ""
        if "setting" in output and i == 0:
            cells.insert(0, f"<td{span}>{escape(visible(output['setting']))}</td>")
        if with_prompt and i == 0:
            cells.insert(0, f"<td{span}>{pre(_prompt(output), 'nbllm-prompt')}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(rows)


def _folded(completion: dict[str, Any]) -> str:
    """In a table a long text shows its beginning, and the rest when it is clicked on."""
    body, text = pre(text_of(completion)), visible(completion["text"])
    if len(text) <= MAX_TEXT:
        return body
    begin = f"{escape(text[: MAX_TEXT // 2])} …"
    return f'<details class="nbllm-fold"><summary>{pre(begin)}</summary>{body}</details>'


def pre(content: str, name: str = "") -> str:
    """Escaped text as it is, in its own direction."""
    # HTML drops one newline that opens a <pre>; this one, and none of the text's own
    attribute = f' class="{name}"' if name else ""
    return f'<pre dir="auto"{attribute}>\n{content}</pre>'


def _prompt(output: dict[str, Any]) -> str:
    return escape(shortened(visible(output["prompt"])))


def text_of(completion: dict[str, Any]) -> str:
    """A completion's text, token by token where that is known."""
    if "tokens" in completion:
        return f'<span class="nbllm-tokens">{tokens(completion["tokens"])}</span>'
    return escape(visible(completion["text"]))


def note_of(completion: dict[str, Any]) -> str:
    """How it ended, and how long it is."""
    count = completion["num_tokens"]
    size = f"{count:,} token{'' if count == 1 else 's'}"
    # the words of the frame's finish_reason column
    return (
        f"{escape(completion['finish_reason'])} · {size}" if completion["finish_reason"] else size
    )
