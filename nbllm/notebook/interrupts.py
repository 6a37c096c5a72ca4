"""Ctrl-C around a run: what there is is kept, and no frame of ours outlives the cell."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import resident
from ..errors import GenerationInterrupted, NbllmError

Drop = Callable[[], None]


@contextmanager
def droppable_interrupts() -> Iterator[Drop]:
    """Yields a function; from its call to the end of the block interrupts are dropped.

    Keeping a result takes milliseconds, and must not be cut short. Only the main thread gets signals.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before is not None

    def drop() -> None:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        yield drop
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def interrupted(work: Callable[[], bool | None], drop: Drop) -> bool:
    """Do `work`, then drop interrupts; whether there was one, or `work` says that there was.

    One that comes when all is done, before it can be dropped, is an interrupt like the others: what
    `work` has put away is there.
    """
    try:
        stopped = bool(work())
        drop()
    except KeyboardInterrupt:
        drop()
        return True
    return stopped


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
