"""A beam search on its way, and what it looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from nbllm.beams import History
from nbllm.outputs import BeamSearchOutput, CompletionOutput, RequestMetrics, RequestOutput

from .request import Request
from .search import Search


@dataclass(slots=True, kw_only=True)
class _Searching:
    """The search for one prompt's continuations."""

    id: str
    prompt: str | None
    request: Request
    marked: int = 0

    @property
    def requests(self) -> list[Request]:
        return [self.request]

    @property
    def search(self) -> Search:
        assert self.request.search is not None
        return self.request.search

    @property
    def finished(self) -> bool:
        return self.request.finished

    @property
    def num_steps(self) -> int:
        """Steps that its wave has done."""
        wave = self.search.wave
        return wave.num_steps if wave else 0

    def check(self) -> _Searching:
        """Itself; raises what ended the search, if that was an error."""
        if self.request.error is not None:
            raise self.request.error
        return self

    def mark(self) -> None:
        """Remember how far it is, for `moved`."""
        self.marked = self.num_steps

    def moved(self) -> bool:
        """Whether it has advanced since the latest `mark`."""
        return self.finished or self.num_steps != self.marked

    def found(self) -> BeamSearchOutput:
        """What has been found so far."""
        request = self.request
        return BeamSearchOutput(
            request_id=self.id,
            prompt=self.prompt,
            prompt_token_ids=list(request.tokens),
            finished=request.finish_reason not in (None, "abort"),
            metrics=self._metrics(),
            history=self._history(),
            num_cached_tokens=request.num_reused or 0,
        )

    def _history(self) -> History:
        search, tokenizer = self.search, self.search.tokenizer
        wave = search.wave
        return History(
            list(self.request.tokens),
            search.params,
            search.eos_ids,
            # a step that was interrupted may have left a record and not happened
            wave.steps[: wave.num_steps] if wave else [],
            search.index,
            aborted=self.request.finish_reason in (None, "abort"),
            decode=partial(tokenizer.decode, skip_special_tokens=search.params.skip_special_tokens),
            spell=lambda token: tokenizer.decode([token], skip_special_tokens=False),
        )

    def _metrics(self) -> RequestMetrics:
        request, width = self.request, self.search.params.beam_width
        ended = request.finish_time
        took = ended - request.arrival if ended else 0.0
        return RequestMetrics(
            arrival_time=request.arrival,
            first_token_time=request.first_token_time,
            finished_time=ended,
            tokens_per_second=self.num_steps * width / took if took else None,
        )


@dataclass(slots=True, kw_only=True)
class BeamJob(_Searching):
    """A search reported as such."""

    over: bool = False  # the latest report was the last

    @property
    def news(self) -> bool:
        """Whether `report` would find a step that the latest one did not."""
        return self.moved()

    def report(self) -> BeamSearchOutput | None:
        """What has been found since the latest report, with all before; None: no step was done."""
        if not self.moved():
            return None
        # read before the output: a step in another thread may end the search meanwhile
        self.over = self.finished
        self.mark()
        return self.output()

    def output(self) -> BeamSearchOutput:
        """What has been found so far."""
        return self.found()


@dataclass(slots=True, kw_only=True)
class BeamCompletions(_Searching):
    """A search whose sequences are the completions of its prompt, as `generate` reports them."""

    def as_search(self) -> BeamJob:
        """The same search, reported as such."""
        return BeamJob(id=self.id, prompt=self.prompt, request=self.request)

    def output(self) -> RequestOutput:
        """What has been found so far."""
        found = self.found()
        return RequestOutput(
            request_id=self.id,
            prompt=self.prompt,
            prompt_token_ids=found.prompt_token_ids,
            outputs=[
                CompletionOutput(
                    index=i,
                    text=s.generated_text,
                    token_ids=s.generated_token_ids,
                    cumulative_logprob=s.cum_logprob,
                    finish_reason=s.finish_reason,
                    stop_reason=s.stop_reason,
                )
                for i, s in enumerate(found.sequences)
            ],
            finished=self.finished,
            metrics=found.metrics,
            num_cached_tokens=found.num_cached_tokens,
        )
