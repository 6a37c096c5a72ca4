"""What a token explorer lets the engine do: go on from some tokens, or score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..outputs import CompletionOutput, RequestOutput
from ..results.generation import Generation, cut_short
from ..results.provenance import Provenance
from ..results.work import Work
from ..sampling_params import RequestOutputKind, SamplingParams
from .branches import Branch, Position

if TYPE_CHECKING:
    from ..llm import LLM
    from .runs import Stream


def request(branch: Branch, num_given: int) -> dict[str, Any]:
    """The prompt that goes on from so many of a branch's tokens."""
    given = branch.token_ids[:num_given]
    return {"prompt_token_ids": [*branch.prompt_ids, *given], "num_begun": num_given}


class Continuation:
    """A run that goes on from the tokens of a new branch; of `n` completions each is a branch.

    given: a branch with the tokens to go on from; where it is not scored, the run does that too. params:
    what they count (max_tokens, penalties, stop strings) begins with the run; structured outputs hold
    for all tokens, and given ones that do not fit are an error of the run. made: what the run has
    become, once it has ended; None: nothing.
    """

    def __init__(self, llm: LLM, given: Branch, params: SamplingParams):
        self.llm = llm
        self._ids, self._known, self._scored = given.token_ids, given.logprobs, given.scored
        prompt_logprobs = None if given.scored else params.logprobs
        self.work = Work(
            kind="completions",
            prompts=[given.prompt + given.text],
            requests=[request(given, len(given.token_ids))],
            params=replace(params, prompt_logprobs=prompt_logprobs, truncate_prompt_tokens=None),
        )
        self.work.seed()
        self._provenance = Provenance.of(llm.info(), self.work.params, kind=self.work.kind)
        self._began = monotonic()
        self.output: RequestOutput | None = None
        self.made: Generation | None = None
        self.branches = [self._branch(given, i) for i in range(params.n)]

    def stream(self) -> Stream:
        """Begin. Raises what `LLM.astream` raises."""
        params = self.work.params_of(0, RequestOutputKind.CUMULATIVE)
        return self.llm.astream(self.work.requests, params)

    def take(self, output: RequestOutput) -> None:
        """Let the branches be what the output says."""
        self.output = output
        known = self._scores(output)
        for branch, completion in zip(self.branches, output.outputs, strict=True):
            branch.token_ids = [*self._ids, *completion.token_ids]
            whole = len(known) == len(self._ids)
            branch.logprobs = [*known, *(completion.logprobs or ())] if whole else known
            branch.text = self._text(branch.token_ids, completion)
            branch.finish_reason = completion.finish_reason

    def end(self) -> list[Branch]:
        """There will be no more; the branches that nothing was generated for."""
        if self.output is not None:
            self.take(cut_short(self.output))
            self.made = self._result(self.output)
        for branch in self.branches:
            branch.running, branch.made = False, self.made
        return [b for b in self.branches if len(b.token_ids) == b.num_given]

    def _result(self, output: RequestOutput) -> Generation:
        """The run by itself, as `%%generate` would return it."""
        seconds = monotonic() - self._began
        return Generation(
            outputs=[output], work=self.work, provenance=self._provenance, seconds=seconds
        )

    def _branch(self, given: Branch, index: int) -> Branch:
        params = self.work.params_of(0)
        # alone, child i of a run with n children has the seed that it had in there
        seed = None if params.seed is None else params.seed + index
        return replace(
            given,
            num_given=len(given.token_ids),
            params=replace(params, n=1, seed=seed, prompt_logprobs=None),
            running=True,
        )

    def _scores(self, output: RequestOutput) -> list[Position]:
        """Of the given tokens, as far as they are known by now."""
        if self._scored or output.prompt_logprobs is None:
            return self._known
        asked = output.prompt_logprobs[-len(self._ids) :]
        return [*self._known, *(p for p in asked[len(self._known) :] if p is not None)]

    def _text(self, ids: list[int], completion: CompletionOutput) -> str:
        if not self._ids:
            return completion.text
        skip = self.work.params.skip_special_tokens
        whole = self.llm.tokenizer.decode(ids, skip_special_tokens=skip)
        if not self.work.params.detokenize:
            return whole
        # tokens alone may spell differently than behind others; what was cut off is cut off here
        alone = self.llm.tokenizer.decode(completion.token_ids, skip_special_tokens=skip)
        return whole[: len(whole) - max(0, len(alone) - len(completion.text))]


class Scoring:
    """A run that finds how likely tokens are that are there already."""

    made = None

    def __init__(self, llm: LLM, branches: Sequence[Branch], logprobs: int):
        self.llm, self.branches = llm, list(branches)
        self._params = SamplingParams(
            temperature=0, max_tokens=1, ignore_eos=True, detokenize=False, prompt_logprobs=logprobs
        )
        for branch in self.branches:
            branch.running = True

    def stream(self) -> Stream:
        """Begin. Raises what `LLM.astream` raises."""
        prompts = [{"prompt_token_ids": [*b.prompt_ids, *b.token_ids]} for b in self.branches]
        return self.llm.astream(prompts, self._params)

    def take(self, output: RequestOutput) -> None:
        """Let a branch be what the output says."""
        branch = self.branches[int(output.request_id.rpartition("-")[2])]
        if output.prompt_logprobs is not None:
            scores = output.prompt_logprobs[len(branch.prompt_ids) :]
            branch.logprobs = [p for p in scores if p is not None]

    def end(self) -> list[Branch]:
        """There will be no more. The texts stay, scored or not."""
        for branch in self.branches:
            branch.running = False
        return []


Run = Continuation | Scoring
