"""The state of a model's engine, as JSON has it: what `EngineStatus` draws."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..outputs import RequestInfo
from ..views.visible import one_line, shortened

if TYPE_CHECKING:
    from ..llm import LLM

SAMPLES = 120
"""Speeds that are kept."""
MAX_CALLS = 50
"""Calls that are listed; the others are counted."""


class Watched:
    """One model, and how fast it was at the latest looks at it."""

    def __init__(self, llm: LLM):
        self.llm = llm
        self.speeds: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self._before: tuple[float, int] | None = None

    def look(self, name: str, *, current: bool) -> dict[str, Any]:
        """Everything about the model at this moment. Sizes in bytes, speeds in tokens/s.

        Raises `ClosedError` for a model that was closed.
        """
        info = self.llm.info()
        counts = {m.name.removeprefix("nbllm:"): m for m in self.llm.get_metrics()}
        values = {name: getattr(m, "value", 0) for name, m in counts.items()}
        self._measure(values["generation_tokens"])
        requests = self.llm.requests()
        return {
            "name": name,
            "current": current,
            "facts": [
                info.architecture, f"{info.num_parameters / 1e6:,.1f}M parameters",
                f"{info.dtype} on {info.device}", f"context {info.max_model_len:,}",
                *([info.quantization] if info.quantization else []),
            ],
            "asleep": self.llm.is_sleeping(),
            "memory": memory(info.memory, info.device_memory),
            "kv_bound": values["kv_cache_bytes_bound"],
            "pages": [values["kv_cache_pages_used"], info.num_pages],
            "prefix": [values["prefix_cache_hits"], values["prefix_cache_queries"]],
            "generated": values["generation_tokens"],
            "speeds": [round(speed, 1) for speed in self.speeds],
            "calls": calls(requests)[:MAX_CALLS],
            "more_calls": max(0, len(calls(requests)) - MAX_CALLS),
        }  # fmt: skip

    def _measure(self, generated: int) -> None:
        now = time.monotonic()
        if self._before is not None:
            then, before = self._before
            self.speeds.append((generated - before) / max(now - then, 1e-9))
        self._before = now, generated


def memory(parts: dict[str, int], device: dict[str, int]) -> list[tuple[str, int]]:
    """What the device's memory holds: this model's parts, what is others', and what is free."""
    own = [("weights", parts["weights"] + parts["tables"]), ("KV cache", parts["kv_cache"])]
    if not device:
        return own
    other = device["total"] - device["free"] - sum(size for _, size in own)
    return [*own, ("other", max(0, other)), ("free", device["free"])]


def calls(requests: Sequence[RequestInfo]) -> list[dict[str, Any]]:
    """One record for each call whose prompts are in the engine, oldest first."""
    by_call = groupby(sorted(requests, key=_call), key=_call)
    found = [_described(call, list(prompts)) for call, prompts in by_call]
    return sorted(found, key=lambda call: call["began"])


def _call(request: RequestInfo) -> str:
    return request.request_id.partition("-")[0]


def _described(call: str, prompts: list[RequestInfo]) -> dict[str, Any]:
    waiting = sum(p.state == "waiting" for p in prompts)
    return {
        "id": call,
        "began": min(p.arrival_time for p in prompts),
        "prompt": shortened(one_line(prompts[0].prompt), 60),
        "prompts": len(prompts),
        "waiting": waiting,
        "state": max((p.state for p in prompts), key=STATES.index),
        "num_tokens": sum(p.num_tokens for p in prompts),
        "max_tokens": sum(p.max_tokens for p in prompts),
    }


STATES = ("waiting", "prefilling", "running", "searching")
