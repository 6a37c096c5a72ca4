"""Outputs as DataFrames. One name for one thing, in every frame, so that frames concatenate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from .outputs import RequestOutput

COLUMNS = {
    "prompt": "str",
    "output": "int64",
    "text": "str",
    "finish_reason": "str",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
}
MESSAGE_COLUMNS = ("reasoning", "content", "tool_calls")


def to_frame(outputs: RequestOutput | Iterable[RequestOutput]) -> pd.DataFrame:
    """One row per completion, in the order of the outputs.

    Columns: prompt (the text, or None when token ids were given), output (index of the completion
    within its prompt), text (generated), finish_reason, num_tokens (generated), cumulative_logprob.
    Where an answer of a chat holds reasoning or tool calls: also reasoning, content and tool_calls.
    """
    if isinstance(outputs, RequestOutput):
        outputs = [outputs]
    made = [(o.prompt, c) for o in outputs for c in o.outputs]
    rows = [
        (prompt, c.index, c.text, c.finish_reason, len(c.token_ids), c.cumulative_logprob)
        for prompt, c in made
    ]
    # with rows pandas finds the types itself, and keeps None where there is no text
    frame = pd.DataFrame(rows, columns=list(COLUMNS)) if rows else _empty()
    return frame.assign(**_messages([c.message or {} for _, c in made]))


def _messages(messages: list[dict[str, Any]]) -> dict[str, pd.Series]:
    """Their columns, if any of them says more than its text."""
    if not any(m.get("reasoning") or m.get("tool_calls") for m in messages):
        return {}
    return {
        name: pd.Series([m.get(name) for m in messages], dtype=object) for name in MESSAGE_COLUMNS
    }


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
