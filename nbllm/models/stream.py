"""Weights on their way from files to a device, read by several threads.

A thread reads a piece of a file into page-locked memory and starts its copy to the GPU, and while
that runs it reads the next one into its other buffer. So disk, memory and bus all work, and nothing
is held twice. On a CPU pieces are read where they belong, unless their type has to change.
"""

from __future__ import annotations

import mmap
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from nbllm.errors import ModelError

from .checkpoint import Stored

PIECE = 4 << 20
"""Bytes that are read at once."""
THREADS = 8
"""At most: beyond, the bus to the GPU is the limit."""

Read = Callable[[Stored], Tensor]
"""Gives a stored tensor on the device, in its own type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Elements of a parameter, and where they come from: a stored tensor as it is, or a function."""

    target: Tensor  # [n] the elements, one after the other in memory
    source: Stored | Callable[[Read], Tensor]


class Stream:
    """Runs jobs in threads of its own, from `with` on; leaving it ends them, whatever happened.

        with Stream(jobs, device) as weights:
            ...  # anything that does not need the weights yet
            weights.wait()

    Nothing outlives it: no thread, no open file, no page-locked memory.
    """

    def __init__(self, jobs: Iterable[Job], device: torch.device):
        self.device = device
        self._left = deque(piece for job in jobs for piece in _pieces(job))
        self._plain = all(_is_plain(piece) for piece in self._left)
        self._stopped = False
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Stream:
        count = min(THREADS, os.cpu_count() or 1, len(self._left))
        try:
            if self.device.type == "cuda":
                # what was written on another stream comes first
                torch.cuda.current_stream(self.device).synchronize()
            for i in range(count):
                thread = threading.Thread(target=self._work, name=f"weights {i}", daemon=True)
                self._threads.append(thread)
                thread.start()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self.close()

    def wait(self) -> None:
        """Return when everything has arrived. Raises what a thread raised."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.2)  # an interrupt is heard in between
        if self._errors:
            raise self._errors[0]

    def close(self) -> None:
        """End what runs. Again, if an interrupt has come between: it may be called twice."""
        self._stopped = True
        self._left.clear()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._threads.clear()
        if self.device.type == "cuda" and not self._plain:
            torch.cuda.empty_cache()  # what converting took, on streams that nobody uses any more

    def _work(self) -> None:
        try:
            with torch.no_grad(), _carrier(self.device) as carrier:
                while not self._stopped:
                    try:
                        piece = self._left.popleft()
                    except IndexError:
                        break
                    carrier.carry(piece)
        except BaseException as error:
            # the frames hold tensors
            traceback.clear_frames(error.__traceback__)
            self._stopped = True
            self._errors.append(error)


def _pieces(job: Job) -> list[Job]:
    """A stored tensor in pieces that threads can share; the bytes of one are `Stored.size`."""
    if not isinstance(job.source, Stored):
        return [job]
    stored = job.source
    step = PIECE // stored.dtype.itemsize
    return [
        Job(target=target, source=_part(stored, i * step, len(target)))
        for i, target in enumerate(job.target.split(step))
        if len(target)
    ]


def _is_plain(job: Job) -> bool:
    """Whether bytes only move."""
    return isinstance(job.source, Stored) and job.source.dtype == job.target.dtype


def _part(stored: Stored, first: int, count: int) -> Stored:
    each = stored.dtype.itemsize
    begin = stored.begin + first * each
    return Stored(
        path=stored.path, begin=begin, size=count * each, dtype=stored.dtype, shape=(count,)
    )


def _carrier(device: torch.device) -> Carrier:
    return CudaCarrier(device) if device.type == "cuda" else Carrier(device)


class Carrier:
    """One thread's way from files to a CPU's memory, and its open files."""

    def __init__(self, device: torch.device):
        self.device = device
        self._files: dict[Path, BinaryIO] = {}
        self._owned = ExitStack()

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.clear()
        self._owned.close()

    def carry(self, job: Job) -> None:
        """Do one job."""
        if isinstance(job.source, Stored):
            self.copy(job.source, job.target)
        else:
            job.target.copy_(job.source(self.read).reshape(-1))

    def read(self, stored: Stored) -> Tensor:
        """A stored tensor on the device, in its own type."""
        whole = torch.empty(stored.shape, dtype=stored.dtype, device=self.device)
        for piece in _pieces(Job(target=whole.view(-1), source=stored)):
            assert isinstance(piece.source, Stored)
            self.copy(piece.source, piece.target)
        return whole

    def copy(self, stored: Stored, target: Tensor) -> None:
        """Fill `target` with a piece of at most PIECE bytes, converted to its type."""
        if stored.dtype == target.dtype:
            self._fill(stored, target)
        else:
            raw = torch.empty(stored.shape, dtype=stored.dtype)
            self._fill(stored, raw)
            target.copy_(raw)

    def _fill(self, stored: Stored, memory: Tensor) -> None:
        """Read a piece into memory of this machine, of as many bytes."""
        if stored.path not in self._files:
            self._files[stored.path] = self._owned.enter_context(
                stored.path.open("rb", buffering=0)
            )
        file, view = self._files[stored.path], memory.view(torch.uint8).numpy().data
        file.seek(stored.begin)
        while view:
            if not (count := file.readinto(view)):  # pyright: ignore[reportAttributeAccessIssue]
                raise ModelError(f"{stored.path} became shorter while it was read; load it again")
            view = view[count:]


class CudaCarrier(Carrier):
    """The same to a GPU, through two buffers and on a stream of its own."""

    def __init__(self, device: torch.device):
        super().__init__(device)
        self.stream = torch.cuda.Stream(device)
        self._buffers: deque[Buffer] = deque()
        self._raw: Tensor | None = None  # on the device, for what has to change its type

    def __enter__(self) -> CudaCarrier:
        try:
            self._owned.enter_context(torch.cuda.device(self.device))
            self._owned.enter_context(torch.cuda.stream(self.stream))
            for _ in range(2):
                self._buffers.append(self._owned.enter_context(Buffer()))
            # last in, first out: buffers go when nothing reads them
            self._owned.callback(self.stream.synchronize)
        except BaseException:
            self._owned.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._raw = None
        self._buffers.clear()
        super().__exit__(*exc)

    def copy(self, stored: Stored, target: Tensor) -> None:
        buffer = self._buffers[0]
        self._buffers.rotate(1)
        buffer.free.synchronize()
        host = buffer.memory[: stored.size]
        self._fill(stored, host)
        if stored.dtype == target.dtype:
            target.view(torch.uint8).copy_(host, non_blocking=True)
        else:
            # a copy between devices that changes the type would do so on the CPU, and wait
            if self._raw is None:
                self._raw = torch.empty(PIECE, dtype=torch.uint8, device=self.device)
            raw = self._raw[: stored.size].copy_(host, non_blocking=True)
            target.copy_(raw.view(stored.dtype))
        buffer.free.record(self.stream)


class Buffer:
    """PIECE bytes of page-locked memory, given back at the end: torch would keep its own."""

    def __init__(self) -> None:
        self.free = torch.cuda.Event()
        self._mapping = mmap.mmap(-1, PIECE)
        self.memory = torch.frombuffer(self._mapping, dtype=torch.uint8)
        self._locked = False

    def __enter__(self) -> Buffer:
        # where memory cannot be locked, copies are slower and that is all
        self._locked = int(_runtime().cudaHostRegister(self.memory.data_ptr(), PIECE, 0)) == 0
        return self

    def __exit__(self, *exc: object) -> None:
        if self._locked:
            _runtime().cudaHostUnregister(self.memory.data_ptr())
        del self.memory, self._mapping


def _runtime():
    runtime = torch.cuda.cudart()
    assert runtime is not None, "only called where there is a GPU"
    return runtime
