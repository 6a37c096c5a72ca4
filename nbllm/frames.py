"""Outputs as DataFrames. One name for one thing, in every frame, so that frames concatenate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from .beams import History
from .errors import ParamError
from .outputs import (
    BeamSearchOutput,
    ChoiceOutput,
    Logprob,
    RequestOutput,
    ScoreOutput,
    entropy,
    likeliest,
)

COLUMNS = {
    "prompt": "str",
    "output": "int64",
    "text": "str",
    "finish_reason": "str",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
    "mean_logprob": "float64",
}
TOKEN_COLUMNS = {
    "prompt": "str",
    "output": "int64",
    "position": "int64",
    "token": "str",
    "token_id": "int64",
    "logprob": "float64",
    "rank": "Int64",
    "entropy": "float64",
    "top_tokens": "object",
    "top_logprobs": "object",
}
SCORE_COLUMNS = {
    "prompt": "str",
    "continuation": "str",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
    "mean_logprob": "float64",
    "perplexity": "float64",
    "token_logprobs": "object",
}
CHOICE_COLUMNS = {
    "prompt": "str",
    "choice": "str",
    "probability": "float64",
    "rank": "int64",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
    "mean_logprob": "float64",
}
MESSAGE_COLUMNS = ("reasoning", "content", "tool_calls")
BEAM_COLUMNS = {
    "prompt": "str",
    "rank": "int64",
    "text": "str",
    "score": "float64",
    "cumulative_logprob": "float64",
    "num_tokens": "int64",
    "finish_reason": "str",
    "token_logprobs": "object",
    "diverges_at": "Int64",
}


Output = RequestOutput | BeamSearchOutput | ScoreOutput | ChoiceOutput


TIMING_COLUMNS = {
    "time_to_first_token": "float64",
    "latency": "float64",
    "tokens_per_second": "float64",
}
"""Of a whole request: seconds to its first token, seconds in all, and its tokens by its seconds."""


def to_frame(outputs: Output | Iterable[Output], *, timings: bool = False) -> pd.DataFrame:
    """Outputs as a tidy frame, in their order; of different kinds, one kind after the other.

    timings: also `TIMING_COLUMNS`, which are no part of a frame otherwise: two runs of the same work
    are equal. Of `score` and `choose` there are none.

    Of `generate` and `chat`, one row per completion: prompt (the text, or None when token ids were
    given), output (index of the completion within its prompt), text (generated), finish_reason,
    num_tokens (generated), cumulative_logprob (of those tokens, under the raw logits), mean_logprob
    (that per token; missing where there is none). Where an answer of a chat holds reasoning or tool
    calls: also reasoning, content and tool_calls.
    Of beam searches, one row per sequence: prompt, rank (1 is the best), text, score,
    cumulative_logprob, num_tokens, finish_reason, token_logprobs (a list), diverges_at (the first
    position at which it differs from the best sequence; missing for that itself).
    Of `score`, one row per pair: prompt, continuation, num_tokens, cumulative_logprob, mean_logprob,
    perplexity, token_logprobs (a list).
    Of `choose`, one row per choice: prompt, choice, probability, rank (1 is the likeliest),
    num_tokens, cumulative_logprob, mean_logprob.

    >>> params = SamplingParams(temperature=0, max_tokens=4, stop=".")
    >>> outputs = llm.generate(["The opposite of hot is", "17 + 25 ="], params)
    >>> nbllm.to_frame(outputs)[["prompt", "text", "finish_reason", "num_tokens"]]
                       prompt   text finish_reason  num_tokens
    0  The opposite of hot is   cold          stop           2
    1               17 + 25 =     42          stop           4
    """
    many = [outputs] if isinstance(outputs, Output) else list(outputs)
    kinds = list(dict.fromkeys(type(o) for o in many)) or [RequestOutput]
    frames = [_of_kind(kind, [o for o in many if type(o) is kind], timings) for kind in kinds]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _of_kind(kind: type, outputs: list[Any], timings: bool) -> pd.DataFrame:
    frame = FRAMES[kind](outputs)
    if not timings:
        return frame
    if kind not in _ROWS:
        raise ParamError(f"timings=True: there are none of a {kind.__name__}")
    times = [_times(output) for output in outputs for _ in range(_ROWS[kind](output))]
    return frame.join(pd.DataFrame(times, columns=list(TIMING_COLUMNS), dtype="float64"))


def _times(output: RequestOutput | BeamSearchOutput) -> tuple[float | None, ...]:
    m = output.metrics
    return (
        None if m.first_token_time is None else m.first_token_time - m.arrival_time,
        None if m.finished_time is None else m.finished_time - m.arrival_time,
        m.tokens_per_second,
    )


def tokens_frame(outputs: RequestOutput | Iterable[RequestOutput]) -> pd.DataFrame:
    """One row per generated token, in the order of the outputs, their completions and their tokens.

    Columns: prompt, output (index of the completion within its prompt), position (from 0 within the
    completion), token (its text), token_id, logprob (under the raw logits), rank (1 is the
    likeliest), entropy (in nats, of the position's likeliest tokens and all others taken as one: a
    lower bound of the model's entropy, and equal to it with logprobs=-1), top_tokens and
    top_logprobs (lists, likeliest first). Without `logprobs` only the ids are known, the rest of a
    token's row is missing.
    """
    many = [outputs] if isinstance(outputs, RequestOutput) else list(outputs)
    rows = [
        (output.prompt, c.index, i, *_token(token, c.logprobs[i] if c.logprobs else None))
        for output in many
        for c in output.outputs
        for i, token in enumerate(c.token_ids)
    ]
    return pd.DataFrame(rows, columns=list(TOKEN_COLUMNS)).astype(
        {name: kind for name, kind in TOKEN_COLUMNS.items() if not rows or kind != "str"}
    )


def _token(token: int, position: dict[int, Logprob] | None) -> tuple:
    """From its text on, the columns of one token."""
    if position is None:
        return None, token, nan, pd.NA, nan, None, None
    own, top = position[token], likeliest(position)
    texts, logprobs = [p.decoded_token for p in top], [p.logprob for p in top]
    return own.decoded_token, token, own.logprob, own.rank, entropy(position), texts, logprobs


def trace_frame(history: History) -> pd.DataFrame:
    """A whole beam search: one row per candidate of every live beam, step after step, best first.

    Columns: step (from 1), rank (1 is the best of the step over all beams), parent (the beam that
    offered it: beam i of a step is the live candidate of the step before with the i-th best rank,
    from 0; with num_beam_groups, the i-th of its group), token_id, token, logprob,
    cumulative_logprob, score, state: "live" (it lived on), "pruned", "finished" (it completed a
    sequence) or "returned" (it is the last token of a sequence in the result).
    """
    columns = _trace(history) if history.num_steps else {}
    return pd.DataFrame(columns, columns=TRACE_COLUMNS)


TRACE_COLUMNS = [
    "step",
    "rank",
    "parent",
    "token_id",
    "token",
    "logprob",
    "cumulative_logprob",
    "score",
    "state",
]


STATES = np.array(["pruned", "live", "finished", "returned"], object)


def _trace(history: History) -> dict[str, np.ndarray]:
    steps, _, each = history.tokens.shape
    totals = history.totals.reshape(steps, -1)
    state = np.zeros(totals.shape, np.int8)
    of_step, beam = np.nonzero(history.scores[1:] > -np.inf)
    state[of_step, history.kept[of_step, beam]] = 1
    state[history.completed.reshape(state.shape)] = 2
    for h in history.hypotheses:
        if h.step:
            state[h.step - 1, h.beam * each + h.rank] = 3
    order = np.argsort(-totals, axis=1, kind="stable")
    # what is no candidate comes last
    step, rank = np.nonzero(np.take_along_axis(totals, order, 1) > -np.inf)
    at = step, order[step, rank]
    ids, which = np.unique(history.tokens.reshape(steps, -1)[at], return_inverse=True)
    texts = np.array([history.spell(token) for token in ids.tolist()], object)
    cumulative = totals[at].astype(np.float64)
    return {
        "step": step + 1,
        "rank": rank + 1,
        "parent": at[1] // each,
        "token_id": ids.astype(np.int64)[which],
        "token": texts[which],
        "logprob": history.logprobs.reshape(steps, -1)[at].astype(np.float64),
        "cumulative_logprob": cumulative,
        "score": cumulative / (step + 1.0) ** history.params.length_penalty,
        "state": STATES[state[at]],
    }


def _completions(outputs: list[RequestOutput]) -> pd.DataFrame:
    made = [(o.prompt, c) for o in outputs for c in o.outputs]
    rows = [
        (prompt, c.index, c.text, c.finish_reason, n := len(c.token_ids), total, total / n if n else nan)
        for prompt, c in made
        for total in (c.cumulative_logprob,)
    ]  # fmt: skip
    # with rows pandas finds the types itself, and keeps None where there is no text
    frame = pd.DataFrame(rows, columns=list(COLUMNS)) if rows else _empty()
    messages = _messages([c.message or {} for _, c in made])
    return frame.assign(**messages) if messages else frame


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


def _beams(outputs: list[BeamSearchOutput]) -> pd.DataFrame:
    rows = [row for output in outputs for row in _sequences(output)]
    return pd.DataFrame(rows, columns=list(BEAM_COLUMNS)).astype({"diverges_at": "Int64"})


def _sequences(output: BeamSearchOutput) -> Iterator[tuple]:
    for rank, s in enumerate(output.sequences, 1):
        yield (
            output.prompt,
            rank,
            s.generated_text,
            s.score,
            s.cum_logprob,
            len(s.generated_token_ids),
            s.finish_reason,
            s.token_logprobs,
            None
            if rank == 1
            else _divergence(output.sequences[0].generated_token_ids, s.generated_token_ids),
        )


def _divergence(best: list[int], other: list[int]) -> int:
    """The first position at which two sequences differ; where one begins the other, its length."""
    pairs = enumerate(zip(best, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(best), len(other)))


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})


FRAMES = {
    RequestOutput: _completions,
    BeamSearchOutput: _beams,
    ScoreOutput: _scores,
    ChoiceOutput: _choices,
}
_ROWS = {
    RequestOutput: lambda output: len(output.outputs),
    BeamSearchOutput: lambda output: len(output.sequences),
}
