"""What a job's completions have become since somebody last looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...engine.beam_job import BeamJob
from ...engine.job import Job, Snapshot
from ...outputs import Logprob

Position = dict[int, Logprob]
"""One token, the generated one first, then the likeliest."""

NOTHING = Snapshot()
"""Of a completion that has not been looked at."""


@dataclass(slots=True, kw_only=True)
class Piece:
    """What is new of one completion. index: among all of the response."""

    index: int
    text: str
    token_ids: list[int]
    finish_reason: str | None
    stop_reason: int | str | None
    logprobs: list[Position] | None = None
    first: bool = False  # nothing of it was reported before


class Sampled:
    """The completions of a sampled prompt, which grow."""

    def __init__(self, job: Job, begin: int):
        self.job, self.begin = job, begin
        self._told = [NOTHING] * len(job.requests)

    @property
    def news(self) -> bool:
        """Whether `read` would give anything; the scores of the prompt come with the first piece."""
        first = self.job.requests[0]
        if first.scored_from is not None and first.scoring and not first.finished:
            return False
        return any(
            r.num_output != len(s.ids) or r.finish_reason != s.finish_reason
            for r, s in zip(self.job.requests, self._told, strict=True)
        )

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return self.job.requests[0].num_prompt

    @property
    def prompt_token_ids(self) -> list[int]:
        return self.job.requests[0].tokens[: self.num_prompt]

    @property
    def num_cached(self) -> int:
        """Prompt tokens that the prefix cache had."""
        return self.job.requests[0].num_reused or 0

    @property
    def num_generated(self) -> int:
        return sum(len(s.ids) for s in self._told)

    @property
    def prompt_logprobs(self) -> list[Position | None] | None:
        return self.job.prompt_logprobs()

    def read(self) -> Iterator[Piece]:
        """What is new, by completion."""
        for i, (request, before) in enumerate(zip(self.job.requests, self._told, strict=True)):
            now = Snapshot.of(request)
            if now.finish_reason == before.finish_reason and len(now.ids) == len(before.ids):
                continue
            self._told[i] = now
            wanted = request.params.logprobs is not None
            yield Piece(
                index=self.begin + i,
                text=now.text[len(before.text) :],
                token_ids=now.ids[len(before.ids) :],
                finish_reason=now.finish_reason,
                stop_reason=now.stop_reason,
                logprobs=self.job.logprobs(i, now.ids, len(before.ids)) if wanted else None,
                first=before is NOTHING,
            )


class Searched:
    """The sequences of a beam search: all at its end, best first."""

    prompt_logprobs = None

    def __init__(self, job: BeamJob, begin: int, logprobs: bool):
        self.job, self.begin, self._logprobs = job, begin, logprobs
        self._read = False
        self.num_generated = 0

    @property
    def news(self) -> bool:
        return self.job.finished and not self._read

    @property
    def num_prompt(self) -> int:
        return self.job.request.num_prompt

    @property
    def prompt_token_ids(self) -> list[int]:
        return list(self.job.request.tokens)

    @property
    def num_cached(self) -> int:
        return self.job.request.num_reused or 0

    def read(self) -> Iterator[Piece]:
        if not self.news:
            return
        self._read = True
        for rank, found in enumerate(self.job.output().sequences):
            ids = found.generated_token_ids
            self.num_generated += len(ids)
            yield Piece(
                index=self.begin + rank,
                text=found.generated_text,
                token_ids=ids,
                finish_reason=found.finish_reason,
                stop_reason=found.stop_reason,
                logprobs=found.logprobs if self._logprobs else None,
                first=True,
            )


Reader = Sampled | Searched


def readers(jobs: Sequence[Job | BeamJob], n: int, logprobs: bool) -> list[Reader]:
    """One for each job; the completions of prompt i begin at index i · n."""
    return [
        Searched(job, i * n, logprobs) if isinstance(job, BeamJob) else Sampled(job, i * n)
        for i, job in enumerate(jobs)
    ]
