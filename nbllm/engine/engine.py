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
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import numpy as np
from torch import nn

from nbllm.errors import OutOfMemoryError

from .kv_memory import mib
from .out_of_memory import explained, lacks_memory
from .pages import pages_for
from .request import Request
from .runner import Runner
from .sampler import Samples
from .scheduler import Plan, Scheduler
from .sleep import PARTS, Sleep
from .stats import Stats
from .stops import stop_of
from .turns import Turns
from .waves import Waves
from .weights import Weights

NOWHERE = nullcontext()


class Engine:
    """Continuous batching over one runner."""

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        *,
        weights: Weights | None = None,
        home: AbstractContextManager = NOWHERE,
    ):
        self.runner, self.scheduler = runner, scheduler
        self._sleep = Sleep(runner, scheduler.pages, weights)
        self._home = home  # inside it the device is current
        self._relieved = False  # memory was lacking, and what could be freed has been
        self.live: dict[str, Request] = {}
        self._inbox: deque[tuple[str, Request]] = deque()
        self._turns = Turns()
        self._whole = True  # the last step ran to its end
        self._closed = False
        self._watched: dict[str, Request] = {}  # those with stop strings
        self.stats = Stats()
        self.waves = Waves(runner, scheduler, self.stats)

    @property
    def num_unfinished(self) -> int:
        """Requests that are running, waiting, or just added."""
        return len(self.unfinished)

    @property
    def unfinished(self) -> list[Request]:
        """These requests, as they are at this moment: another thread may be stepping."""
        added = {r.id: r for kind, r in list(self._inbox) if kind == "add"}
        both = {**added, **self.live.copy()}
        return [r for r in both.values() if not r.finished]

    @property
    def busy(self) -> bool:
        """Whether a step would find anything to do."""
        return bool(self.live or self._inbox)

    def add(self, request: Request) -> None:
        """Queue a request. Never waits."""
        self._inbox.append(("add", request))

    def abort(self, request: Request) -> None:
        """End a request with finish_reason "abort" before the next step computes. Never waits."""
        self._inbox.append(("abort", request))

    def step(self, unless: Callable[[], bool] | None = None, *, due: float | None = None) -> None:
        """Advance every running request by a token, or a part of its prompt; every search by a step.

        Other waiters may step while this one waits for its turn; `unless` is asked when the turn has
        come, and True leaves the step to the next. So nobody steps past their own unread news.
        It may be a few tokens of each request, where there are many, or where the caller is patient and
        looks only when it is `due`, by `time.monotonic`. An interrupt costs at most these. It stays with
        the token under way when somebody impatient wants a step, or adds or aborts a request.
        """
        with self._turns if due is None else self._turns.patient, self._home:
            if unless is not None and unless():
                return
            self._prepare()
            if self.asleep:
                self._wake()
            if plan := self.scheduler.schedule(patient=due is not None):
                self._run(plan, due)
            elif stuck := self.scheduler.stuck:
                self._refuse(stuck)
            self.waves.step(plan, self._end)
            if not self.live:
                self.scheduler.pages.shrink()
            self._whole = True

    def settle(self) -> None:
        """Carry out what `add` and `abort` left, without computing anything."""
        with self._turns:
            self._prepare()
            self._whole = True

    def reset_prefix_cache(self) -> None:
        """Forget every cached prefix."""
        with self._turns:
            self._forget_blocks()

    def weights_changed(self, model: nn.Module | None = None) -> None:
        """What was computed before does not count any more; `model`: instead of the one so far."""
        with self._turns, self._home:
            self._forget_blocks()
            if model is not None:
                self.runner.replace(model)

    def close(self) -> None:
        """End every request, those that are added later too, and let go of the model and the cache."""
        with self._turns, self._home:
            self._closed = True
            for request in [*self.live.values(), *(r for _, r in self._inbox)]:
                request.finish_reason = request.finish_reason or "abort"
            self._inbox.clear()
            self.live.clear()
            self._watched.clear()
            self.waves.clear()
            self.scheduler.rebuild(())
            self.runner.close()
            self._sleep.close()

    @property
    def closed(self) -> bool:
        """Whether `close` has begun."""
        return self._closed

    @property
    def asleep(self) -> bool:
        """Whether the weights or the cache are away; a step brings them back."""
        return bool(self._sleep.parts)

    @property
    def weights(self) -> Weights | None:
        """Where the weights are; None: they are not the engine's."""
        return self._sleep.weights

    def sleep(self, *, keep: bool) -> None:
        """Free the cache, and on a GPU the weights too; keep: these are copied to the host.

        Requests under way are computed again after waking up.
        """
        with self._turns, self._home:
            self._prepare()
            self._sleep.parts |= PARTS  # first: half asleep is asleep
            self._unload()
            self._sleep.begin(keep)
            self._whole = True

    def wake_up(self, parts: Iterable[str] = PARTS) -> None:
        """Bring back what `sleep` took. Raises `OutOfMemoryError`; then it sleeps on."""
        with self._turns, self._home:
            self._prepare()
            if self.asleep:
                self._wake(parts)
            self._whole = True

    def _wake(self, parts: Iterable[str] = PARTS) -> None:
        self._unload()  # again: going to sleep may have been interrupted
        self._sleep.end(parts)

    def _unload(self) -> None:
        for request in self.live.values():
            request.release()
        self.waves.clear()
        self.scheduler.rebuild(self.live.values())

    def _prepare(self) -> None:
        if not self._whole:
            self._repair()
        self._whole = False
        while self._inbox:
            kind, request = self._inbox[0]
            self._take(request) if kind == "add" else self._end(request, "abort")
            self._inbox.popleft()

    def _forget_blocks(self) -> None:
        whole, self._whole = self._whole, False  # an interrupt may leave a page in two places
        self.scheduler.pages.forget_blocks()
        self._whole = whole

    def _take(self, request: Request) -> None:
        if self._closed:
            request.finish_reason = request.finish_reason or "abort"
        if request.finished or request.id in self.live:
            return
        self.live[request.id] = request
        if request.params.stop:
            self._watched[request.id] = request
        self.scheduler.add(request)

    def _run(self, plan: Plan, due: float | None) -> None:
        begin = time.perf_counter()
        plan.hurried = lambda: (
            bool(self._inbox) or self._turns.wanted or (due is not None and time.monotonic() >= due)
        )
        if self._watched:
            plan.steps = 1
        try:
            samples = self.runner.run(plan)
        except Exception as error:
            if not (lacks_memory(error) and self._relieve(plan, error)):
                self._isolate(plan, error)
        else:
            self._relieved = False
            count = self._collect(plan, samples)
            self.stats.step(count, time.perf_counter() - begin)

    def _relieve(self, plan: Plan, error: Exception) -> bool:
        """A step lacked memory: free what can be freed, and plan less. False if that has not helped."""
        traceback.clear_frames(error.__traceback__)
        self.scheduler.pages.shrink(everything=True)
        self.runner.relieve()
        again = self.scheduler.compute_less(plan) or not self._relieved
        self._relieved = True
        return again

    def _refuse(self, request: Request) -> None:
        """End a request that could not run even alone."""
        pages, search = self.scheduler.pages, request.search
        need = pages_for(len(request.tokens)) + (search.num_pages if search else 0)
        size = pages.memory.bound / pages.num_pages
        request.error = OutOfMemoryError(
            f"{len(request.tokens)} tokens need {mib(need * size)} of KV cache; "
            f"{pages.memory.state()}: free some, raise gpu_memory_utilization or "
            "kv_cache_memory_bytes, or lower max_tokens or the beam width"
        )
        self._end(request, "abort")

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

    def _collect(self, plan: Plan, samples: Samples | None) -> int:
        """Give every sampled request its tokens, then end those that are done; how many tokens."""
        sampled, index, counts, ended = plan.sampled, plan.sampled_rows, None, ()
        if samples is not None:
            for new in samples.scores:
                new.request.keep_scores(new.first, new.logprobs, new.tops)
            counts, ended = self.scheduler.rows.kept(index, samples.tokens)
            self._append(sampled, samples, counts)
        for request, _, stop in plan.chunks:
            self.scheduler.computed(request, stop)
        for request in plan.completing:
            request.first_token_time = request.first_token_time or time.time()
            self.scheduler.decode(request)
        if samples is None or counts is None:
            return 0
        self.scheduler.rows.advance(index, samples.tokens, counts)
        for request in {*(sampled[i] for i in ended), *self._watched.values()}:
            if stop := stop_of(request):
                self._end(request, *stop)
        return len(index) if len(samples.tokens) == 1 else int(counts.sum())

    def _append(self, requests: list[Request], samples: Samples, counts: np.ndarray) -> None:
        """The one loop over all rows of a step; see `Request` for why the tokens come last."""
        for i, tops in samples.tops.items():
            requests[i].top_logprobs += tops[: counts[i]]
        if len(samples.tokens) == 1:  # a list for each request would cost more than all the rest
            [tokens], [logprobs] = samples.tokens.tolist(), samples.logprobs.tolist()
            for request, token, logprob in zip(requests, tokens, logprobs, strict=True):
                request.logprobs.append(logprob)
                request.tokens.append(token)
            return
        tokens, logprobs = samples.tokens.T.tolist(), samples.logprobs.T.tolist()
        for i in np.flatnonzero(counts < len(samples.tokens)):
            tokens[i], logprobs[i] = tokens[i][: counts[i]], logprobs[i][: counts[i]]
        for request, new, their in zip(requests, tokens, logprobs, strict=True):
            request.logprobs.extend(their)
            request.tokens.extend(new)

    def _end(self, request: Request, reason: str, stop_reason: int | str | None = None) -> None:
        if request.finished:
            return
        if request.error is not None:
            request.error = explained(request.error, self.scheduler.pages.memory.state())
        request.stop_reason, request.finish_time = stop_reason, time.time()
        request.finish_reason = reason  # from here on it has ended, even if the rest is interrupted
        if request.id in self.live:
            self.stats.ended(request)
            self.scheduler.remove(request)
            self._forget(request)
        if request.when_ended is not None:
            request.when_ended()

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
