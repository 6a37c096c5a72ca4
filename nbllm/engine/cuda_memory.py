"""Addresses of a GPU that stay, while the memory behind them comes and goes.

CUDA's virtual memory management: addresses are reserved once, physical memory is created, mapped
behind a part of them and unmapped again. A captured graph knows addresses alone, so it goes on working.

The driver's own library is called, whatever version of CUDA torch was built for; and it writes a handle
to where it is kept, so that no interrupt can come between and lose one. Source: CUDA Driver API,
"Virtual Memory Management".
"""

from __future__ import annotations

import ctypes
from ctypes import Array, Structure, byref, c_int, c_size_t, c_ubyte, c_uint64, c_ushort, c_void_p
from typing import Protocol

import torch
from torch import Tensor

from .driver import library, wait_for

OUT_OF_MEMORY = 2
MUCH = 64 << 20
"""Bytes that torch keeps without using them, from which on it is asked to let go."""
PINNED, ON_DEVICE, READ_WRITE, MAPPING_SUPPORTED = 1, 1, 3, 102


class Mapper(Protocol):
    """What reserves, maps and unmaps; a test has one without a GPU."""

    granularity: int  # bytes that addresses and sizes are multiples of

    def room(self) -> tuple[int, int]:
        """Bytes of the device that are free now, and all of them."""
        ...

    def reclaim(self) -> bool:
        """Take back what this process keeps and does not use; whether there was much."""
        ...

    def reserve(self, size: int) -> int:
        """Addresses for `size` bytes; the first one."""
        ...

    def map(self, address: int, size: int, handles: Array, index: int) -> bool:
        """Put memory there, handles[index]; False: there is none."""
        ...

    def unmap(self, address: int, size: int, handles: Array, index: int) -> None:
        """Undo `map`, or as much of it as has happened."""
        ...

    def free(self, address: int, size: int) -> None:
        """Give the addresses back."""
        ...

    def view(self, address: int, size: int) -> Tensor:
        """The bytes at `address`, where memory has been mapped, as uint8 [size]."""
        ...

    def wait(self) -> None:
        """Until nothing that has been launched can use the memory any more."""
        ...

    def busy(self) -> bool:
        """Whether a graph is being captured, which waiting would break."""
        ...


class CudaMapper:
    """The calls for one GPU. Raises `RuntimeError` with the driver's name for what went wrong."""

    def __init__(self, device: torch.device, library: ctypes.CDLL):
        self.device, self._library = device, library
        where = _Location(ON_DEVICE, device.index)
        self._kind = _Properties(type=PINNED, location=where)
        self._access = _Access(location=where, flags=READ_WRITE)
        size = c_size_t()
        self._call("cuMemGetAllocationGranularity", byref(size), byref(self._kind), c_int(0))
        self.granularity = size.value

    def room(self) -> tuple[int, int]:
        return torch.cuda.mem_get_info(self.device)

    def reclaim(self) -> bool:
        # tensors that a user has deleted are still torch's
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        if kept >= MUCH:
            torch.cuda.empty_cache()
        return kept >= MUCH

    def reserve(self, size: int) -> int:
        address = c_uint64()
        self._call(
            *("cuMemAddressReserve", byref(address), c_size_t(size)),
            *(c_size_t(0), c_uint64(0), c_uint64(0)),
        )
        return address.value

    def map(self, address: int, size: int, handles: Array, index: int) -> bool:
        at, bytes_, handle = c_uint64(address), c_size_t(size), byref(handles, 8 * index)
        code = self._library.cuMemCreate(handle, bytes_, byref(self._kind), c_uint64(0))
        if code == OUT_OF_MEMORY:
            return False
        self._check("cuMemCreate", code)
        made = c_uint64(handles[index])
        self._call("cuMemMap", at, bytes_, c_size_t(0), made, c_uint64(0))
        self._call("cuMemSetAccess", at, bytes_, byref(self._access), c_size_t(1))
        return True

    def unmap(self, address: int, size: int, handles: Array, index: int) -> None:
        if handles[index]:
            # fails if an interrupt came before it was mapped: then there is nothing to undo
            self._library.cuMemUnmap(c_uint64(address), c_size_t(size))
            self._library.cuMemRelease(c_uint64(handles[index]))
            handles[index] = 0

    def free(self, address: int, size: int) -> None:
        self._library.cuMemAddressFree(c_uint64(address), c_size_t(size))

    def view(self, address: int, size: int) -> Tensor:
        return torch.as_tensor(_Bytes(address, size), device=self.device)

    def wait(self) -> None:
        wait_for(self.device)

    def busy(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def _call(self, name: str, *arguments) -> None:
        self._check(name, getattr(self._library, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(c_int(code), byref(text))
            raise RuntimeError(f"{name} on {self.device}: {(text.value or b'?').decode()} ({code})")


def mapper(device: torch.device) -> CudaMapper | None:
    """The mapper of a GPU; None where there is no such thing: a CPU, ROCm, an old or virtual GPU."""
    if device.type != "cuda" or (driver := library()) is None:
        return None
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.mem_get_info(index)  # makes the device's context, which the driver's calls need
    supported = c_int()
    code = driver.cuDeviceGetAttribute(byref(supported), c_int(MAPPING_SUPPORTED), c_int(index))
    return CudaMapper(torch.device("cuda", index), driver) if not code and supported else None


class _Location(Structure):
    _fields_ = [("type", c_int), ("id", c_int)]


class _Flags(Structure):
    _fields_ = [
        ("compression", c_ubyte),
        ("rdma", c_ubyte),
        ("usage", c_ushort),
        ("reserved", c_ubyte * 4),
    ]


class _Properties(Structure):
    """CUmemAllocationProp."""

    _fields_ = [
        ("type", c_int),
        ("handle_types", c_int),
        ("location", _Location),
        ("metadata", c_void_p),
        ("flags", _Flags),
    ]


class _Access(Structure):
    """CUmemAccessDesc."""

    _fields_ = [("location", _Location), ("flags", c_int)]


class _Bytes:
    """Tells torch where bytes of a GPU are."""

    def __init__(self, address: int, size: int):
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 3,
        }
