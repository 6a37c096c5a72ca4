"""Conversations: data, plain text and HTML. No script, the same bytes for the same data.

    {"version": 1, "kind": "conversation", "messages": [
        {"role": str, "content": str, "reasoning": str (where there is some),
         "completion": {"text", "finish_reason", "num_tokens", "cumulative_logprob", "tokens"} (what the
         model made, as in data.py)}],
     "omitted": int}

The latest `MAX_MESSAGES` are shown; "omitted" counts those before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

from ..outputs import CompletionOutput
from .data import MAX_TOKENS, completion_data
from .html import note_of, pre, text_of
from .style import STYLE, TOKENS
from .visible import one_line, visible

MAX_MESSAGES = 100

Data = dict[str, Any]


class Turn(Protocol):
    """A message. completion: what the model made; None for what a person wrote."""

    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...
    @property
    def completion(self) -> CompletionOutput | None: ...


def conversation(turns: Sequence[Turn]) -> Data:
    """The dictionary above."""
    room, messages = MAX_TOKENS, []
    for turn in turns[-MAX_MESSAGES:]:
        room -= len((turn.completion and turn.completion.logprobs) or ())
        messages.append(message(turn, with_tokens=room >= 0))
    data: Data = {"version": 1, "kind": "conversation", "messages": messages}
    omitted = len(turns) - len(messages)
    return {**data, "omitted": omitted} if omitted else data


def message(turn: Turn, *, with_tokens: bool) -> Data:
    """One of "messages"."""
    said: Data = {"role": turn.role, "content": turn.content}
    if (made := turn.completion) is not None:
        # with reasoning, the tokens are those of a longer text
        entry = completion_data(made, with_tokens=with_tokens and made.text == turn.content)
        del entry["output"]
        said["completion"] = {**entry, "text": turn.content}
        if reasoning := made.reasoning:
            said["reasoning"] = reasoning
    return said


def plain(data: Data) -> str:
    """For terminals: each message behind its role."""
    lines = [f"… {data['omitted']} earlier messages"] if data.get("omitted") else []
    lines += [f"{one_line(m['role'])}: {visible(m['content'])}" for m in data["messages"]]
    return "\n".join(lines) or "nothing was said"


def html(data: Data) -> str:
    """One message below the other; reasoning is folded."""
    parts = [_html(message) for message in data["messages"]] or [_note("nothing was said")]
    if data.get("omitted"):
        parts.insert(0, _note(f"… {data['omitted']} earlier messages"))
    shaded = any("tokens" in m.get("completion", {}) for m in data["messages"])
    style = STYLE + TOKENS * shaded
    return f'<div class="nbllm"><style>{style}</style>{"".join(parts)}</div>'


def _html(message: Data) -> str:
    made = message.get("completion")
    said = text_of(made) if made else escape(visible(message["content"]))
    thoughts = ""
    if "reasoning" in message:
        text = pre(escape(visible(message["reasoning"])))
        thoughts = f"<details><summary>reasoning</summary>{text}</details>"
    note = f'<div class="nbllm-note">{note_of(made)}</div>' if made else ""
    return f"<p><b>{escape(one_line(message['role']))}</b></p>{thoughts}{pre(said)}{note}"


def _note(text: str) -> str:
    return f'<div class="nbllm-note">{escape(text)}</div>'
