"""Stepping for those who cannot: waiters on an event loop, which must not stand still for a step.

The engine has no thread: whoever waits steps. A server waits on behalf of many, so it has one thread
that does nothing but step, as long as any of them waits.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from typing import Any

from .engine import Engine
from .waiting import Work


class Pump:
    """A thread that steps an engine while it was given jobs which are not over.

    stepped: called after steps, on this thread, once for all jobs; it must neither wait nor raise.
    Whoever gives a job with `add` takes it back with `drop`, finished or not.
    """

    def __init__(self, engine: Engine, stepped: Callable[[], None]):
        self._engine, self._stepped = engine, stepped
        self._jobs: dict[int, Work[Any]] = {}
        self._wake = Condition()
        self._dropped = False  # since the latest step
        self._closed = False
        self._thread = Thread(target=self._run, name="nbllm-pump", daemon=True)

    def add(self, job: Work[Any]) -> None:
        """Run a job; never waits for a step. After `close` it is aborted at once."""
        if self._closed:
            for request in job.requests:
                request.finish_reason = "abort"
            self._stepped()
            return
        with self._wake:
            self._jobs[id(job)] = job
            for request in job.requests:
                self._engine.add(request)
            if self._thread.ident is None:  # the first one
                self._thread.start()
            self._wake.notify()

    def drop(self, job: Work[Any]) -> None:
        """Take a job back; what of it has not finished is aborted before the next step computes."""
        with self._wake:
            if self._jobs.pop(id(job), None) is None:
                return
            for request in job.requests:
                if not request.finished:
                    self._engine.abort(request)
                    self._dropped = True
            self._wake.notify()

    def close(self) -> None:
        """Drop every job and end the thread; waits for the step under way."""
        with self._wake:
            jobs = list(self._jobs.values())
        for job in jobs:
            self.drop(job)
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._wait():
            try:
                if self._jobs:
                    self._engine.step()
                else:
                    self._engine.settle()
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # they hold tensors
                self._fail(error)
            self._stepped()

    def _wait(self) -> bool:
        """Until there is something to do; False: nothing ever will be."""
        with self._wake:
            while not (self._dropped or (self._jobs and self._engine.busy)):
                if self._closed:
                    return False
                if self._jobs:
                    # another waiter's step may have ended the last of them
                    self._stepped()
                self._wake.wait()
            self._dropped = False
            return True

    def _fail(self, error: Exception) -> None:
        """A step failed as a whole, since there is no memory to wake up in or the LLM was closed."""
        with self._wake:
            requests = [r for job in self._jobs.values() for r in job.requests if not r.finished]
        for request in requests:
            request.error = error
            self._engine.abort(request)
        with suppress(Exception):
            self._engine.settle()
        for request in requests:
            request.finish_reason = request.finish_reason or "abort"
