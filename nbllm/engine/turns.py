"""A lock that is served in order: who asks first steps first.

A plain lock starves: a thread that releases and asks again wins over those that were asleep.
"""

from __future__ import annotations

from collections import deque
from threading import Lock, get_ident


class Turns:
    """`with turns:` waits for one's turn. Not re-entrant, except after an interrupted entry."""

    def __init__(self):
        self._guard = Lock()
        self._queue: deque[Lock] = deque()
        self._owner: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._queue)

    def __enter__(self) -> None:
        ticket = Lock()
        ticket.acquire()
        try:
            with self._guard:
                # the owner can only ask again if an interrupt hit between its entry and its exit
                if self._owner in (None, get_ident()):
                    self._owner = get_ident()
                    return
                self._queue.append(ticket)
            ticket.acquire()
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
            self._queue.popleft().release()

    def _leave(self, ticket: Lock) -> None:
        """An interrupt while waiting: leave the queue, or pass the turn on if it had come."""
        with self._guard:
            if ticket in self._queue:
                self._queue.remove(ticket)
            elif self._owner in (-1, get_ident()):
                self._owner = None
                self._pass_on()
