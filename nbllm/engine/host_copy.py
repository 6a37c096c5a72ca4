"""Large copies between a GPU and ordinary memory of the host.

The bus wants page-locked memory; locking as much as a model has takes longer than the copy, and takes
it from everybody else. So pieces go through a few locked buffers, while the processor fills or
empties the others.
"""

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress

import torch
from torch import Tensor

from .driver import wait_for

PIECE, BUFFERS = 16 << 20, 4
"""Bytes of a buffer, and their number."""


def host_bytes(size: int) -> Tensor:
    """Zeros in memory of the host that nothing else keeps, uint8 [size]."""
    return torch.frombuffer(private_memory(size), dtype=torch.uint8)


def private_memory(size: int) -> mmap.mmap:
    """Anonymous memory: zero, and free until it is touched."""
    # private, since shared memory rarely gets huge pages
    private = (
        {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    )
    memory = mmap.mmap(-1, size, **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class Ferry:
    """Copies tensors of bytes, uint8 [n], from `with` on; afterwards nothing is locked any more.

    Uses the present stream. `to_host` returns when all is there, `to_device` when all is on its way.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._memory = host_bytes(PIECE * BUFFERS)
        self._free = deque((part, torch.cuda.Event()) for part in self._memory.split(PIECE))
        self._locked = False

    def __enter__(self) -> Ferry:
        # where memory cannot be locked, copies are slower and that is all
        size, runtime = len(self._memory), torch.cuda.cudart()
        assert runtime is not None, "only called where there is a GPU"
        self._locked = int(runtime.cudaHostRegister(self._memory.data_ptr(), size, 0)) == 0
        return self

    def __exit__(self, *exc: object) -> None:
        wait_for(self.device)
        runtime = torch.cuda.cudart()
        if self._locked and runtime is not None:
            runtime.cudaHostUnregister(self._memory.data_ptr())

    def to_host(self, source: Tensor, to: Tensor) -> None:
        coming: deque[tuple[Tensor, Tensor, torch.cuda.Event]] = deque()
        for piece, place in zip(source.split(PIECE), to.split(PIECE), strict=True):
            if len(coming) == BUFFERS:
                self._land(*coming.popleft())
            buffer, event = self._free[0]
            self._free.rotate(-1)
            part = buffer[: len(piece)]
            part.copy_(piece, non_blocking=True)
            event.record()
            coming.append((part, place, event))
        while coming:
            self._land(*coming.popleft())

    def to_device(self, source: Tensor, to: Tensor) -> None:
        for piece, place in zip(source.split(PIECE), to.split(PIECE), strict=True):
            buffer, event = self._free[0]
            self._free.rotate(-1)
            event.synchronize()
            place.copy_(buffer[: len(piece)].copy_(piece), non_blocking=True)
            event.record()

    @staticmethod
    def _land(part: Tensor, place: Tensor, event: torch.cuda.Event) -> None:
        event.synchronize()
        place.copy_(part)
