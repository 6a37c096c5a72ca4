"""Make a result again, and say whether it is the same: `nbllm.replay`.

    a result ──┐
    a frame ───┼── Recording ── run again, in order, from an empty prefix cache ── Replay
    a notebook ┘

Sampling is a function of seed, position and logits, so what can differ is the logits: another model,
another precision or, in bfloat16, another batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import resident
from ..errors import NoModelError, ParamError
from ..sampling_params import RequestOutputKind
from .difference import Difference, difference
from .recording import Made, Recording, params_from

if TYPE_CHECKING:
    from ..llm import LLM

__all__ = ["Difference", "Made", "Recording", "Replay", "params_from", "replay", "replayed"]


@dataclass(kw_only=True, frozen=True)
class Replay:
    """Whether a result could be made again. logprob_difference: the largest, of rows that are the same."""

    num_rows: int
    num_tokens: int
    differences: list[Difference]
    logprob_difference: float

    @property
    def identical(self) -> bool:
        """Whether every row is the same, token by token."""
        return not self.differences

    def __str__(self) -> str:
        size = f"{self.num_rows:,} row{'s' * (self.num_rows != 1)}"
        # scores and choices generate nothing
        size += f", {self.num_tokens:,} tokens" if self.num_tokens else ""
        if self.identical:
            off = self.logprob_difference
            return f"identical: {size}" + (f"; log-probabilities within {off:.1g}" if off else "")
        return f"different in {len(self.differences):,} of {size}; first at {self.differences[0]}"

    __repr__ = __str__


def replay(result_or_frame: Any) -> Replay:
    """Run again what made a result of a magic or its whole DataFrame, and compare.

    The model has to be loaded, with the dtype of then (`NoModelError` says which). Requests go in the
    same order, from an empty prefix cache. Exact in float32, and with `deterministic=True`.
    Raises `ParamError` for what no record tells how to make.
    """
    if hasattr(result_or_frame, "recording"):
        return replayed(result_or_frame.recording())
    if hasattr(result_or_frame, "attrs"):
        from .frames import recordings

        # all of them are read before anything runs
        runs = list(recordings(result_or_frame, _llm))
        return _together([(begin, replayed(recording)) for begin, recording in runs])
    raise ParamError(
        "replay takes the result of a magic (nbllm.last) or its DataFrame, "
        f"got a {type(result_or_frame).__name__}"
    )


def replayed(recording: Recording) -> Replay:
    """Run a recording and compare."""
    llm = _llm(recording.model)
    asked = [i for i, made in enumerate(recording.expected) if any(_worth(m) for m in made)]
    requests = [recording.requests[i] for i in asked]
    llm.reset_prefix_cache()
    made = _run(llm, recording, requests, [recording.params[i] for i in asked])
    row, num_tokens, off, found = 0, 0, 0.0, list[Difference]()
    rows = [0]
    for expected in recording.expected:
        rows.append(rows[-1] + len(expected))
    for i, (prompt_ids, results) in zip(asked, made, strict=True):
        for j, (before, now) in enumerate(zip(recording.expected[i], results, strict=False)):
            row, num_tokens = rows[i] + j, num_tokens + len(now.token_ids or ())
            if (differs := difference(llm, row, j, prompt_ids, before, now)) is not None:
                found.append(differs)
            elif before.logprob is not None and now.logprob is not None and not before.aborted:
                off = max(off, abs(before.logprob - now.logprob))
    return Replay(
        num_rows=rows[-1], num_tokens=num_tokens, differences=found, logprob_difference=off
    )


def _together(parts: list[tuple[int, Replay]]) -> Replay:
    """Of a frame that several runs have made, from the numbers of their first rows."""
    return Replay(
        num_rows=sum(part.num_rows for _, part in parts),
        num_tokens=sum(part.num_tokens for _, part in parts),
        differences=[replace(d, row=d.row + begin) for begin, p in parts for d in p.differences],
        logprob_difference=max(part.logprob_difference for _, part in parts),
    )


def _worth(made: Made) -> bool:
    """Whether it was begun at all."""
    return not made.aborted or bool(made.token_ids or made.text)


def _llm(model: dict[str, Any]) -> LLM:
    """The resident model that is the one of then."""
    for name in [None, *resident.loaded()] if resident.loaded() else []:
        info = (llm := resident.current(name)).info()
        if (info.fingerprint, info.dtype) == (model["fingerprint"], model["dtype"]):
            return llm
    where = model.get("path", model["name"])
    raise NoModelError(
        f"this was made with {model['name']!r} in {model['dtype']}, which is not loaded; "
        f"%nbllm load {where} --dtype {model['dtype']}"
    )


Results = list[tuple[list[int], list[Made]]]


def _run(llm: LLM, recording: Recording, requests: list[Any], params: list[Any]) -> Results:
    """Of each request the prompt's ids and what came of it."""
    if not requests:
        return []
    if recording.kind == "score":
        prompts, said = map(list, zip(*requests, strict=True))
        pairs = llm.score(prompts, None if None in said else said, use_tqdm=False)
        return [([], [Made(logprob=s.cumulative_logprob)]) for s in pairs]
    if recording.kind == "choose":
        prompts, choices = map(list, zip(*requests, strict=True))
        chosen = llm.choose(prompts, choices, normalize=params[0], use_tqdm=False)
        return [([], [Made(logprob=p) for p in c.logprobs]) for c in chosen]
    if recording.kind == "beam":
        searched = llm.beam_search(requests, params)
        return [(o.prompt_token_ids, [Made.of(s) for s in o.sequences]) for o in searched]
    if recording.kind == "compare":
        outputs = llm.generate(requests, params, use_tqdm=False)
        return [(o.prompt_token_ids, [Made.of(c) for c in o.outputs]) for o in outputs]
    for each in params:
        each.output_kind = RequestOutputKind.FINAL_ONLY
    outputs = sorted(
        llm.stream(requests, params, **recording.chat),
        key=lambda output: int(output.request_id.rpartition("-")[2]),
    )
    return [(o.prompt_token_ids, [Made.of(c) for c in o.outputs]) for o in outputs]
