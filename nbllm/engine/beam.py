"""Beam search: the searches of a wave step together, each with its own beams.

A wave is one `State` after the other. A step computes the next state from the present one and
replaces it at the end, so an interrupt anywhere only repeats a step: what it wrote to the cache goes
to the same slots again. What became of every candidate is kept on the host, a `Step` a step, and is
all that the results are made from.

Shapes: G searches still in the wave, W beams each, S steps at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nbllm.beams import Step
from nbllm.models.batch import PAGE_SIZE, Batch, Beams

from .beam_select import Candidates, Choice, Rules, candidates, choose
from .beam_stops import StopStrings
from .masks import Masks
from .request import Request
from .search import Constraint, Search

if TYPE_CHECKING:
    from .runner import Runner

Constraints = list[list[Constraint | None]]


@dataclass(slots=True, kw_only=True, frozen=True)
class State:
    """Where the searches of a wave are."""

    step: int  # steps done
    groups: np.ndarray  # [G] which of the wave's searches these are
    done: np.ndarray  # [G] bool: ended with the latest step
    pages: Tensor  # [G, M] page tables of the prompts
    prompt_lens: Tensor  # [G] their tokens in the cache: all but the last
    slots: Tensor  # [G, S, W] where the keys and values of each step go
    limits: Tensor  # [G] steps at most
    tokens: Tensor  # [G, W] the newest of each beam
    scores: Tensor  # [G, W] cumulative log-probabilities; -inf: no such beam
    ancestors: Tensor  # [G, W, step + 1] see `Beams`
    finished: Tensor  # [G, W] see `Choice`
    constraints: Constraints | None  # [G][W]
    ids: list[list[list[int]]] | None  # [G][W] what each beam has generated; for stop strings

    def only(self, which: np.ndarray) -> State:
        """The state of some of its searches (indices into G)."""
        at = torch.from_numpy(which).to(self.tokens.device)
        changed = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, list):
                changed[f.name] = [value[i] for i in which]
            elif isinstance(value, np.ndarray | Tensor):
                changed[f.name] = value[which if isinstance(value, np.ndarray) else at]
        return replace(self, **changed)

    def batch(self, kv: Tensor) -> Batch:
        """The newest token of every beam, as a batch."""
        position = (self.prompt_lens + self.step)[:, None].expand_as(self.tokens)
        none = torch.zeros(0, dtype=torch.int64, device=kv.device)
        beams = Beams(
            pages=self.pages,
            prompt_lens=self.prompt_lens,
            max_prompt_len=int(self.prompt_lens.max()),
            slots=self.slots[:, : self.step + 1],
            ancestors=self.ancestors,
        )
        return Batch(
            ids=self.tokens.flatten(),
            positions=position.flatten().contiguous(),
            slots=self.slots[:, self.step].flatten().contiguous(),
            kv=kv,
            pages=none[:, None],
            kv_lens=none,
            max_kv_len=0,
            chunks=[],
            last=None,
            beams=beams,
        )


class Wave:
    """Searches with the same parameters that began together."""

    def __init__(self, requests: list[Request], vocab: int, device: torch.device):
        self.requests, self.steps, self.vocab = requests, list[Step](), vocab
        first = search_of(requests[0])
        self.rules = Rules.of(first.params, first.eos_ids, vocab, device)
        self.stops = StopStrings(first.params, first.tokenizer) if first.params.stop else None
        self.state = self._first(device)
        for i, request in enumerate(requests):
            search = search_of(request)
            search.wave, search.index = self, i

    @property
    def over(self) -> bool:
        """Whether none of its requests goes on."""
        return all(r.finished for r in self.requests)

    @property
    def done(self) -> list[Request]:
        """The requests whose searches have come to their end."""
        return [self.requests[i] for i in self.state.groups[self.state.done]]

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return self.state.step

    def release(self) -> None:
        """Let go of the device; nothing here outlives its requests."""

    @torch.inference_mode()
    def step(self, runner: Runner, most: int) -> int:
        """Run the live beams' newest tokens and choose the next; how many beams there were.

        That is one step, whatever `most` allows: the host has to see it before the next.
        """
        state = self._present()
        if not len(state.groups):
            return 0
        model, kv, masks = runner.model, runner.kv, runner.masks
        allowed = _allowed(state.constraints, self.vocab, masks)
        logits = model.compute_logits(model.forward(state.batch(kv))).float()
        found = candidates(logits, state.scores, self.rules, allowed and allowed().to(kv.device))
        self._find_stops(found, state)
        found, choice = choose(found, self.rules, state.step + 1, state.limits, state.finished)
        self.steps[state.step :] = [_on_host(state, found, choice)]
        self._note_time(state)
        self.state = _advance(state, found, choice)
        return state.tokens.numel()

    def _present(self) -> State:
        """The state without searches that have ended, or were aborted: their pages may be others'."""
        state = self.state
        ended = np.array([self.requests[i].finished for i in state.groups], bool)
        gone = ended | state.done
        return state.only(np.flatnonzero(~gone)) if gone.any() else state

    def _note_time(self, state: State) -> None:
        if state.step == 0:
            for request in self.requests:
                request.first_token_time = time.time()

    def _find_stops(self, found: Candidates, state: State) -> None:
        if self.stops is None or state.ids is None:
            return
        beams = [ids for group in state.ids for ids in group]
        tokens = found.tokens.flatten(0, 1).cpu().numpy()
        stops = torch.from_numpy(self.stops.completed(beams, tokens)).view_as(found.ends)
        found.ends = found.ends | stops.to(found.ends.device)

    def _first(self, device: torch.device) -> State:
        searches = [search_of(r) for r in self.requests]
        count, width = len(searches), self.rules.width
        scores = torch.full((count, width), -torch.inf, dtype=self.rules.dtype)
        # one beam in each group of beams; the others come to life with the first step
        scores[:, :: width // self.rules.params.num_beam_groups] = 0.0
        last = torch.tensor([r.tokens[-1] for r in self.requests])
        constrained = any(s.constraint for s in searches)
        state = State(
            step=0,
            groups=np.arange(count),
            done=np.zeros(count, bool),
            pages=_padded([r.pages for r in self.requests]),
            prompt_lens=torch.tensor([len(r.tokens) - 1 for r in self.requests]),
            slots=_slots(searches),
            limits=torch.tensor([s.limit for s in searches]),
            tokens=last[:, None].repeat(1, width),
            scores=scores,
            ancestors=torch.arange(width).repeat(count, 1)[:, :, None],
            finished=torch.full_like(scores, -torch.inf),
            constraints=[[s.constraint] * width for s in searches] if constrained else None,
            ids=[[[] for _ in range(width)] for _ in searches] if self.stops else None,
        )
        moved = {
            f.name: v.to(device)
            for f in fields(state)
            if isinstance(v := getattr(state, f.name), Tensor)
        }
        return replace(state, **moved)


def search_of(request: Request) -> Search:
    """The search that a request is."""
    assert request.search is not None
    return request.search


def _padded(tables: list[list[int]]) -> Tensor:
    """Page tables of different lengths, filled up with the null page."""
    longest = max(map(len, tables))
    return torch.tensor([[*t, *[0] * (longest - len(t))] for t in tables])


def _slots(searches: list[Search]) -> Tensor:
    """The slots of every step and beam, dense in each search's pages: [G, S, W]."""
    width, steps = searches[0].params.beam_width, max(s.limit for s in searches)
    pages = _padded([s.pages for s in searches])
    at = torch.arange(steps * width)
    # a search with fewer steps than others has ended before it comes to what it has no pages for
    page = pages[:, (at // PAGE_SIZE).clamp(max=pages.shape[1] - 1)]
    return (page * PAGE_SIZE + at % PAGE_SIZE).view(len(searches), steps, width)


def _allowed(
    constraints: Constraints | None, vocab: int, masks: Masks
) -> Callable[[], Tensor] | None:
    """What the beams' constraints let them say next, found beside the model: bool [G * W, V]."""
    if constraints is None:
        return None
    every, free = [c for group in constraints for c in group], np.ones(vocab, bool)

    def make() -> Tensor:
        return torch.from_numpy(np.stack([c.allowed()[:vocab] if c else free for c in every]))

    return masks.soon(make)


def _on_host(state: State, found: Candidates, choice: Choice) -> Step:
    return Step(
        groups=state.groups,
        tokens=found.tokens.int().cpu().numpy(),
        logprobs=found.logprobs.cpu().numpy(),
        ranks=None if found.ranks is None else found.ranks.int().cpu().numpy(),
        completed=choice.completed.cpu().numpy(),
        kept=choice.kept.cpu().numpy(),
        scores=choice.scores.cpu().numpy(),
    )


def _advance(state: State, found: Candidates, choice: Choice) -> State:
    """The state after the choice: every new beam has its parent's history, and itself."""
    tokens = found.tokens.flatten(1).gather(1, choice.kept)
    parents = choice.kept // found.tokens.shape[2]
    history = state.ancestors.gather(1, parents[:, :, None].expand_as(state.ancestors))
    itself = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    return replace(
        state,
        step=state.step + 1,
        done=choice.done.cpu().numpy(),
        tokens=tokens,
        scores=choice.scores,
        ancestors=torch.cat((history, itself[:, :, None]), 2),
        finished=choice.finished,
        constraints=_forked(state, parents, tokens, choice.scores),
        ids=None if state.ids is None else _grown(state.ids, parents.tolist(), tokens.tolist()),
    )


def _grown(ids: list[list[list[int]]], parents: list, tokens: list) -> list[list[list[int]]]:
    return [
        [[*old[p], t] for p, t in zip(*new, strict=True)]
        for old, *new in zip(ids, parents, tokens, strict=True)
    ]


def _forked(state: State, parents: Tensor, tokens: Tensor, scores: Tensor) -> Constraints | None:
    """The constraints of the new beams: forks of their parents', which stay as they were."""
    if state.constraints is None:
        return None
    new: Constraints = []
    for old, *beams in zip(
        state.constraints, parents.tolist(), tokens.tolist(), scores.tolist(), strict=True
    ):
        new.append([_accepted(old[p], t, s) for p, t, s in zip(*beams, strict=True)])
    return new


def _accepted(constraint: Constraint | None, token: int, score: float) -> Constraint | None:
    if constraint is None or score == -np.inf:
        return None
    fork = constraint.fork()
    fork.accept(token)
    return fork
