"""Tells front ends what the engine does, whenever that has changed, while a cell runs too.

They do not ask: a question makes a kernel look busy, then idle, whatever runs beside it, and keeps it
from being culled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

PERIOD, SHORTEST = 1.0, 0.2
"""Seconds between two looks."""
MAX_LISTENERS = 8
"""A page that is closed says nothing: of more listeners than this the oldest is forgotten."""

Data = dict[str, Any]


@dataclass(slots=True, eq=False)
class _Listener:
    """A comm, and the context of the message that opened it, so that answers find the way back."""

    comm: Any
    context: Context
    period: float


class Reporter:
    """One thread, as long as there is a listener. status: what is told; called on that thread."""

    def __init__(self, status: Callable[[], Data]):
        self._status, self._lock, self._over = status, Lock(), Event()
        self._listeners: list[_Listener] = []
        self._thread: Thread | None = None

    def add(self, comm: Any, period: float = PERIOD) -> None:
        """Tell `comm` now, and from now on. period: seconds between two messages at least."""
        with self._lock:
            comm.send({"status": self._status()})
            listener = _Listener(comm, copy_context(), max(SHORTEST, period))
            self._listeners = [*self._listeners, listener][-MAX_LISTENERS:]
            if self._thread is None:
                self._over = Event()
                self._thread = Thread(
                    target=self._run, args=(self._over,), name="nbllm-reporter", daemon=True
                )
                self._thread.start()

    def remove(self, comm: Any) -> None:
        """It listens no more; nobody left ends the thread."""
        with self._lock:
            self._listeners = [each for each in self._listeners if each.comm is not comm]
            if not self._listeners:
                self._over.set()
                self._thread = None

    def _run(self, over: Event) -> None:
        told: Data | None = None
        while not over.wait(min((each.period for each in self._listeners), default=PERIOD)):
            status = self._status()
            if (news := _news(status)) != told:
                told = news
                for each in self._listeners:
                    each.context.run(each.comm.send, {"status": status})


def _news(status: Data) -> Data:
    """What is worth a message: how much of the device others use is not."""
    models = [{**model, "device_memory": None} for model in status["models"]]
    return {**status, "models": models}
