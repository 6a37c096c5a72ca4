"""The runs of a widget: one at a time, followed in the background, stopped at any moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from threading import Event, RLock
from typing import Any

from ..outputs import BeamSearchOutput, RequestOutput
from ..results.generation import cut_short
from .loop import loop

PERIOD = 1 / 20
"""Seconds between updates: the page, not the model, is the slow part."""
DEBOUNCE = 0.3
"""Seconds without a change after which a live widget runs again."""

Output = RequestOutput | BeamSearchOutput
Stream = AsyncGenerator[RequestOutput, None]
BeamStream = AsyncGenerator[BeamSearchOutput, None]


@dataclass(kw_only=True, eq=False)
class Run:
    """What `Runs.start` was given, and how far it is."""

    begin: Callable[[], Stream | BeamStream]
    show: Callable[[list[Any]], None]
    end: Callable[[Exception | None, bool], None]
    after: float
    task: asyncio.Task[None] | None = None
    latest: dict[str, Output] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    over: Event = field(default_factory=Event)


class Runs:
    """The runs of one widget. A new one takes the place of the one before, whose requests end.

    lock: held while a function of a run is called. Whoever changes from another thread what these
    functions change holds it, too.
    """

    def __init__(self):
        self.lock = RLock()
        self._current: Run | None = None
        self._latest: Run | None = None

    @property
    def running(self) -> bool:
        """Whether there is a run that has not ended, be it that it waits to begin."""
        return self._current is not None

    def start(
        self,
        begin: Callable[[], Stream | BeamStream],
        *,
        show: Callable[[list[Any]], None],
        end: Callable[[Exception | None, bool], None],
        after: float = 0.0,
    ) -> None:
        """Begin a run; returns at once.

        begin: called `after` seconds later, returns the stream, such as `llm.astream(…)` or
        `llm.astream_beams(…)`. show: gets
        the outputs that have changed, each as it is now, at most 20 times a second and at the end.
        end: called once, with what went wrong, if anything did, and whether it was stopped; what was
        under way is then shown with finish_reason "abort". None is called for a run that has been
        replaced or dropped.
        """
        run = Run(begin=begin, show=show, end=end, after=after)
        with self.lock:
            self.drop()
            self._current = self._latest = run
        loop().call_soon_threadsafe(self._launch, run)

    def stop(self) -> None:
        """End the run; what it has made is kept. No error without one."""
        if (run := self._current) is not None:
            _cancel(run)

    def drop(self) -> None:
        """End the run, and forget it."""
        with self.lock:
            run, self._current = self._current, None
        if run is not None:
            _cancel(run)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the latest run has ended; False if it has not after `timeout` seconds."""
        run = self._latest
        return run is None or run.over.wait(timeout)

    def _launch(self, run: Run) -> None:
        run.task = asyncio.ensure_future(self._follow(run))
        # not in the task itself: one that is cancelled before its first turn does nothing
        run.task.add_done_callback(lambda task: self._finish(run, task))

    async def _follow(self, run: Run) -> None:
        await asyncio.sleep(run.after)
        due = 0.0
        # in a thread: it may load a model, and others' runs go on meanwhile
        async with aclosing(await asyncio.to_thread(run.begin)) as stream:
            async for output in stream:
                run.latest[output.request_id] = output
                run.unseen.add(output.request_id)
                if time.monotonic() >= due:
                    self._show(run)
                    # counted from the end of drawing, so that a slow page leaves the engine its time
                    due = time.monotonic() + PERIOD

    def _show(self, run: Run) -> None:
        with self.lock:
            if run is self._current and run.unseen:
                changed = [run.latest[id] for id in run.latest if id in run.unseen]
                run.unseen.clear()
                run.show(changed)

    def _finish(self, run: Run, task: asyncio.Task[None]) -> None:
        stopped = task.cancelled()
        error = None if stopped else task.exception()
        run.unseen |= {id for id, output in run.latest.items() if not output.finished}
        run.latest = {id: _ended(output) for id, output in run.latest.items()}
        with self.lock:
            try:
                self._show(run)
            except Exception as failure:
                error = error or failure
            try:
                if run is self._current:
                    self._current = None
                    run.end(_bare(error), stopped)
            finally:
                run.over.set()


def _ended(output: Output) -> Output:
    """An output as the end of its run leaves it. A search says by itself that it was cut short."""
    return output if isinstance(output, BeamSearchOutput) else cut_short(output)


def _bare(error: BaseException | None) -> Exception | None:
    """Without the frames that it came through, which would keep the model's tensors."""
    if not isinstance(error, Exception):
        return None
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _cancel(run: Run) -> None:
    loop().call_soon_threadsafe(lambda: run.task and run.task.cancel())
