"""Texts that part from one another: a tree of branches, each known token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ParamError
from ..outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput, likeliest

if TYPE_CHECKING:
    from ..results.generation import Generation
    from ..sampling_params import SamplingParams

Position = dict[int, Logprob]
"""What is known of one position: token id → `Logprob`, its own token first."""

_UNTIMED = RequestMetrics(
    arrival_time=0.0, first_token_time=None, finished_time=None, tokens_per_second=None
)


@dataclass(kw_only=True, eq=False, repr=False)
class Branch:
    """A text from the end of its prompt on. Its tokens before `position` are those of its parent.

    number: from 1, and never given twice. parent: None for one that begins at its prompt.
    token_ids, logprobs: of all its tokens, as `CompletionOutput` has them; logprobs are fewer, or
    none, until the tokens are scored. text: the generated text, all of it. num_given: so many of its
    tokens were given, the rest was generated. params: what makes that rest again; None: not known.
    made: the run that it comes from. running: whether that still adds tokens. fingerprint: of the model
    whose tokens they are.
    """

    prompt: str
    prompt_ids: list[int]
    parent: Branch | None = None
    position: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Position] = field(default_factory=list)
    text: str = ""
    finish_reason: str | None = None
    num_given: int = 0
    name: str = ""
    number: int = 0
    params: SamplingParams | None = None
    made: Generation | None = None
    running: bool = False
    fingerprint: str = ""

    @property
    def scored(self) -> bool:
        """Whether the log-probabilities of all its tokens are known."""
        return len(self.logprobs) == len(self.token_ids)

    @property
    def cumulative_logprob(self) -> float:
        """Of all its tokens; NaN where some are not scored."""
        return self.logprob_after(0) if self.scored else math.nan

    def logprob_after(self, position: int) -> float:
        """The log-probability of its tokens from `position` on, as far as they are scored."""
        return math.fsum(own(p).logprob for p in self.logprobs[position:])

    def output(self, *, growing: bool = False) -> RequestOutput:
        """All of it as one output, as if it had been generated at once. Where not all tokens are scored
        there are no logprobs; growing: those that there are."""
        some = self.scored or (growing and self.logprobs)
        completion = CompletionOutput(
            index=0,
            text=self.text,
            token_ids=self.token_ids,
            cumulative_logprob=self.cumulative_logprob,
            logprobs=self.logprobs if some else None,
            finish_reason=self.finish_reason,
        )
        return RequestOutput(
            request_id=str(self.number), prompt=self.prompt, prompt_token_ids=self.prompt_ids,
            outputs=[completion], finished=not self.running, metrics=_UNTIMED,
        )  # fmt: skip

    def __repr__(self) -> str:
        where = f"of {self.parent.number} at {self.position}" if self.parent else "of the prompt"
        return f"<Branch {self.number} {where}: {len(self.token_ids)} tokens>"


def own(position: Position) -> Logprob:
    """Of the position's own token."""
    return next(iter(position.values()))


def choices(position: Position) -> list[int]:
    """The token ids of the likeliest tokens, in the order in which views have them."""
    return [next(t for t, p in position.items() if p is top) for top in likeliest(position)]


def instead(position: Position, token: int) -> Position | None:
    """The position with another of its tokens as its own; None: that one is not known there."""
    return {token: position[token], **position} if token in position else None


class Branches:
    """All branches of a widget, in the order in which they began."""

    def __init__(self):
        self.all: list[Branch] = []
        self._count = 0

    def add(self, branch: Branch) -> None:
        """Give it its number, and a name if it has none."""
        self._count += 1
        branch.number = self._count
        branch.name = branch.name or f"branch {branch.number}"
        self.all.append(branch)

    def find(self, which: int | str) -> Branch:
        """By number or by name. Raises `ParamError`."""
        found = [b for b in self.all if which == (b.name if isinstance(which, str) else b.number)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{b.number} ({b.name!r})" for b in self.all[-20:]) or "none"
        problem = "is the name of several branches" if found else "is no branch"
        raise ParamError(f"{which!r} {problem}; there are: {known}")

    def remove(self, branch: Branch) -> list[Branch]:
        """Take it out with all that parts from it; what was taken out."""
        gone = [each for _, each in self._below(branch, 0)]
        self.all = [each for each in self.all if each not in gone]
        return gone

    def tree(self) -> list[tuple[int, Branch]]:
        """Each branch with its depth, those that part from it behind it."""
        roots = [b for b in self.all if b.parent is None]
        return [each for root in roots for each in self._below(root, 0)]

    def _below(self, branch: Branch, depth: int) -> Iterator[tuple[int, Branch]]:
        stack = [(depth, branch)]
        while stack:
            depth, each = stack.pop()
            yield depth, each
            after = sorted((b for b in self.all if b.parent is each), key=lambda b: b.position)
            stack += [(depth + 1, child) for child in reversed(after)]


def num_shared(a: Branch, b: Branch) -> int:
    """How many tokens two branches begin with alike; 0 where their prompts differ."""
    if a.prompt_ids != b.prompt_ids:
        return 0
    pairs = enumerate(zip(a.token_ids, b.token_ids, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a.token_ids), len(b.token_ids)))
