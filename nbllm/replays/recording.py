"""What a result, a frame or a notebook tells about a run: what was sent, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ParamError
from ..outputs import BeamSearchSequence, CompletionOutput
from ..sampling_params import BeamSearchParams, SamplingParams, StructuredOutputsParams


@dataclass(kw_only=True, frozen=True)
class Made:
    """What is known of one completion, sequence or score; None: it was not kept."""

    text: str | None = None
    token_ids: Sequence[int] | None = None
    logprob: float | None = None
    aborted: bool = False

    @classmethod
    def of(cls, made: CompletionOutput | BeamSearchSequence) -> Made:
        """Of an output."""
        aborted = made.finish_reason == "abort"
        if isinstance(made, BeamSearchSequence):
            ids, text, total = made.generated_token_ids, made.generated_text, made.cum_logprob
        else:
            ids, text, total = made.token_ids, made.text, made.cumulative_logprob
        return cls(text=text, token_ids=ids, logprob=total, aborted=aborted)


@dataclass(kw_only=True)
class Recording:
    """What was sent, and what came of it; a request may have fewer expectations than completions.

    kind: "completions", "chat", "beam", "score" or "choose". params: one each; of a score nothing, of
    choices whether they were normalised. requests: as the method of that kind takes them; pairs for
    scores and choices. chat: options for messages.
    """

    kind: str
    model: dict[str, Any]
    requests: list[Any]
    params: list[Any]
    expected: list[list[Made]]
    chat: dict[str, Any] = field(default_factory=dict)


def params_from(record: dict[str, Any], kind: str) -> Any:
    """Parameters from what a record keeps of them. Raises `ParamError` for functions."""
    if record.get("logits_processors"):
        raise ParamError(
            f"made with logits_processors={record['logits_processors']}, functions that no record "
            "can keep: replay the result object"
        )
    values = dict(record)
    if wanted := values.get("structured_outputs"):
        values["structured_outputs"] = StructuredOutputsParams(**wanted)
    return (BeamSearchParams if kind == "beam" else SamplingParams)(**values)
