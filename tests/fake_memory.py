"""A device of ordinary memory that maps and unmaps, and is full of NaN wherever nothing is mapped."""

import mmap
from collections.abc import Callable
from ctypes import Array
from itertools import count

import torch

NAN = 0xFF
"""Bytes that are NaN in every floating type."""


class FakeMapper:
    """As `CudaMapper`; `total` bytes, of which `others` are somebody else's."""

    def __init__(self, total: int = 1 << 30, granularity: int = 4096):
        self.total, self.others, self.granularity = total, 0, granularity
        self.unused = 0  # what torch keeps of it, and nobody uses
        self.mapped: dict[int, int] = {}  # address -> size
        self.calls = 0
        self.refuse: Callable[[int], bool] = lambda call: False
        self.fail: Callable[[int], bool] = lambda call: False
        self.reserved: dict[int, tuple[int, torch.Tensor]] = {}
        self._handles, self._addresses = count(1), count(1 << 20, 1 << 40)

    @property
    def used(self) -> int:
        return sum(self.mapped.values())

    def room(self) -> tuple[int, int]:
        return self.total - self.used - self.others, self.total

    def reclaim(self) -> bool:
        freed, self.unused = self.unused, 0
        self.others -= freed
        return freed > 0

    def reserve(self, size: int) -> int:
        assert size % self.granularity == 0
        address = next(self._addresses)
        memory = torch.frombuffer(mmap.mmap(-1, size), dtype=torch.uint8).fill_(NAN)
        self.reserved[address] = size, memory
        return address

    def map(self, address: int, size: int, handles: Array, index: int) -> bool:
        assert not handles[index], "the handle before has been lost"
        [start] = [at for at, (whole, _) in self.reserved.items() if at <= address < at + whole]
        assert (address - start) % self.granularity == 0
        assert size % self.granularity == 0
        self.calls += 1
        if self.refuse(self.calls) or size > self.room()[0]:
            return False
        handles[index] = next(self._handles)
        if self.fail(self.calls):
            raise RuntimeError("no access")
        assert address not in self.mapped
        self.mapped[address] = size
        return True

    def unmap(self, address: int, size: int, handles: Array, index: int) -> None:
        if handles[index]:
            self._bytes(address, size).fill_(NAN)
            self.mapped.pop(address, None)
            handles[index] = 0

    def free(self, address: int, size: int) -> None:
        assert not self.mapped
        assert self.reserved.pop(address)[0] == size

    def view(self, address: int, size: int) -> torch.Tensor:
        assert address in self.mapped, "torch cannot tell the device of what is not mapped"
        return self._bytes(address, size)

    def wait(self) -> None: ...

    def busy(self) -> bool:
        return False

    def _bytes(self, address: int, size: int) -> torch.Tensor:
        [(start, (_, memory))] = [r for r in self.reserved.items() if r[0] <= address]
        return memory[address - start : address - start + size]
