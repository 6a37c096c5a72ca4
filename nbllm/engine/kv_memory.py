"""What the pages of a KV cache lie in: one tensor, or chunks that are mapped when they are needed.

The cache is page-major, kv [P, layers, 2, K, PAGE_SIZE, D], so a chunk is some pages of all layers. A
tensor covers the whole of it, mapped or not: kernels take its base and strides, and whatever reads it
names slots of pages in use, or of the null page, whose chunk stays. Nothing may touch the rest.
"""

from __future__ import annotations

import mmap
import weakref
from ctypes import Array, c_uint64
from math import gcd, prod

import torch
from torch import Tensor

from nbllm.errors import OutOfMemoryError

from .cuda_memory import Mapper
from .host_copy import private_memory

CHUNK, SMALL, FEW = 256 << 20, 32 << 20, 64
"""Bytes of a chunk: as much as FEW pages, at least SMALL and at most CHUNK."""
PLENTY = 0.5
"""Part of a GPU that stays free when the cache grows only to keep prefixes of the past."""
SCARCE = 0.1
"""When less of a GPU is free after a call, chunks that nobody uses go back."""


class MappedMemory:
    """A cache on a GPU that grows and shrinks chunk by chunk, at addresses that stay.

    keep: part of the device that it leaves free. Raises `OutOfMemoryError` if not even the first chunk
    can be had.
    """

    def __init__(
        self,
        mapper: Mapper,
        num_pages: int,
        page: tuple[int, ...],
        dtype: torch.dtype,
        keep: float,
    ):
        size, grain = prod(page) * dtype.itemsize, mapper.granularity
        self._mapper, self.keep = mapper, keep
        self.chunk, self.page_bytes = min(chunk_pages(size, grain), num_pages), size
        total, step = -(-num_pages * size // grain) * grain, self.chunk * size
        starts = range(0, num_pages * size, step)
        # the last one ends where the last granule does
        self._spans = list(zip(starts, [*starts[1:], total], strict=True))
        self.mapped = [False] * len(self._spans)
        self._handles = (c_uint64 * len(self._spans))()
        self._address = mapper.reserve(total)
        self._held = mapper, self._address, self._spans, self._handles
        self._finalizer = weakref.finalize(self, _release, *self._held)
        self._finalizer.atexit = False  # the driver does it by itself
        if not self._back(0):
            need = self._spans[0][1]
            self.close()
            raise OutOfMemoryError(
                f"the KV cache needs {mib(need)} to begin with; {self.state()}: free some, or load a "
                "smaller model"
            )
        # only an address with memory behind it tells torch its device
        self._bytes: Tensor | None = mapper.view(self._address, total)
        self.kv: Tensor | None = self._bytes[: num_pages * size].view(dtype).view(num_pages, *page)
        self._zero(0)

    @property
    def num_bytes(self) -> int:
        """Bytes mapped now."""
        pairs = zip(self._spans, self.mapped, strict=True)
        return sum(stop - start for (start, stop), mapped in pairs if mapped)

    @property
    def bound(self) -> int:
        """Bytes that it may grow to."""
        return self._spans[-1][1]

    def map(self, chunk: int, eager: bool = False) -> bool:
        start, stop = self._spans[chunk]
        keep = max(self.keep, PLENTY if eager else 0.0)
        enough = self._enough(stop - start, keep)
        if not enough and not eager and self._mapper.reclaim():
            enough = self._enough(stop - start, keep)
        if not (enough and self._back(chunk)):
            return False
        self._zero(chunk)
        return True

    def unmap(self, chunks: list[int]) -> None:
        if chunks:
            self._mapper.wait()
        for chunk in chunks:
            self.mapped[chunk] = False
            start, stop = self._spans[chunk]
            self._mapper.unmap(self._address + start, stop - start, self._handles, chunk)

    def scarce(self) -> bool:
        free, total = self._mapper.room()
        return free < SCARCE * total

    def state(self) -> str:
        free, total = self._mapper.room()
        kept = f", {mib(total * self.keep)} of it for others" if self.keep else ""
        return (
            f"{mib(free)} of {mib(total)} are free{kept}, and {mib(self.num_bytes)} are the cache's"
        )

    def close(self) -> None:
        self.kv = self._bytes = None
        self.mapped = [False] * len(self.mapped)
        if self._finalizer.alive:
            _release(*self._held)
            self._finalizer.detach()

    def _enough(self, size: int, keep: float) -> bool:
        free, total = self._mapper.room()
        return free - size >= keep * total

    def _back(self, chunk: int) -> bool:
        """Memory behind a chunk's addresses, with anything in it."""
        start, stop = self._spans[chunk]
        where = self._address + start, stop - start, self._handles, chunk
        self._mapper.unmap(*where)  # what an interrupt has left
        try:
            return self._mapper.map(*where)
        except RuntimeError:
            self._mapper.unmap(*where)
            raise

    def _zero(self, chunk: int) -> None:
        # it may hold anybody's NaN, and what is masked out of attention is still multiplied by zero
        assert self._bytes is not None, "the cache is closed"
        self._bytes[slice(*self._spans[chunk])].zero_()
        self.mapped[chunk] = True


class PlainMemory:
    """A cache that is one tensor from the beginning: on a CPU, and where memory cannot be mapped."""

    def __init__(self, num_pages: int, page: tuple[int, ...], dtype: torch.dtype, device):
        shape, self.chunk, self.mapped = (num_pages, *page), num_pages, [True]
        self.page_bytes = prod(page) * dtype.itemsize
        self.bound = num_pages * self.page_bytes
        self._pages: mmap.mmap | None = None
        if device.type == "cpu":
            # with huge pages: of a cache a step reads a little in many places
            self._pages = private_memory(self.bound)
            self.kv: Tensor | None = torch.frombuffer(self._pages, dtype=dtype).view(shape)
        else:
            self.kv = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def num_bytes(self) -> int:
        """Bytes of it now; on a CPU those that have not been touched cost nothing."""
        return self.bound if self.mapped[0] else 0

    def map(self, chunk: int, eager: bool = False) -> bool:
        assert self.kv is not None, "the cache is closed"
        if self._pages is None:
            try:
                self.kv.untyped_storage().resize_(self.bound)
            except torch.OutOfMemoryError:
                return False
            self.kv.zero_()
        self.mapped[chunk] = True
        return True

    def unmap(self, chunks: list[int]) -> None:
        assert self.kv is not None, "the cache is closed"
        for chunk in chunks:
            self.mapped[chunk] = False
            if self._pages is None:
                self.kv.untyped_storage().resize_(0)
            elif hasattr(mmap, "MADV_DONTNEED"):
                self._pages.madvise(mmap.MADV_DONTNEED)  # back to zeros that cost nothing
            else:
                self.kv.zero_()

    def scarce(self) -> bool:
        return False

    def state(self) -> str:
        return f"the cache has {mib(self.bound)}"

    def close(self) -> None:
        self.kv = self._pages = None


def chunk_pages(page_bytes: int, granularity: int) -> int:
    """Pages of a chunk: a whole number of them in a whole number of granules."""
    least = granularity // gcd(page_bytes, granularity)
    wanted = min(max(FEW * page_bytes, SMALL), CHUNK)
    return max(1, wanted // (least * page_bytes)) * least


def mib(count: float) -> str:
    """Bytes as one reads them."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _release(mapper: Mapper, address: int, spans: list[tuple[int, int]], handles: Array) -> None:
    # a collection in the middle of a capture must not break that: then it is lost
    if mapper.busy():
        return
    mapper.wait()
    for chunk, (start, stop) in enumerate(spans):
        mapper.unmap(address + start, stop - start, handles, chunk)
    mapper.free(address, spans[-1][1])
