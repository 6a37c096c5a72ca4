"""When searches begin and step. A search is ready once its prompt is cached and its pages are there.

Prompts get there through the scheduler like all others. Those with the same parameters step
together; a wave begins when no more of them is on the way. The waves themselves are few, and every
step of the engine advances each: by one step while other requests run, by some where the device
needs nothing from the host.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from .request import Request
from .runner import AnyWave, Runner
from .scheduler import Plan, Scheduler
from .stats import Stats

ALONE = 8
"""Steps at a time of searches that nobody runs beside: who waits looks up so often."""


class Waves:
    """The waves of an engine, derived from its parked requests."""

    def __init__(self, runner: Runner, scheduler: Scheduler, stats: Stats):
        self.runner, self.scheduler, self.stats = runner, scheduler, stats
        self.running: list[AnyWave] = []

    def step(self, plan: Plan, end: Callable[[Request, str], None]) -> None:
        """Begin what is ready, then advance every wave; `plan` is what the engine has just run."""
        self._park()
        if self.scheduler.parked:
            self._begin(plan)
        most = 1 if plan else ALONE
        for wave in self.running:
            self._end(wave, end)
            self._advance(wave, most, end)
            self._end(wave, end)
            if wave.over:
                wave.release()
        self.running = [wave for wave in self.running if not wave.over]

    def clear(self) -> None:
        """Forget every wave."""
        self.running = []

    def _park(self) -> None:
        for request in list(self.scheduler.prefilling):
            if request.search and not request.num_missing:
                self.scheduler.park(request)

    def _begin(self, plan: Plan) -> None:
        taken = {r.id for wave in self.running for r in wave.requests}
        idle: dict[str, list[Request]] = {}
        for request in self.scheduler.parked:
            if request.search and request.id not in taken:
                idle.setdefault(request.search.key, []).append(request)
        for key, requests in idle.items():
            if not self._more_to_come(key, plan):
                self._launch(requests)

    def _launch(self, requests: list[Request]) -> None:
        search = requests[0].search
        assert search is not None
        # one search may be wider than what a step computes otherwise
        count = max(1, self.scheduler.rows.max_rows // search.params.beam_width)
        for i in range(0, len(requests), count):
            self.running.append(self.runner.wave(requests[i : i + count]))

    def _more_to_come(self, key: str, plan: Plan) -> bool:
        """Whether another search like these gets ready soon; one that lacks pages does not."""
        if any(_key(r) == key for r in self.scheduler.prefilling):
            return True
        progress = any(_key(r) == key for r, _, _ in plan.chunks)
        return progress and any(_key(r) == key for *_, r in self.scheduler.waiting)

    def _advance(self, wave: AnyWave, most: int, end: Callable[[Request, str], None]) -> None:
        begin = time.perf_counter()
        try:
            count = wave.step(self.runner, most)
        except Exception as error:
            # the traceback keeps its lines, but not the tensors of the model's frames
            traceback.clear_frames(error.__traceback__)
            for request in wave.requests:
                if not request.finished:
                    request.error = error
                    end(request, "abort")
        else:
            if count:
                self.stats.step(count, time.perf_counter() - begin)

    def _end(self, wave: AnyWave, end: Callable[[Request, str], None]) -> None:
        for request in wave.done:
            end(request, "stop")


def _key(request: Request) -> str | None:
    return request.search.key if request.search else None
