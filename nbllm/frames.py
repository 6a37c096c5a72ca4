"""Outputs as DataFrames. One name for one thing, in every frame, so that frames concatenate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from .errors import ParamError
from .outputs import ChoiceOutput, RequestOutput, ScoreOutput

COLUMNS = {
    "prompt": "str",
    "output": "int64",
    "text": "str",
    "finish_reason": "str",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
}
MESSAGE_COLUMNS = ("reasoning", "content", "tool_calls")


Output = RequestOutput | ScoreOutput | ChoiceOutput


def to_frame(outputs: Output | Iterable[Output]) -> pd.DataFrame:
    """Outputs as a tidy frame, in their order. All outputs must be of one kind.

    Of `generate` and `chat`, one row per completion: prompt (the text, or None when token ids were
    given), output (index of the completion within its prompt), text (generated), finish_reason,
    num_tokens (generated), cumulative_logprob. Where an answer of a chat holds reasoning or tool
    calls: also reasoning, content and tool_calls.
    Of `score`, one row per pair: prompt, continuation, num_tokens, cumulative_logprob, mean_logprob,
    perplexity, token_logprobs (a list).
    Of `choose`, one row per choice: prompt, choice, probability, rank (1 is the likeliest),
    num_tokens, cumulative_logprob, mean_logprob.
    """
    many = [outputs] if isinstance(outputs, Output) else list(outputs)
    kinds = {type(o) for o in many}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ParamError(f"to_frame takes outputs of one kind, got {names}")
    return FRAMES[kinds.pop() if kinds else RequestOutput](many)


def _completions(outputs: list[RequestOutput]) -> pd.DataFrame:
    made = [(o.prompt, c) for o in outputs for c in o.outputs]
    rows = [
        (prompt, c.index, c.text, c.finish_reason, len(c.token_ids), c.cumulative_logprob)
        for prompt, c in made
    ]
    # with rows pandas finds the types itself, and keeps None where there is no text
    frame = pd.DataFrame(rows, columns=list(COLUMNS)) if rows else _empty()
    return frame.assign(**_messages([c.message or {} for _, c in made]))


def _scores(outputs: list[ScoreOutput]) -> pd.DataFrame:
    rows = [
        {
            "prompt": o.prompt,
            "continuation": o.continuation,
            "num_tokens": len(o.token_ids),
            "cumulative_logprob": o.cumulative_logprob,
            "mean_logprob": o.mean_logprob,
            "perplexity": o.perplexity,
            "token_logprobs": o.logprobs,
        }
        for o in outputs
    ]
    return pd.DataFrame(rows)


def _choices(outputs: list[ChoiceOutput]) -> pd.DataFrame:
    rows = [
        {
            "prompt": o.prompt,
            "choice": o.choices[i],
            "probability": o.probabilities[i],
            "rank": 1 + sum(p > o.probabilities[i] for p in o.probabilities),
            "num_tokens": o.num_tokens[i],
            "cumulative_logprob": o.logprobs[i],
            "mean_logprob": o.logprobs[i] / o.num_tokens[i],
        }
        for o in outputs
        for i in range(len(o.choices))
    ]
    return pd.DataFrame(rows)


def _messages(messages: list[dict[str, Any]]) -> dict[str, pd.Series]:
    """Their columns, if any of them says more than its text."""
    if not any(m.get("reasoning") or m.get("tool_calls") for m in messages):
        return {}
    return {
        name: pd.Series([m.get(name) for m in messages], dtype=object) for name in MESSAGE_COLUMNS
    }


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})


FRAMES = {RequestOutput: _completions, ScoreOutput: _scores, ChoiceOutput: _choices}
