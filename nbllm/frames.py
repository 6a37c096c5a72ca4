"""Outputs as DataFrames. One name for one thing, in every frame, so that frames concatenate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from .beams import History
from .outputs import BeamSearchOutput, RequestOutput

COLUMNS = {
    "prompt": "str",
    "output": "int64",
    "text": "str",
    "finish_reason": "str",
    "num_tokens": "int64",
    "cumulative_logprob": "float64",
}
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


def to_frame(
    outputs: RequestOutput | BeamSearchOutput | Iterable[RequestOutput | BeamSearchOutput],
) -> pd.DataFrame:
    """One row per completion, or per sequence of a beam search, in the order of the outputs.

    Columns: prompt (the text, or None when token ids were given), output (index of the completion
    within its prompt), text (generated), finish_reason, num_tokens (generated), cumulative_logprob.
    Of beam searches: prompt, rank (1 is the best), text, score, cumulative_logprob, num_tokens,
    finish_reason, token_logprobs (a list), diverges_at (the first position at which it differs from
    the best sequence; missing for that itself).
    """
    outputs = [outputs] if isinstance(outputs, RequestOutput | BeamSearchOutput) else list(outputs)
    beams = [o for o in outputs if isinstance(o, BeamSearchOutput)]
    completions = [o for o in outputs if isinstance(o, RequestOutput)]
    if beams and completions:
        return pd.concat([to_frame(completions), to_frame(beams)], ignore_index=True)
    return _beams(beams) if beams else _completions(completions)


def trace_frame(history: History) -> pd.DataFrame:
    """A whole beam search: one row per candidate of every live beam, step after step, best first.

    Columns: step (from 1), rank (1 is the best of the step over all beams), parent (the beam that
    offered it: beam i of a step is the live candidate of the step before with the i-th best rank,
    from 0; with num_beam_groups, the i-th of its group), token_id, token, logprob,
    cumulative_logprob, score, state: "live" (it lived on), "pruned", "finished" (it completed a
    sequence) or "returned" (it is the last token of a sequence in the result).
    """
    parts = list(_trace_steps(history))
    frame = pd.DataFrame(
        {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else {},
        columns=TRACE_COLUMNS,
    )
    texts = {token: history.spell(token) for token in set(frame["token_id"])}
    frame["token"] = [texts[token] for token in frame["token_id"]]
    return frame


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


def _trace_steps(history: History) -> Iterator[dict[str, np.ndarray]]:
    returned = {(h.step, h.beam, h.rank) for h in history.hypotheses}
    for i in range(history.num_steps):
        logprobs, totals = history.logprobs[i].ravel(), history.totals[i].ravel()
        width = history.logprobs.shape[2]
        states = np.full(len(totals), "pruned", object)
        states[history.kept[i][history.scores[i + 1] > -np.inf]] = "live"
        states[history.completed[i].ravel()] = "finished"
        states[[b * width + r for step, b, r in returned if step == i + 1]] = "returned"
        order = np.argsort(-totals, kind="stable")
        order = order[totals[order] > -np.inf]
        penalty = (i + 1) ** history.params.length_penalty
        yield {
            "step": np.full(len(order), i + 1),
            "rank": np.arange(1, len(order) + 1),
            "parent": order // width,
            "token_id": history.tokens[i].ravel()[order].astype(np.int64),
            "logprob": logprobs[order].astype(np.float64),
            "cumulative_logprob": totals[order].astype(np.float64),
            "score": totals[order].astype(np.float64) / penalty,
            "state": states[order],
        }


def _completions(outputs: list[RequestOutput]) -> pd.DataFrame:
    rows = [
        (o.prompt, c.index, c.text, c.finish_reason, len(c.token_ids), c.cumulative_logprob)
        for o in outputs
        for c in o.outputs
    ]
    # with rows pandas finds the types itself, and keeps None where there is no text
    return pd.DataFrame(rows, columns=list(COLUMNS)) if rows else _empty()


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
