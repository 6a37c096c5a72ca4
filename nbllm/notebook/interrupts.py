"""What ends a run before its time: an interrupt, after which the cell fails, or Stop, after which it does not.

Stop comes from another thread while the cell runs, so it sends the main thread the signal of an
interrupt, and everything ends as it does then. What differs is said here: whether the signal was ours.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import resident
from ..errors import GenerationInterrupted, NbllmError


class Stop:
    """Ends the run of the cell under way. One for an extension; runs that get signals are one at a time.

    in_cell: whether a cell runs. asked: whether a run of that cell has been ended.
    """

    def __init__(self):
        # of threads that stop; the main one takes no lock, which an interrupt might leave locked
        self._lock = threading.Lock()
        self._running = self._ending = self._sending = False
        self.in_cell = self.asked = False

    def __call__(self) -> bool:
        """From any thread: end the run. False: there is none."""
        with self._lock:
            self._sending = True
            try:
                if self._running:
                    self._running, self._ending, self.asked = False, True, True
                    _interrupt_main_thread()
                return self._ending
            finally:
                self._sending = False

    def begin_cell(self, info: Any = None) -> None:
        """For IPython's event: what was asked for before was about another cell."""
        self.in_cell, self.asked = True, False

    def end_cell(self, result: Any = None) -> None:
        """For IPython's event."""
        self.in_cell = False

    def check(self) -> None:
        """A run is about to begin. Raises `GenerationInterrupted` where the cell's last one was stopped."""
        if self.asked:
            raise GenerationInterrupted([], "stopped: the rest of the cell was not run")

    @contextmanager
    def run(self) -> Iterator[Interrupts]:
        """Inside, until `drop` is called, what runs can be stopped and interrupted."""
        interrupts = Interrupts(self)
        try:
            self.turn(running=interrupts.ours)
            yield interrupts
        finally:
            interrupts.end()

    def turn(self, *, running: bool = False, ending: bool = False) -> None:
        """What the run does now."""
        self._running, self._ending = running, ending

    def wait(self) -> None:
        """The run does no more: until nobody is about to send it a signal."""
        while self._sending:
            time.sleep(0.001)


class Interrupts:
    """Those of one run. ours: whether it gets signals, which only the main thread does."""

    def __init__(self, stop: Stop):
        self._stop, self._before = stop, signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        self.ours = main and self._before is not None

    @property
    def stopped(self) -> bool:
        """Whether Stop ended the run, so that its cell does not fail."""
        return self._stop.asked

    def ended(self, work: Callable[[], bool | None]) -> bool:
        """Do `work`, then `drop`; whether there was an interrupt, or `work` says that there was.

        One that comes when all is done, before it can be dropped, is an interrupt like the others: what
        `work` has put away is there.
        """
        try:
            ended = bool(work())
            self._drop()
        except KeyboardInterrupt:
            self.drop()
            return True
        return ended

    def drop(self) -> None:
        """From here to the end of the block interrupts are dropped.

        Keeping a result takes milliseconds, and must not be cut short.
        """
        dropped = False
        while not dropped:
            try:
                self._drop()
                dropped = True
            except KeyboardInterrupt:
                # the run has ended already
                continue

    def _drop(self) -> None:
        if self.ours:
            self._stop.turn(ending=True)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(self) -> None:
        """Interrupts are the kernel's again."""
        if self.ours:
            self._stop.turn()
            self._stop.wait()
            signal.signal(signal.SIGINT, self._before)


def _interrupt_main_thread() -> None:
    """As a Ctrl-C does; where it can be, it wakes the thread from what it waits for."""
    if hasattr(signal, "pthread_kill"):
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)
    else:
        _thread.interrupt_main()


def without_frames(call: Callable[..., Any], *args: Any, unfinished: str) -> Any:
    """`call(*args)`, with expected errors cut off from the frames that they came through.

    The kernel keeps the last traceback, and its frames would keep their tensors on the GPU.
    unfinished: what to say of an interrupt before there was a result.
    """
    last = resident.last()
    try:
        return call(*args)
    except (NbllmError, GenerationInterrupted) as error:
        failure: BaseException = error.with_traceback(None)
    except KeyboardInterrupt:
        done = resident.last() is not last
        message = "interrupted when it was done: nbllm.last is the result" if done else unfinished
        failure = GenerationInterrupted([], message)
    failure.__context__ = failure.__cause__ = None
    raise failure
