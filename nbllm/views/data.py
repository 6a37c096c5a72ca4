"""Outputs as one JSON-able dictionary: what the views draw, and what a saved notebook keeps.

    {"version": 1, "kind": "completions" | "chat", "outputs": [
        {"prompt": str, "setting": str (where there are several), "completions": [
            {"output": int, "text": str, "finish_reason": str | None, "num_tokens": int,
             "cumulative_logprob": float | None,
             "tokens": [{"text", "logprob", "rank", "entropy", "top": [[text, logprob], ...]}, ...]}]}],
     "omitted": int}

"tokens" is there when log-probabilities were asked for; "top" holds the likeliest tokens, best
first, "entropy" is as in `frames.tokens_frame`. A view is for reading, and it is saved in the notebook: completions after the first
`MAX_COMPLETIONS` are left out and counted in "omitted", tokens after the first `MAX_TOKENS` are left
out. The frame has them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..outputs import CompletionOutput, Logprob, RequestOutput, entropy, likeliest

MAX_COMPLETIONS = 100
MAX_TOKENS = 4000


def completions(
    outputs: Sequence[RequestOutput],
    *,
    kind: str = "completions",
    prompts: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    tokens: bool = True,
) -> dict[str, Any]:
    """The dictionary above.

    prompts: what to show as the prompts, where the outputs' own say less. settings: what to call
    that of each output, where they differ. tokens: whether to
    describe each token, where log-probabilities are there.
    """
    shown = prompts if prompts is not None else [output.prompt or "" for output in outputs]
    room, detail, rows = MAX_COMPLETIONS, MAX_TOKENS if tokens else -1, []
    for i, (prompt, output) in enumerate(zip(shown, outputs, strict=True)):
        if not room:
            break
        entries = []
        for completion in output.outputs[:room]:
            detail -= len(completion.logprobs or ())
            entries.append(completion_data(completion, with_tokens=detail >= 0))
        room -= len(entries)
        if entries:
            named = {"setting": settings[i]} if settings is not None else {}
            rows.append({"prompt": prompt, **named, "completions": entries})
    data: dict[str, Any] = {"version": 1, "kind": kind, "outputs": rows}
    if omitted := sum(len(output.outputs) for output in outputs) - (MAX_COMPLETIONS - room):
        data["omitted"] = omitted
    return data


def completion_data(completion: CompletionOutput, *, with_tokens: bool) -> dict[str, Any]:
    """An entry of "completions"."""
    entry = {
        "output": completion.index,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "num_tokens": len(completion.token_ids),
        "cumulative_logprob": rounded(completion.cumulative_logprob),
    }
    if completion.logprobs is not None and with_tokens:
        entry["tokens"] = [token(position) for position in completion.logprobs]
    return entry


def token(position: dict[int, Logprob]) -> dict[str, Any]:
    """One of "tokens" in the dictionary above."""
    sampled = next(iter(position.values()))
    return {
        "text": sampled.decoded_token,
        "logprob": rounded(sampled.logprob),
        "rank": sampled.rank,
        "entropy": rounded(entropy(position)),
        "top": [[p.decoded_token, rounded(p.logprob)] for p in likeliest(position)],
    }


def rounded(logprob: float) -> float | None:
    """Four decimals are plenty to read; JSON has no infinities."""
    return round(logprob, 4) if math.isfinite(logprob) else None
