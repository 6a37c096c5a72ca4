"""Who runs in the next step. Plain Python over page and row numbers: every policy is tested without a model.

Decoding requests come first, one token each; prompts share what is left of the token budget,
oldest first, in chunks when they do not fit. When pages run out the youngest request gives its own
back and is computed again later.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nbllm.models.batch import PAGE_SIZE

from .pages import PagePool, pages_for
from .request import NO_ROW, Request
from .rows import Rows

LEAST = 256
"""Tokens of prompts in a step that lacks memory, below which fewer would not help."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What one step computes: the next token of `decoding`, then tokens start … stop of each chunk.

    A runner may add up to `steps` tokens in a row, if pages are there, as long as nobody hurries.
    """

    rows: np.ndarray  # [B] the rows of `decoding`
    decoding: list[Request]
    chunks: list[tuple[Request, int, int]]
    completing: list[Request]  # those of the chunks that reach their last token: sampled too
    steps: int = 1
    hurried: Callable[[], bool] = bool

    @property
    def sampled(self) -> list[Request]:
        """Who gets a token, in the order of the logits."""
        return self.decoding + self.completing

    @property
    def sampled_rows(self) -> np.ndarray:
        """The rows of `sampled`."""
        if not self.completing:
            return self.rows
        return np.append(self.rows, [r.row for r in self.completing]).astype(np.int64)

    @property
    def requests(self) -> list[Request]:
        """Everybody in the step."""
        return self.decoding + [request for request, _, _ in self.chunks]

    def parts(self) -> list[Plan]:
        """The same work, one request at a time."""
        alone = [
            Plan(rows=self.rows[i : i + 1], decoding=[r], chunks=[], completing=[])
            for i, r in enumerate(self.decoding)
        ]
        none = np.zeros(0, np.int64)
        return alone + [
            Plan(
                rows=none,
                decoding=[],
                chunks=[c],
                completing=[r for r in self.completing if r is c[0]],
            )
            for c in self.chunks
        ]

    def __bool__(self) -> bool:
        return bool(self.decoding or self.chunks)


BURST = 8
"""Steps that are looked at together where nobody waits for each: one look at each costs time."""
BURSTS = ((128, BURST), (32, 4), (0, 1))
"""Requests from which on it is so many, whoever waits."""


class Scheduler:
    """Decides; owns the pages and the rows. Waiting and running are views of the requests given to it."""

    def __init__(self, pages: PagePool, rows: Rows, max_tokens: int, ahead: int = 0):
        self.pages, self.rows, self.max_tokens = pages, rows, max_tokens
        self.budget = max_tokens  # less once memory for so many was lacking
        self.ahead = ahead  # tokens for which there should be a page before they are due
        self.waiting: list[tuple[int, float, str, Request]] = []  # a heap
        self.prefilling: list[Request] = []
        self.parked: list[Request] = []  # their prompts are cached, and beams continue them

    @property
    def running(self) -> list[Request]:
        return self.rows.decoding + self.prefilling + self.parked

    @property
    def idle(self) -> bool:
        """Whether nobody runs."""
        return not (self.rows.decoding or self.prefilling or self.parked)

    def add(self, request: Request) -> None:
        heapq.heappush(self.waiting, (*request.order, request.id, request))

    def schedule(self, patient: bool = False) -> Plan:
        """Give pages and rows to the requests of the next step; patient: as in `Engine.step`."""
        for request in self.rows.full():
            if request.row != NO_ROW:  # not preempted for an older one of this loop
                self._grow(request)
        for request in self.rows.full(self.ahead) if self.ahead else ():
            if self.pages.room(1):
                self._extend(request)
        if self.idle:
            self.budget = self.max_tokens
            self.pages.insist()
        budget = self.budget - len(self.rows.decoding)
        self._admit(budget - sum(r.num_missing for r in self.prefilling))
        chunks = []
        for request in self.prefilling:
            if (count := min(request.num_missing, budget)) > 0:
                chunks.append((request, request.num_prefilled, request.num_prefilled + count))
                budget -= count
        count = len(self.rows.decoding)
        burst = BURST if patient else next(steps for least, steps in BURSTS if count >= least)
        return Plan(
            rows=self.rows.active,
            decoding=list(self.rows.decoding),
            chunks=chunks,
            completing=[r for r, _, stop in chunks if stop == len(r.tokens)],
            # who waits for a row or a page is not to wait for longer than one step, nor is a search
            steps=1 if chunks or self.waiting or self.parked else burst,
        )

    @property
    def stuck(self) -> Request | None:
        """Who would be next, and cannot have pages although nobody else has any."""
        return self.waiting[0][-1] if self.waiting and self.idle else None

    def compute_less(self, plan: Plan) -> bool:
        """Take half as many tokens of prompts into a step as `plan` has; False if they are few."""
        count = sum(stop - start for _, start, stop in plan.chunks)
        if count > LEAST:
            self.budget = len(plan.decoding) + count // 2
        return count > LEAST

    def computed(self, request: Request, num_tokens: int) -> None:
        """The first `num_tokens` of a prefilling request are in the cache now."""
        request.num_prefilled = num_tokens
        self.pages.publish(request)

    def decode(self, request: Request) -> None:
        """The request's prompt is in the cache and it has its first new token."""
        self.prefilling.remove(request)
        request.decoding = True
        self.rows.activate(request)

    def park(self, request: Request) -> None:
        """The prompt of a search is cached: it keeps its pages, and others may have its row."""
        assert request.search is not None
        request.search.parked = True
        self.prefilling.remove(request)
        self.rows.remove(request)
        request.row = NO_ROW
        self.parked.append(request)

    def remove(self, request: Request) -> None:
        """Forget a request that has finished, wherever it is."""
        if request.row != NO_ROW:
            self._withdraw(request)
        elif request in self.parked:
            self.parked.remove(request)
            self.pages.drop(request.held_pages)
            request.release()
        else:
            self.waiting = [entry for entry in self.waiting if entry[-1] is not request]
            heapq.heapify(self.waiting)

    def rebuild(self, live: Iterable[Request]) -> None:
        """Derive everything again from the requests themselves, after an interrupted step."""
        self.waiting, self.prefilling, self.parked = [], [], []
        self.rows.clear()
        live = list(live)
        for request in live:
            # interrupted between its first token and decoding, where that needs another page
            if not request.decoding and pages_for(len(request.tokens)) > len(request.pages):
                request.release()
        self.pages.rebuild(r.held_pages for r in live)
        for request in sorted(live, key=lambda r: r.order):
            if not request.pages:
                request.release()
                self.add(request)
                continue
            if request.search and request.search.parked:
                request.row = NO_ROW
                self.parked.append(request)
                continue
            self.rows.place(request)
            self.rows.activate(request) if request.decoding else self.prefilling.append(request)

    def _admit(self, budget: int) -> None:
        """Start waiting requests, in order, while there are rows, pages and budget for them."""
        if not self.waiting:
            return
        begun = {self._find(r)[2] for r in self.prefilling} - {None}
        later = []
        while self.waiting and len(self.rows.free) > len(later) and budget > 0:
            request = self.waiting[0][-1]
            found, chain, key = self._find(request)
            if key in begun:
                # somebody is computing the same prefix: a step later it can be shared
                later.append(heapq.heappop(self.waiting))
                continue
            if not self._place(request, found, chain):
                break
            heapq.heappop(self.waiting)
            begun |= {key} - {None}
            budget -= request.num_missing
        for entry in later:
            heapq.heappush(self.waiting, entry)

    def _find(self, request: Request):
        return self.pages.find(request.tokens, request.max_reused)

    def _place(self, request: Request, found: list[int], chain: list[int]) -> bool:
        """Give a request a row and its pages, the `found` ones shared; False if they do not suffice."""
        lacking = pages_for(len(request.tokens)) - len(found)
        beams = request.search.num_pages if request.search else 0
        unused = sum(self.pages.refs[page] == 0 for page in found)
        # a page more than the prompt, lest the first new tokens preempt somebody at once
        if not self.pages.room(lacking + (beams or bool(self.running)), unused):
            return False
        if request.num_reused is None:
            request.num_reused = len(found) * PAGE_SIZE
            self.pages.num_asked += request.num_prompt
            self.pages.num_hit += request.num_reused
        self.pages.share(found)
        request.num_prefilled, request.chain = len(found) * PAGE_SIZE, chain
        if request.search:
            request.search.pages = self.pages.take(beams)
        # these come last: after an interrupt a request that has them goes on with what it has
        request.pages = found + self.pages.take(lacking)
        self.rows.place(request)
        self.prefilling.append(request)
        return True

    def _grow(self, request: Request) -> None:
        while not self.pages.room(1):
            # never a search: it would have to begin again
            victim = max(self.rows.decoding + self.prefilling, key=lambda r: r.order)
            self._withdraw(victim)
            self.add(victim)
            if victim is request:
                return
        self._extend(request)

    def _extend(self, request: Request) -> None:
        """One page more, for which there is room."""
        self.pages.publish(request)
        request.pages += self.pages.take(1)
        self.rows.add_page(request)

    def _withdraw(self, request: Request) -> None:
        self.pages.publish(request)
        self.rows.remove(request)
        if not request.decoding:
            self.prefilling.remove(request)
        self.pages.drop(request.held_pages)
        request.release()
