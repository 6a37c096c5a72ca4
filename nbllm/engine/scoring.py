"""What given texts are worth: log-probabilities of continuations, and probabilities of choices.

Everything runs as ordinary requests in one batch, so that prompts which share pages share them here
too. A choice's first token costs nothing beyond its prompt: one pass over the prompt gives the
log-probabilities of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nbllm.errors import GenerationInterrupted, PromptError
from nbllm.outputs import ChoiceOutput, ScoreOutput
from nbllm.prompts import Prompt
from nbllm.sampling_params import SamplingParams

from . import waiting
from .engine import Engine
from .intake import Intake
from .job import Job
from .request import Request

ONE = SamplingParams(temperature=0, max_tokens=1, detokenize=False, ignore_eos=True)
"""A request that only reads: its one new token is not looked at."""


class Scorer:
    """Scores texts with one engine."""

    def __init__(self, engine: Engine, intake: Intake):
        self.engine, self.intake, self.encode = engine, intake, intake.tokenizer.encode

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Prompt | None],
        use_tqdm: waiting.Progress,
    ) -> list[ScoreOutput]:
        """One output for each pair; a continuation of None scores the prompt after its first token."""
        pairs = [self._split(p, c) for p, c in zip(prompts, continuations, strict=True)]
        call = self.intake.new_call()
        requests = [
            self._request(f"{call}-{i}-0", before + after, len(before))
            for i, (before, after) in enumerate(pairs)
        ]
        self._run(requests, use_tqdm)
        return [
            ScoreOutput(
                prompt=prompt.text,
                continuation=None if rest is None else rest.text,
                token_ids=after,
                logprobs=request.prompt_logprobs,
            )
            for prompt, rest, (_, after), request in zip(
                prompts, continuations, pairs, requests, strict=True
            )
        ]

    def choose(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        normalize: bool,
        use_tqdm: waiting.Progress,
    ) -> list[ChoiceOutput]:
        """One output for each prompt, over its own choices."""
        call = self.intake.new_call()
        cases = [
            Case(self, f"{call}-{i}", prompt, own)
            for i, (prompt, own) in enumerate(zip(prompts, choices, strict=True))
        ]
        self._run([r for case in cases for r in case.requests], use_tqdm)
        return [case.output(normalize) for case in cases]

    def split(self, prompt: Prompt, continuation: Prompt) -> tuple[list[int], list[int]]:
        """Token ids of both, tokenised together where the prompt's own tokens stay as they are."""
        before = prompt.ids(self.encode)
        if continuation.token_ids is not None or prompt.token_ids is not None:
            text = continuation.text or ""
            return before, continuation.ids(lambda _: self.encode(text, add_special_tokens=False))
        together = self.encode((prompt.text or "") + (continuation.text or ""))
        if together[: len(before)] == before:
            return before, together[len(before) :]
        return before, self.encode(continuation.text or "", add_special_tokens=False)

    def _split(self, prompt: Prompt, continuation: Prompt | None) -> tuple[list[int], list[int]]:
        if continuation is None:
            ids = prompt.ids(self.encode)
            before, after = ids[:1], ids[1:]
        else:
            before, after = self.split(prompt, continuation)
        self.intake.check_prompt(before, room=0)
        if not after:
            what = "a text of one token has" if continuation is None else "a continuation is empty:"
            raise PromptError(f"{what} nothing to score; give it more text")
        return before, after

    def _request(self, id: str, ids: list[int], scored_from: int) -> Request:
        self.intake.check_prompt(ids, room=0)
        return self.intake.request(id, ids, ONE, seed=0, scored_from=scored_from)

    def _run(self, requests: list[Request], use_tqdm: waiting.Progress) -> None:
        jobs = [
            Job(id=r.id, prompt=None, requests=[r], tokenizer=self.intake.tokenizer)
            for r in requests
        ]
        waiting.finish(self.engine, jobs, use_tqdm)
        if any(r.finish_reason == "abort" for r in requests):
            raise GenerationInterrupted(message="stopped: what was scored so far is dropped")


class Case:
    """One prompt and its choices: a request for the first tokens, and one for each longer choice."""

    def __init__(self, scorer: Scorer, id: str, prompt: Prompt, choices: Sequence[str]):
        self.prompt, self.choices = prompt, list(choices)
        pairs = [scorer._split(prompt, Prompt(text=choice)) for choice in choices]
        self.ids = [after for _, after in pairs]
        before = pairs[0][0]
        first = scorer.intake.request(
            f"{id}-first", before, ONE, seed=0, wanted_ids=np.array([ids[0] for ids in self.ids])
        )
        self.longer = [
            scorer._request(f"{id}-{i}", before + ids, len(before) + 1) if len(ids) > 1 else None
            for i, ids in enumerate(self.ids)
        ]
        self.requests = [first, *filter(None, self.longer)]

    def output(self, normalize: bool) -> ChoiceOutput:
        """The probabilities, once the requests have run."""
        first = self.requests[0].top_logprobs[0].logprobs.tolist()
        rest = [request.prompt_logprobs if request else [] for request in self.longer]
        logprobs = [math.fsum([one, *more]) for one, more in zip(first, rest, strict=True)]
        counts = [len(ids) for ids in self.ids]
        scores = [s / n for s, n in zip(logprobs, counts, strict=True)] if normalize else logprobs
        weights = np.exp(np.array(scores) - max(scores))
        return ChoiceOutput(
            prompt=self.prompt.text,
            choices=self.choices,
            probabilities=(weights / weights.sum()).tolist(),
            logprobs=logprobs,
            num_tokens=counts,
        )
