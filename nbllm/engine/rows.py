"""The running requests as arrays: what one step needs of each, without a Python loop over them.

A request keeps its row from admission to its end. On a GPU the same rows live on the device and
these are their host mirror; here the runner reads them directly. Nothing in them is new: `place`
derives a row from its request, so after an interrupt the rows are simply built again.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from nbllm.models.batch import PAGE_SIZE

from .needs import NO_TOP, top_of, wants_of
from .request import Request

NO_TOKEN = -1


class Rows:
    """Arrays of max_rows rows; `active` lists those that decode, in the order of `decoding`."""

    def __init__(self, max_rows: int, max_pages: int, max_stop_ids: int = 2):
        self.max_rows = max_rows
        self.last = np.zeros(max_rows, np.int64)  # the newest token
        self.length = np.zeros(max_rows, np.int64)  # tokens, the newest included
        self.limit = np.zeros(max_rows, np.int64)
        self.min_length = np.zeros(max_rows, np.int64)  # EOS and stop ids are masked below it
        self.capacity = np.zeros(max_rows, np.int64)  # tokens that its pages hold
        self.pages = np.zeros((max_rows, max_pages), np.int64)
        self.stop_ids = np.full((max_stop_ids, max_rows), NO_TOKEN, np.int64)
        self.seed = np.zeros(max_rows, np.int64)
        self.temperature = np.zeros(max_rows, np.float32)  # 0: greedy
        self.top_p = np.ones(max_rows, np.float32)
        self.top_k = np.zeros(max_rows, np.int64)
        self.min_p = np.zeros(max_rows, np.float32)
        self.repetition = np.ones(max_rows, np.float32)
        self.frequency = np.zeros(max_rows, np.float32)
        self.presence = np.zeros(max_rows, np.float32)
        self.penalized = np.zeros(max_rows, bool)  # any of the three is on
        self.biased = np.zeros(max_rows, bool)  # logit_bias or allowed_token_ids
        self.scripted = np.zeros(max_rows, bool)  # bad_words or logits_processors
        self.placement = np.zeros(max_rows, np.int64)  # a new number whenever a row is filled
        self._placements = count(1)
        self.constrained = np.zeros(max_rows, bool)  # by a grammar
        self.wants = np.zeros(max_rows, np.int64)  # bits of needs.py: what a device does for it
        self.top = np.full(max_rows, NO_TOP)  # likeliest tokens that a device keeps of each step
        self.version = 0  # a new number whenever a device has something to learn
        self.clear()

    def clear(self) -> None:
        """No requests."""
        self.free = list(range(self.max_rows))[::-1]
        self.active = np.zeros(0, np.int64)
        self.decoding: list[Request] = []
        self.request: list[Request | None] = [None] * self.max_rows
        self.version += 1

    def place(self, request: Request) -> None:
        """Give `request` a row; the caller has looked at `free`."""
        row, params = self.free.pop(), request.params
        self.last[row], self.length[row] = request.tokens[-1], len(request.tokens)
        self.limit[row], self.seed[row] = request.limit, request.seed
        self.min_length[row] = request.num_prompt + params.min_tokens
        self._set_stop_ids(row, [*request.eos_ids, *params.stop_ids])
        self.temperature[row] = 0.0 if params.greedy else params.temperature
        self.top_p[row], self.top_k[row] = params.top_p, max(params.top_k, 0)
        self.min_p[row] = params.min_p
        self.repetition[row] = params.repetition_penalty
        self.frequency[row], self.presence[row] = params.frequency_penalty, params.presence_penalty
        self.penalized[row] = params.penalizes
        self.biased[row] = bool(params.logit_bias or params.allowed_token_ids)
        self.scripted[row] = bool(request.bad_words or params.logits_processors)
        self.placement[row] = next(self._placements)
        self.constrained[row] = request.matcher is not None
        self.wants[row], self.top[row] = wants_of(request), top_of(request)
        request.row, self.request[row] = row, request
        self.pages[row, : len(request.pages)] = request.pages
        self.pages[row, len(request.pages) :] = 0
        self.capacity[row] = len(request.pages) * PAGE_SIZE
        self.version += 1

    def add_page(self, request: Request) -> None:
        """Follow the request's page list, which has grown by one."""
        row, num_pages = request.row, len(request.pages)
        self.pages[row, num_pages - 1] = request.pages[-1]
        self.capacity[row] = num_pages * PAGE_SIZE
        self.version += 1

    def activate(self, request: Request) -> None:
        """From now on the request decodes one token a step."""
        self.decoding.append(request)
        self.active = np.append(self.active, request.row)
        self.version += 1

    def remove(self, request: Request) -> None:
        """Take the request's row back."""
        if request.decoding:
            at = self.decoding.index(request)
            del self.decoding[at]
            self.active = np.delete(self.active, at)
        self.free.append(request.row)
        self.request[request.row] = None
        self.version += 1

    def kept(self, rows: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of tokens [S, R] for `rows`: how many count, and the indices of rows that may have ended.

        A row that ends gets no more of them, nor one that has NO_TOKEN.
        """
        room = self.limit[rows] - self.length[rows]
        if len(tokens) == 1:
            ended, [tokens] = room <= 1, tokens
            for ids in self.stop_ids:  # one column a stop id
                ended |= ids[rows] == tokens
            return np.ones(len(rows), np.int64), ended.nonzero()[0]
        ended = np.arange(1, len(tokens) + 1)[:, None] >= room
        for ids in self.stop_ids:
            ended |= ids[rows] == tokens
        steps, missing = len(tokens), tokens == NO_TOKEN
        if not (ended.any() or missing.any()):
            return np.full(len(rows), steps), np.arange(0)
        first = np.where(ended.any(0), ended.argmax(0), steps)
        there = np.where(missing.any(0), missing.argmax(0), steps)
        return np.minimum(first + 1, there), (first < there).nonzero()[0]

    def advance(self, rows: np.ndarray, tokens: np.ndarray, counts: np.ndarray) -> None:
        """Record the first `counts` of new tokens [S, R] for each of `rows`, at least one."""
        one = len(tokens) == 1
        self.last[rows] = tokens[0] if one else tokens[counts - 1, np.arange(len(rows))]
        self.length[rows] += counts

    def full(self, ahead: int = 0) -> list[Request]:
        """Decoding requests whose newest token has no page yet, or will have none `ahead` tokens on."""
        short = np.minimum(self.length + ahead, self.limit - 1) > self.capacity
        return [self.decoding[i] for i in short[self.active].nonzero()[0].tolist()]

    def _set_stop_ids(self, row: int, ids: list[int]) -> None:
        lacking = len(ids) - len(self.stop_ids)
        if lacking > 0:
            more = np.full((lacking, self.max_rows), NO_TOKEN, np.int64)
            self.stop_ids = np.concatenate([self.stop_ids, more])
        self.stop_ids[:, row] = NO_TOKEN
        self.stop_ids[: len(ids), row] = ids
