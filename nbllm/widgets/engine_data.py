"""The state of a model's engine, as JSON has it: what `EngineStatus` draws."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..outputs import RequestInfo
from ..views import status
from ..views.visible import one_line, shortened

if TYPE_CHECKING:
    from ..llm import LLM

SAMPLES = 120
"""Speeds that are kept."""
MAX_CALLS = 50
"""Calls that are listed; the others are counted."""
STATES = ("waiting", "prefilling", "running", "searching")


class Watched:
    """One model, and how fast it was at the latest looks at it."""

    def __init__(self, llm: LLM):
        self.llm = llm
        self.speeds: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self._before: tuple[float, int] | None = None

    def look(self, name: str, *, current: bool) -> dict[str, Any] | None:
        """What `views.status.model` says, with "current", "speeds" (tokens/s, oldest first), "calls"
        in the place of its requests, and "more_calls", a number. None for a model that was closed.
        """
        if (model := status.model(name, self.llm)) is None:
            return None
        self._measure(model["generation_tokens"])
        found = calls(self.llm.requests())
        del model["requests"], model["num_requests"]
        return {
            **model,
            "current": current,
            "speeds": [round(speed, 1) for speed in self.speeds],
            "calls": found[:MAX_CALLS],
            "more_calls": max(0, len(found) - MAX_CALLS),
        }

    def _measure(self, generated: int) -> None:
        now = time.monotonic()
        if self._before is not None:
            then, before = self._before
            self.speeds.append((generated - before) / max(now - then, 1e-9))
        self._before = now, generated


def calls(requests: Sequence[RequestInfo]) -> list[dict[str, Any]]:
    """One record for each call whose prompts are in the engine, oldest first."""
    by_call = groupby(sorted(requests, key=_call), key=_call)
    found = [_described(call, list(prompts)) for call, prompts in by_call]
    return sorted(found, key=lambda call: call["began"])


def _call(request: RequestInfo) -> str:
    return request.request_id.partition("-")[0]


def _described(call: str, prompts: list[RequestInfo]) -> dict[str, Any]:
    return {
        "id": call,
        "began": min(p.arrival_time for p in prompts),
        "prompt": shortened(one_line(prompts[0].prompt), 60),
        "prompts": len(prompts),
        "waiting": sum(p.state == "waiting" for p in prompts),
        "state": max((p.state for p in prompts), key=STATES.index),
        "num_tokens": sum(p.num_tokens for p in prompts),
        "max_tokens": sum(p.max_tokens for p in prompts),
    }
