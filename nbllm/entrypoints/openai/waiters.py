"""Requests that wait on one event loop for one model.

The pump steps on its thread. After a step it wakes the loop, once for everybody and at most once
until the loop has looked; there one pass over those who wait finds who has news. Nothing is queued:
a request is read when its client can take it, and then as far as it has come, so tokens of steps
that the loop or a client was too slow for go out together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from ...engine.engine import Engine
from ...engine.pump import Pump
from ...engine.waiting import Work
from ...errors import ClosedError

Receive = Callable[[], Any]


class DisconnectedError(Exception):
    """The client has gone; nobody is there to be told."""


class Waiters:
    """Those who wait for jobs of one engine. Everything but `_stepped` is for the loop's thread."""

    def __init__(self, engine: Engine):
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Run, None] = {}
        self._called = False  # the loop is about to look
        self._began = self._rested = 0.0  # the latest look, and the earliest next one
        self.pump = Pump(engine, self._stepped)

    def enter(self, run: Run) -> None:
        self._waiting[run] = None
        for job in run.jobs:
            self.pump.add(job)

    def leave(self, run: Run) -> None:
        del self._waiting[run]
        for job in run.jobs:
            self.pump.drop(job)

    def close(self) -> None:
        """Abort what runs and end the thread."""
        self.pump.close()

    def _stepped(self) -> None:
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if (rest := self._rested - self._loop.time()) > 0:
            self._loop.call_later(rest, self._look)
            return
        self._called, self._began = False, self._loop.time()
        for run in self._waiting:
            run.look()
        # behind the runs that this has woken up
        self._loop.call_soon(self._looked)

    def _looked(self) -> None:
        now = self._loop.time()
        self._rested = now + (now - self._began)


class Run:
    """The jobs of one HTTP request. While inside its `async with`, they run; afterwards they do not.

    receive: ASGI's, whose next message says that the client has gone.
    """

    def __init__(self, waiters: Waiters, jobs: Sequence[Work[Any]], receive: Receive):
        self.jobs, self._waiters, self._receive = jobs, waiters, receive
        self._future: asyncio.Future[None] | None = None
        self._ready: Callable[[], bool] = bool
        self.gone = False

    async def __aenter__(self) -> Run:
        self._watch = asyncio.ensure_future(self._receive())
        self._watch.add_done_callback(self._left)
        self._waiters.enter(self)
        return self

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.cancel()
        self._waiters.leave(self)

    @property
    def finished(self) -> bool:
        return all(job.finished for job in self.jobs)

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Until `ready`, which is asked after steps. Raises what `check` raises."""
        while not (self.gone or ready()):
            self._ready, self._future = ready, asyncio.get_running_loop().create_future()
            await self._future
        self.check()

    def check(self) -> None:
        """Raise `DisconnectedError`, or what ended a job."""
        if self.gone:
            raise DisconnectedError
        for job in self.jobs:
            job.check()
            if any(r.finish_reason == "abort" for r in job.requests):
                raise ClosedError("the model was unloaded, or the server has ended, meanwhile")

    def look(self) -> None:
        """Wake up if there is a reason to."""
        if self._future is not None and not self._future.done() and (self.gone or self._ready()):
            self._future.set_result(None)

    def _left(self, watch: asyncio.Future[Any]) -> None:
        if not watch.cancelled():
            watch.exception()
            self.gone = True
            self.look()
