"""The engine: add requests, step until they finish.

It has no thread. Whoever waits for tokens calls `step`, and a step advances everybody's requests.
`add` and `abort` only leave a note that the next step reads, so they never wait for one.

The truth is `live` and the requests in it; rows, pages and queues are derived. Every prefix of a
step's effects on a request is a valid state, so after an interrupt, wherever it hit, everything
derived is built again and at most one step's work is repeated.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from torch import nn

from .request import Request
from .runner import Runner
from .sampler import Samples
from .scheduler import Plan, Scheduler
from .stats import Stats
from .stops import stop_of
from .turns import Turns
from .waves import Waves


class Engine:
    """Continuous batching over one runner."""

    def __init__(self, runner: Runner, scheduler: Scheduler):
        self.runner, self.scheduler = runner, scheduler
        self.live: dict[str, Request] = {}
        self._inbox: deque[tuple[str, Request]] = deque()
        self._turns = Turns()
        self._whole = True  # the last step ran to its end
        self._watched: dict[str, Request] = {}  # those with stop strings
        self.stats = Stats()
        self.waves = Waves(runner, scheduler, self.stats)

    @property
    def num_unfinished(self) -> int:
        """Requests that are running, waiting, or just added."""
        added = [r for kind, r in list(self._inbox) if kind == "add"]
        return len({r.id for r in [*list(self.live.values()), *added] if not r.finished})

    def add(self, request: Request) -> None:
        """Queue a request. Never waits."""
        self._inbox.append(("add", request))

    def abort(self, request: Request) -> None:
        """End a request with finish_reason "abort" before the next step computes. Never waits."""
        self._inbox.append(("abort", request))

    def step(self, unless: Callable[[], bool] | None = None) -> None:
        """Advance every running request by one token, or a part of its prompt; every search by a step.

        Other waiters may step while this one waits for its turn; `unless` is asked when the turn has
        come, and True leaves the step to the next. So nobody steps past their own unread news.
        """
        with self._turns:
            if unless is not None and unless():
                return
            self._prepare()
            if plan := self.scheduler.schedule():
                self._run(plan)
            self.waves.step(plan, self._end)
            self._whole = True

    def settle(self) -> None:
        """Carry out what `add` and `abort` left, without computing anything."""
        with self._turns:
            self._prepare()
            self._whole = True

    def reset_prefix_cache(self) -> None:
        """Forget every cached prefix."""
        with self._turns:
            self.scheduler.pages.forget_blocks()

    def weights_changed(self, model: nn.Module | None = None) -> None:
        """What was computed before does not count any more; `model`: instead of the one so far."""
        with self._turns:
            self.scheduler.pages.forget_blocks()
            if model is not None:
                self.runner.replace(model)

    def close(self) -> None:
        """End every request and let go of the model and the cache."""
        with self._turns:
            for request in [*self.live.values(), *(r for _, r in self._inbox)]:
                request.finish_reason = request.finish_reason or "abort"
            self._inbox.clear()
            self.live.clear()
            self._watched.clear()
            self.waves.clear()
            self.scheduler.rebuild(())
            self.runner.close()

    def _prepare(self) -> None:
        if not self._whole:
            self._repair()
        self._whole = False
        while self._inbox:
            kind, request = self._inbox[0]
            self._take(request) if kind == "add" else self._end(request, "abort")
            self._inbox.popleft()

    def _take(self, request: Request) -> None:
        if request.finished or request.id in self.live:
            return
        self.live[request.id] = request
        if request.params.stop:
            self._watched[request.id] = request
        self.scheduler.add(request)

    def _run(self, plan: Plan) -> None:
        begin = time.perf_counter()
        try:
            samples = self.runner.run(plan)
        except Exception as error:
            self._isolate(plan, error)
        else:
            self._collect(plan, samples)
            self.stats.step(len(plan.sampled), time.perf_counter() - begin)

    def _isolate(self, plan: Plan, error: Exception) -> None:
        """A step failed: run its requests one by one, and end those that fail alone."""
        parts = plan.parts()
        for part in parts:
            try:
                samples = self.runner.run(part) if len(parts) > 1 else _reraise(error)
            except Exception as own:
                # the traceback keeps its lines, but not the tensors of the model's frames
                traceback.clear_frames(own.__traceback__)
                [request] = part.requests
                request.error = own
                self._end(request, "abort")
            else:
                self._collect(part, samples)

    def _collect(self, plan: Plan, samples: Samples | None) -> None:
        """Give every sampled request its token, then end those that are done."""
        if samples is not None:
            for new in samples.scores:
                new.request.keep_scores(new.first, new.logprobs, new.tops)
            self._append(plan.sampled, samples)
        for request, _, stop in plan.chunks:
            self.scheduler.computed(request, stop)
        for request in plan.completing:
            request.first_token_time = request.first_token_time or time.time()
            self.scheduler.decode(request)
        if samples is not None:
            sampled = plan.sampled
            ended = self.scheduler.rows.advance(plan.sampled_rows, samples.tokens)
            for request in {*(sampled[i] for i in ended), *self._watched.values()}:
                if stop := stop_of(request):
                    self._end(request, *stop)

    def _append(self, requests: list[Request], samples: Samples) -> None:
        """The one loop over all rows of a step; see `Request` for why the token comes last."""
        for i, top in samples.tops.items():
            requests[i].top_logprobs.append(top)
        new = zip(requests, samples.tokens.tolist(), samples.logprobs.tolist(), strict=True)
        for request, token, logprob in new:
            request.logprobs.append(logprob)
            request.tokens.append(token)

    def _end(self, request: Request, reason: str, stop_reason: int | str | None = None) -> None:
        if request.finished:
            return
        request.stop_reason, request.finish_time = stop_reason, time.time()
        request.finish_reason = reason  # from here on it has ended, even if the rest is interrupted
        if request.id in self.live:
            self.stats.ended(request)
            self.scheduler.remove(request)
            self._forget(request)

    def _forget(self, request: Request) -> None:
        self.live.pop(request.id, None)
        self._watched.pop(request.id, None)

    def _repair(self) -> None:
        """After a step that did not run to its end: derive everything from the requests again."""
        for request in list(self.live.values()):
            request.forget_partial()
            if not request.finished and (stop := stop_of(request)):
                request.stop_reason, request.finish_time = stop[1], time.time()
                request.finish_reason = stop[0]
            if request.finished:
                request.release()
                self._forget(request)
        self._watched = {r.id: r for r in self.live.values() if r.params.stop}
        self.scheduler.rebuild(self.live.values())


def _reraise(error: Exception) -> NoReturn:
    raise error
