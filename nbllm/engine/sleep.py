"""An engine that gives the GPU back for a while: what it frees, and what it needs to go on."""

from __future__ import annotations

from collections.abc import Iterable

from nbllm.errors import OutOfMemoryError

from .pages import PagePool
from .runner import Runner
from .weights import Weights

PARTS = frozenset({"weights", "kv_cache"})
"""What sleeps and wakes; the names are vLLM's tags."""


class Sleep:
    """The `parts` of an engine that are away; without `weights` these stay.

    Whoever calls has made sure that nothing runs.
    """

    def __init__(self, runner: Runner, pages: PagePool, weights: Weights | None):
        self.parts: set[str] = set()
        self._runner, self._pages, self.weights = runner, pages, weights

    def begin(self, keep: bool) -> None:
        """Free captured graphs, the cache with its prefixes, and the weights."""
        self._runner.rest()
        self._pages.leave()
        if self.weights is not None:
            self.weights.leave(keep=keep)
        self._runner.relieve()

    def end(self, parts: Iterable[str]) -> None:
        """Bring those of `parts` back that are away; graphs are captured again when needed.

        Raises `OutOfMemoryError`.
        """
        wanted = self.parts & set(parts)
        if "weights" in wanted and self.weights is not None:
            self.weights.come_back()
        self.parts -= wanted & {"weights"}
        if "kv_cache" in wanted and not self._pages.come_back():
            raise OutOfMemoryError(
                f"there is no memory for a KV cache to wake up with: {self._pages.memory.state()}"
            )
        self.parts -= wanted

    def close(self) -> None:
        """Let go of everything."""
        self.weights = None
        self._pages.memory.close()
