"""A prompt on its way: its `n` requests, and what they look like from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nbllm.outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput
from nbllm.sampling_params import RequestOutputKind

from .request import Request, TopLogprobs
from .stops import output_text
from .text import Tokenizer


@dataclass(slots=True, kw_only=True, frozen=True)
class Snapshot:
    """A request at one moment."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: str | None = None
    stop_reason: int | str | None = None

    @classmethod
    def of(cls, request: Request) -> Snapshot:
        # the reason is read first: once it is there, nothing else changes
        reason = request.finish_reason
        stop = request.stop_reason if reason else None
        ids = request.output_ids
        text = output_text(request, ids, reason, stop)
        return cls(ids=ids, text=text, finish_reason=reason, stop_reason=stop)


@dataclass(slots=True, kw_only=True)
class Job:
    """The completions of one prompt, reported together."""

    id: str
    prompt: str | None
    requests: list[Request]
    tokenizer: Tokenizer
    read: Callable[..., dict[str, Any]] | None = None  # the message of an answer's text
    told: list[Snapshot] = field(default_factory=list)  # what the latest report knew
    positions: list[list[dict[int, Logprob]]] = field(default_factory=list)  # made so far
    prompt_positions: list[dict[int, Logprob] | None] | None = None  # made when complete
    marked: int = 0
    over: bool = False  # the latest report was the last

    @property
    def finished(self) -> bool:
        return all(r.finished for r in self.requests)

    @property
    def cumulative(self) -> bool:
        """Whether it may be reported before it has finished, with everything so far."""
        return self.requests[0].params.output_kind is RequestOutputKind.CUMULATIVE

    def check(self) -> Job:
        """Itself; raises what ended one of its requests, if that was an error."""
        for request in self.requests:
            if request.error is not None:
                raise request.error
        return self

    @property
    def news(self) -> bool:
        """Whether `report` would find something that the latest one did not."""
        if not self.told:
            return any(r.num_output or r.finished for r in self.requests)
        return any(
            r.finish_reason != s.finish_reason or r.num_output != len(s.ids)
            for r, s in zip(self.requests, self.told, strict=True)
        )

    def mark(self) -> None:
        """Remember how far it is, for `moved`."""
        self.marked = sum(r.num_output for r in self.requests)

    def moved(self) -> bool:
        """Whether it has advanced since the latest `mark`."""
        return self.finished or sum(r.num_output for r in self.requests) != self.marked

    def output(self) -> RequestOutput:
        """Everything so far."""
        return self._output([Snapshot.of(r) for r in self.requests])

    def report(self) -> RequestOutput | None:
        """What the requests' `output_kind` says to yield now; None: nothing new.

        A step in another thread may add to the requests meanwhile: each is read once, and the last
        report is the one that found all of them finished.
        """
        now = [Snapshot.of(r) for r in self.requests]
        before, self.told = self.told or [Snapshot()] * len(now), now
        self.over = all(s.finish_reason for s in now)
        kind = self.requests[0].params.output_kind
        if kind is RequestOutputKind.FINAL_ONLY:
            return self._output(now) if self.over else None
        if now == before:
            return None
        return self._output(now, before if kind is RequestOutputKind.DELTA else None)

    def _completion(self, index: int, now: Snapshot, before: Snapshot) -> CompletionOutput:
        """One completion, without what `before` had of it."""
        r, known = self.requests[index], len(before.ids)
        wanted = r.params.logprobs is not None
        return CompletionOutput(
            index=index,
            text=now.text[len(before.text) :],
            token_ids=now.ids[known:],
            cumulative_logprob=sum(r.logprobs[: len(now.ids)]),
            logprobs=self.logprobs(index, now.ids, known) if wanted else None,
            finish_reason=now.finish_reason,
            stop_reason=now.stop_reason,
            reader=self._reader(r, now),
        )

    def _reader(self, r: Request, now: Snapshot) -> Callable[..., dict[str, Any]] | None:
        # outputs of a DELTA stream would each keep the whole text alive
        delta = r.params.output_kind is RequestOutputKind.DELTA
        if self.read is None or r.text is None or (delta and not now.finish_reason):
            return None
        return partial(self.read, now.text, id=r.id)

    def logprobs(self, index: int, ids: list[int], begin: int) -> list[dict[int, Logprob]]:
        """Of the completion `index`, whose tokens so far are `ids`, from its token `begin` on."""
        # a position never changes, so a stream makes each once
        self.positions = self.positions or [[] for _ in self.requests]
        known, r = self.positions[index], self.requests[index]
        known += [self._position(r, i, ids[i]) for i in range(len(known), len(ids))]
        return known[begin : len(ids)]

    def _position(self, r: Request, i: int, token: int) -> dict[int, Logprob]:
        return self._ranked(token, r.logprobs[i], r.top_logprobs[i])

    def _ranked(self, token: int, logprob: float, top: TopLogprobs) -> dict[int, Logprob]:
        """The position's own token first, then the likeliest."""
        ranked = zip(top.token_ids.tolist(), top.logprobs.tolist(), strict=True)
        found = {token: self._logprob(token, logprob, top.rank)}
        for rank, (other, value) in enumerate(ranked, 1):
            found.setdefault(other, self._logprob(other, value, rank))
        return found

    def prompt_logprobs(self) -> list[dict[int, Logprob] | None] | None:
        """One dictionary a prompt token, None for the first; None until all are there."""
        r = self.requests[0]
        if r.params.prompt_logprobs is None or r.scoring:
            return None
        if self.prompt_positions is None:
            scored = zip(r.tokens[1 : r.num_prompt], r.prompt_logprobs, r.prompt_tops, strict=True)
            self.prompt_positions = [None, *(self._ranked(*each) for each in scored)]
        return self.prompt_positions

    def _logprob(self, token: int, logprob: float, rank: int) -> Logprob:
        text = self.tokenizer.decode([token], skip_special_tokens=False)
        return Logprob(logprob=logprob, rank=rank, decoded_token=text)

    def _output(self, now: list[Snapshot], before: list[Snapshot] | None = None) -> RequestOutput:
        first, nothing = self.requests[0], [Snapshot()] * len(now)
        return RequestOutput(
            request_id=self.id,
            prompt=self.prompt,
            prompt_token_ids=first.tokens[: first.num_prompt],
            outputs=[
                self._completion(i, *pair)
                for i, pair in enumerate(zip(now, before or nothing, strict=True))
            ],
            finished=all(s.finish_reason for s in now),
            metrics=self._metrics(),
            prompt_logprobs=self.prompt_logprobs(),
            num_cached_tokens=first.num_reused or 0,
        )

    def _metrics(self) -> RequestMetrics:
        begun = [t for r in self.requests if (t := r.first_token_time) is not None]
        ended = [t for r in self.requests if (t := r.finish_time) is not None]
        arrival = min(r.arrival for r in self.requests)
        finished = max(ended) if len(ended) == len(self.requests) else None
        num_tokens = sum(r.num_output for r in self.requests)
        return RequestMetrics(
            arrival_time=arrival,
            first_token_time=min(begun, default=None),
            finished_time=finished,
            tokens_per_second=num_tokens / (finished - arrival) if finished else None,
        )
