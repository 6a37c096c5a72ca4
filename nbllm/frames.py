"""Outputs as DataFrames. One name for one thing, in every frame, so that frames concatenate."""

from __future__ import annotations

from collections.abc import Iterable

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


def to_frame(outputs: RequestOutput | Iterable[RequestOutput]) -> pd.DataFrame:
    """One row per completion, in the order of the outputs.

    Columns: prompt (the text, or None when token ids were given), output (index of the completion
    within its prompt), text (generated), finish_reason, num_tokens (generated), cumulative_logprob.
    """
    if isinstance(outputs, RequestOutput):
        outputs = [outputs]
    rows = [
        (o.prompt, c.index, c.text, c.finish_reason, len(c.token_ids), c.cumulative_logprob)
        for o in outputs
        for c in o.outputs
    ]
    # with rows pandas finds the types itself, and keeps None where there is no text
    return pd.DataFrame(rows, columns=list(COLUMNS)) if rows else _empty()


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
