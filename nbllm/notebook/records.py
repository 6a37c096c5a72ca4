"""Outputs as JSON and back: what a checkpoint holds, a line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from ..outputs import (
    ChoiceOutput,
    CompletionOutput,
    Logprob,
    RequestMetrics,
    RequestOutput,
    ScoreOutput,
)

Output = RequestOutput | ScoreOutput | ChoiceOutput

_LABELS: dict[str, type[ScoreOutput] | type[ChoiceOutput]] = {
    "score": ScoreOutput,
    "choose": ChoiceOutput,
}
_TIMES = ("arrival_time", "first_token_time", "finished_time", "tokens_per_second")


def to_record(output: Output) -> dict[str, Any]:
    """JSON-able; `from_record` gives an equal output."""
    if not isinstance(output, RequestOutput):
        return asdict(output)
    record: dict[str, Any] = {
        "id": output.request_id,
        "prompt": output.prompt,
        "prompt_token_ids": output.prompt_token_ids,
        "num_cached_tokens": output.num_cached_tokens,
        "metrics": [getattr(output.metrics, name) for name in _TIMES],
        "outputs": [_completion(c) for c in output.outputs],
    }
    if output.prompt_logprobs is not None:
        record["prompt_logprobs"] = [p and _position(p) for p in output.prompt_logprobs]
    return record


def from_record(record: dict[str, Any], kind: str = "completions") -> Output:
    """What `to_record` was given. kind: of the run; other keys of the record are left alone."""
    if (made := _LABELS.get(kind)) is not None:
        return made(**{f.name: record[f.name] for f in fields(made)})
    scores = record.get("prompt_logprobs")
    return RequestOutput(
        request_id=record["id"],
        prompt=record["prompt"],
        prompt_token_ids=record["prompt_token_ids"],
        outputs=[_from_completion(c) for c in record["outputs"]],
        finished=True,
        metrics=RequestMetrics(**dict(zip(_TIMES, record["metrics"], strict=True))),
        num_cached_tokens=record["num_cached_tokens"],
        prompt_logprobs=None if scores is None else [p and _from_position(p) for p in scores],
    )


def _completion(c: CompletionOutput) -> dict[str, Any]:
    record: dict[str, Any] = {
        "index": c.index,
        "text": c.text,
        "token_ids": c.token_ids,
        "cumulative_logprob": c.cumulative_logprob,
        "finish_reason": c.finish_reason,
        "stop_reason": c.stop_reason,
    }
    if c.logprobs is not None:
        record["logprobs"] = [_position(p) for p in c.logprobs]
    if (message := c.message) is not None:
        record["message"] = message
    return record


def _from_completion(record: dict[str, Any]) -> CompletionOutput:
    known = dict(record)
    message, scores = known.pop("message", None), known.pop("logprobs", None)
    return CompletionOutput(
        **known,
        logprobs=None if scores is None else [_from_position(p) for p in scores],
        reader=None if message is None else _reader(message),
    )


def _reader(message: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    return lambda partial=False: message


def _position(position: dict[int, Logprob]) -> list[list[Any]]:
    return [[token, p.logprob, p.rank, p.decoded_token] for token, p in position.items()]


def _from_position(position: list[list[Any]]) -> dict[int, Logprob]:
    return {
        token: Logprob(logprob=logprob, rank=rank, decoded_token=text)
        for token, logprob, rank, text in position
    }
