"""A lock that is served in order: who asks first steps first.

A plain lock starves: a thread that releases and asks again wins over those that were asleep.
"""

from __future__ import annotations

from collections import deque
from threading import Lock, get_ident


class Turns:
    """`with turns:` waits for one's turn. Not re-entrant, except after an interrupted entry.

    `with turns.patient:` does so too, and `wanted` does not tell of it.
    """

    def __init__(self):
        self._guard = Lock()
        self._queue: deque[tuple[Lock, bool]] = deque()  # with whether its holder is patient
        self._owner: int | None = None
        self.patient = _Patient(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn, and is not patient."""
        return not all(patient for _, patient in list(self._queue))

    def __enter__(self) -> None:
        self.enter(patient=False)

    def enter(self, *, patient: bool) -> None:
        """Wait for a turn; `__exit__` ends it."""
        lock = Lock()
        lock.acquire()
        ticket = lock, patient
        try:
            with self._guard:
                # the owner can only ask again if an interrupt hit between its entry and its exit
                if self._owner in (None, get_ident()):
                    self._owner = get_ident()
                    return
                self._queue.append(ticket)
            lock.acquire()
            self._owner = get_ident()
        except BaseException:
            self._leave(ticket)
            raise

    def __exit__(self, *exc: object) -> None:
        with self._guard:
            self._owner = None
            self._pass_on()

    def _pass_on(self) -> None:
        if self._queue:
            # the next one owns it from here, before it wakes, so that nobody slips in between
            self._owner = -1
            lock, _ = self._queue.popleft()
            lock.release()

    def _leave(self, ticket: tuple[Lock, bool]) -> None:
        """An interrupt while waiting: leave the queue, or pass the turn on if it had come."""
        with self._guard:
            if ticket in self._queue:
                self._queue.remove(ticket)
            elif self._owner in (-1, get_ident()):
                self._owner = None
                self._pass_on()


class _Patient:
    """The turns of those who need not be next soon."""

    def __init__(self, turns: Turns):
        self._turns = turns

    def __enter__(self) -> None:
        self._turns.enter(patient=True)

    def __exit__(self, *exc: object) -> None:
        self._turns.__exit__(*exc)
