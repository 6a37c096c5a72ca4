"""One request, from its prompt to its last token. The engine keeps no other record of it.

`num_cached < len(tokens)` is all the scheduler needs to know: a new prompt, a part of one, a
decoding step and the recomputation after a preemption differ only in how many tokens are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from numpy import ndarray

from nbllm.sampling_params import SamplingParams

from .matcher import Matcher
from .search import Search
from .text import TokenText

NO_ROW = -1


@dataclass(slots=True)
class TopLogprobs:
    """The likeliest tokens of one position, and the rank of the sampled one."""

    rank: int
    token_ids: ndarray
    logprobs: ndarray


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """A sequence of tokens that grows. `tokens` is the truth; everything else can be rebuilt.

    A step appends to `top_logprobs`, then `logprobs`, then `tokens`: until the token is there,
    nothing has happened.
    """

    id: str
    tokens: list[int]  # the prompt, then everything generated
    num_prompt: int
    params: SamplingParams
    limit: int  # tokens, prompt included, at which it ends with "length"
    eos_ids: frozenset[int]  # empty with ignore_eos, unless there is a matcher
    seed: int
    text: TokenText | None  # None without a tokenizer or with detokenize=False
    bad_words: list[list[int]] = field(default_factory=list)  # as token ids
    wanted_ids: ndarray | None = None  # tokens whose log-probabilities are kept at every position
    scored_from: int | None = None  # first prompt token whose log-probability is wanted
    matcher: Matcher | None = None  # what its tokens have to look like; follows them
    search: Search | None = None  # set: its continuations are searched for, not sampled
    priority: int = 0
    arrival: float = field(default_factory=time.time)

    num_prefilled: int = 0  # leading tokens in the cache, while it does not decode yet
    decoding: bool = False  # every token but the last is in the cache
    pages: list[int] = field(default_factory=list)
    chain: list[int] = field(default_factory=list)  # ids of the blocks in its first pages
    num_reused: int | None = None  # prompt tokens that were in the cache when it was admitted
    row: int = NO_ROW  # its place in `Rows` while it runs
    logprobs: list[float] = field(default_factory=list)  # of the generated tokens
    top_logprobs: list[TopLogprobs] = field(default_factory=list)  # only if asked for
    prompt_logprobs: list[float] = field(default_factory=list)  # of prompt tokens, from scored_from
    prompt_tops: list[TopLogprobs] = field(default_factory=list)  # as many
    error: Exception | None = None  # what ended it, if that was a mistake
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    first_token_time: float | None = None
    finish_time: float | None = None
    # called by whoever steps when it has ended, but for ends that an interrupt or `close` brought
    when_ended: Callable[[], object] | None = None

    @property
    def num_cached(self) -> int:
        """Leading tokens whose keys and values are in `pages`."""
        return len(self.tokens) - 1 if self.decoding else self.num_prefilled

    @property
    def num_missing(self) -> int:
        """Tokens that have to be run before the next one can be sampled, or a search can begin."""
        # the first step of a search runs the last token of its prompt
        return len(self.tokens) - self.num_cached - (self.search is not None)

    @property
    def num_output(self) -> int:
        """Generated tokens."""
        return len(self.tokens) - self.num_prompt

    @property
    def output_ids(self) -> list[int]:
        """The generated tokens."""
        return self.tokens[self.num_prompt :]

    @property
    def scoring(self) -> bool:
        """Whether log-probabilities of prompt tokens are still missing."""
        first = self.scored_from
        return first is not None and len(self.prompt_logprobs) < self.num_prompt - first

    @property
    def max_reused(self) -> int:
        """Leading tokens that may come from the cache: logits need tokens that are computed."""
        if self.scoring and self.scored_from is not None:
            return self.scored_from - 1
        return len(self.tokens) - 1

    def scored(self, start: int, stop: int) -> range:
        """Which of the tokens start … stop predict a prompt token whose score is missing."""
        if not self.scoring or self.scored_from is None:
            return range(0)
        return range(max(start, self.scored_from - 1), min(stop, self.num_prompt - 1))

    def keep_scores(self, first: int, logprobs: list[float], tops: list[TopLogprobs]) -> None:
        """The scores of the prompt tokens from `first` on; what was there of them is replaced."""
        assert self.scored_from is not None
        del self.prompt_logprobs[first - self.scored_from :]
        del self.prompt_tops[first - self.scored_from :]
        self.prompt_tops += tops
        self.prompt_logprobs += logprobs

    @property
    def finished(self) -> bool:
        """Whether it will get no more tokens."""
        return self.finish_reason is not None

    @property
    def order(self) -> tuple[int, float]:
        """Who is served first: lower priority, then earlier arrival."""
        return self.priority, self.arrival

    @property
    def held_pages(self) -> list[int]:
        """Every page it refers to."""
        return self.pages + self.search.pages if self.search else self.pages

    def forget_partial(self) -> None:
        """Undo a step that was interrupted before it reached the token."""
        del self.logprobs[self.num_output :]
        del self.top_logprobs[self.num_output :]

    def release(self) -> None:
        """Drop everything that ties it to the cache; a later admission starts over."""
        self.num_prefilled, self.decoding, self.row = 0, False, NO_ROW
        self.pages, self.chain = [], []
        if self.search:
            self.search.release()
