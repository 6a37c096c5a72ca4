"""Captured functions: what a GPU repeats without Python, made when it is first needed.

A capture records launches and their addresses, so a function that is captured reads and writes
tensors that stay where they are. Everything it allocates on its way comes from one pool that all
graphs share: they run one after the other, and what one leaves behind is read before the next.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from .driver import CAPTURING, new_stream

T = TypeVar("T")

SIZES = (1, 2, 4, 8, *range(16, 33, 8), 48, 64, 96, 128, *range(160, 257, 32), *range(320, 513, 64))
"""Rows of captured steps; beyond, multiples of 128."""


def size_of(count: int) -> int:
    """Rows of the smallest captured step that has room for `count`."""
    return next((size for size in SIZES if size >= count), -(-count // 128) * 128)


class Captured(Generic[T]):
    """A function whose launches can be repeated; `out` is what it gave, at its fixed address."""

    def __init__(self, repeat: Callable[[], Any], out: T):
        self.repeat, self.out = repeat, out

    def replay(self) -> T:
        """Launch it once more; read `out` on the same stream, before another graph is replayed."""
        self.repeat()
        return self.out


class Eager(Captured[T]):
    """The same on a CPU, where nothing is captured."""

    def replay(self) -> T:
        self.out = self.repeat()
        return self.out


class Graphs:
    """Owns the graphs of an engine and their memory."""

    def __init__(self, device: torch.device):
        self.device = device
        self._made: dict[Hashable, Captured[Any]] = {}
        self._pool: Any = None

    def get(self, key: Hashable, function: Callable[[Tensor], T], rows: Tensor, idle: Tensor):
        """`function(rows)`, captured; it has run with `idle` before, which must change nothing.

        The first run compiles its kernels, and gives libraries the memory that they keep.
        """
        if key not in self._made:
            if self.device.type == "cuda":
                with CAPTURING:
                    self._made[key] = self._capture(function, rows, idle)
            else:
                self._made[key] = Eager(lambda: function(rows), None)
        return self._made[key]

    def has(self, key: Hashable) -> bool:
        """Whether it has been captured."""
        return key in self._made

    def made(self, key: Hashable) -> Captured[Any]:
        """What has been captured."""
        return self._made[key]

    def close(self) -> None:
        """Free every graph; nothing may be running."""
        for made in self._made.values():
            made.repeat, made.out = _nothing, None
        self._made.clear()
        self._pool = None

    def _capture(self, function: Callable[[Tensor], T], rows: Tensor, idle: Tensor) -> Captured[T]:
        present, side = torch.cuda.current_stream(self.device), _side_stream(self.device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        side.wait_stream(present)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.stream(side):
            function(idle)
            collects = gc.isenabled()
            try:
                # what is collected may free memory of a GPU, which ends a capture
                gc.disable()
                # other threads may allocate meanwhile
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                out = function(rows)
                graph.capture_end()
            except BaseException:
                self._give_up(graph, side)
                raise
            finally:
                if collects:
                    gc.enable()
        present.wait_stream(side)
        return Captured(graph.replay, out)

    def _give_up(self, graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
        """End a capture, whatever came between, or had ended it already."""
        with suppress(RuntimeError):
            if torch.cuda.is_current_stream_capturing():
                graph.capture_end()
        # one that had ended is still under way to torch, which frees no memory, refuses the pool, and
        # never gives back what is in it
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(stream.device_index, self._pool)
            torch._C._cuda_releasePool(stream.device_index, self._pool)
            self._pool = None


def _nothing() -> None: ...


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    # one in a process: libraries keep a workspace for every stream that they have seen; its own: what
    # another thread does on a stream that captures ends the capture
    return new_stream(device)
