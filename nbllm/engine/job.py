"""A prompt on its way: its `n` requests, and what they look like from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbllm.outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput
from nbllm.sampling_params import RequestOutputKind

from .request import Request
from .stops import output_text
from .text import Tokenizer


@dataclass(slots=True, kw_only=True)
class Job:
    """The completions of one prompt, reported together."""

    id: str
    prompt: str | None
    requests: list[Request]
    tokenizer: Tokenizer
    seen: list[tuple[int, bool]] = field(default_factory=list)  # tokens, finished: when last asked
    told: list[tuple[int, int]] = field(default_factory=list)  # tokens, characters: already yielded

    @property
    def finished(self) -> bool:
        return all(r.finished for r in self.requests)

    def advanced(self) -> bool:
        """Whether anything is new since the last call."""
        now = [(r.num_output, r.finished) for r in self.requests]
        before, self.seen = self.seen or [(0, False)] * len(now), now
        return now != before

    def output(self) -> RequestOutput:
        """Everything so far."""
        return self._output([self._completion(i, 0, 0) for i in range(len(self.requests))])

    def report(self) -> RequestOutput | None:
        """What the request's `output_kind` says to yield now; None: nothing."""
        kind = self.requests[0].params.output_kind
        if kind is RequestOutputKind.FINAL_ONLY and not self.finished:
            return None
        return self._delta() if kind is RequestOutputKind.DELTA else self.output()

    def _delta(self) -> RequestOutput:
        before = self.told or [(0, 0)] * len(self.requests)
        new = [self._completion(i, *before[i]) for i in range(len(self.requests))]
        self.told = [
            (tokens + len(c.token_ids), characters + len(c.text))
            for (tokens, characters), c in zip(before, new, strict=True)
        ]
        return self._output(new)

    def _completion(self, index: int, tokens: int, characters: int) -> CompletionOutput:
        """One completion without its first `tokens` and `characters`."""
        r = self.requests[index]
        ids = r.output_ids  # a copy: a step in another thread may add to the request meanwhile
        logprobs = r.logprobs[: len(ids)]
        return CompletionOutput(
            index=index,
            text=output_text(r, ids)[characters:],
            token_ids=ids[tokens:],
            cumulative_logprob=sum(logprobs),
            logprobs=self._logprobs(r, ids, tokens) if r.params.logprobs is not None else None,
            finish_reason=r.finish_reason,
            stop_reason=r.stop_reason,
        )

    def _logprobs(self, r: Request, ids: list[int], begin: int) -> list[dict[int, Logprob]]:
        return [self._position(r, i, ids[i]) for i in range(begin, len(ids))]

    def _position(self, r: Request, i: int, token: int) -> dict[int, Logprob]:
        """The sampled token first, then the likeliest."""
        top = r.top_logprobs[i]
        ranked = zip(top.token_ids.tolist(), top.logprobs.tolist(), strict=True)
        found = {token: self._logprob(token, r.logprobs[i], top.rank)}
        for rank, (other, logprob) in enumerate(ranked, 1):
            found.setdefault(other, self._logprob(other, logprob, rank))
        return found

    def _logprob(self, token: int, logprob: float, rank: int) -> Logprob:
        text = self.tokenizer.decode([token], skip_special_tokens=False)
        return Logprob(logprob=logprob, rank=rank, decoded_token=text)

    def _output(self, completions: list[CompletionOutput]) -> RequestOutput:
        first = self.requests[0]
        return RequestOutput(
            request_id=self.id,
            prompt=self.prompt,
            prompt_token_ids=first.tokens[: first.num_prompt],
            outputs=completions,
            finished=all(c.finish_reason is not None for c in completions),
            metrics=self._metrics(),
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
