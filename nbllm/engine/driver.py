"""What a process has once, whatever engines it has: CUDA's driver, and who captures or waits when."""

from __future__ import annotations

import ctypes
import threading
from functools import cache

import torch

CAPTURING = threading.RLock()
"""Held by whoever captures, while kernels are compiled too: one at a time has the stream for it, and the
garbage collector. And by who waits for a whole GPU, which may not be while a stream captures: both would
fail."""

NON_BLOCKING = 1
"""Of a stream: it does not wait for the legacy default stream, nor that for it."""


def wait_for(device: torch.device) -> None:
    """Until a GPU has done everything that was launched."""
    with CAPTURING:
        torch.cuda.synchronize(device)


@cache
def library() -> ctypes.CDLL | None:
    """The driver's own, which is there wherever torch finds an NVIDIA GPU; None: a CPU, ROCm."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def new_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream that nobody else has, for as long as the process lives, where there is CUDA's driver.

    Those of `torch.cuda.Stream` are the same 32 over and over again.
    """
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # makes the device's context
        stream, driver = ctypes.c_void_p(), library()
        if driver is None or driver.cuStreamCreate(ctypes.byref(stream), NON_BLOCKING):
            return torch.cuda.Stream(device)
        return torch.cuda.ExternalStream(stream.value, device)
