"""What the engine has done, counted as it goes."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from nbllm.outputs import Histogram

from .request import Request

BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper bounds in seconds of the histograms' buckets; the last bucket is open."""
RECENT = 128
"""Steps that tokens per second are averaged over."""


class Times:
    """A histogram of seconds."""

    def __init__(self):
        self.sum, self.counts = 0.0, [0] * (len(BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        self.sum += seconds
        self.counts[bisect_left(BUCKETS, seconds)] += 1

    def histogram(self, name: str) -> Histogram:
        bounds = [*map(str, BUCKETS), "+Inf"]
        at_most = {b: sum(self.counts[: i + 1]) for i, b in enumerate(bounds)}
        return Histogram(name=name, count=sum(self.counts), sum=self.sum, buckets=at_most)


class Stats:
    """Totals since the engine began, and the speed of the latest steps."""

    def __init__(self):
        self.num_steps = self.num_generated = self.num_ended = 0
        self.first_token, self.whole = Times(), Times()
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second of the latest steps; 0 before the first."""
        seconds = sum(s for _, s in self._recent)
        return sum(n for n, _ in self._recent) / seconds if seconds else 0.0

    def step(self, num_tokens: int, seconds: float) -> None:
        self.num_steps += 1
        self.num_generated += num_tokens
        self._recent.append((num_tokens, seconds))

    def ended(self, request: Request) -> None:
        self.num_ended += 1
        if request.first_token_time and request.finish_time:
            self.first_token.add(request.first_token_time - request.arrival)
            self.whole.add(request.finish_time - request.arrival)
