"""Memory of a CPU that costs nothing until it is touched."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor


def private(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor of zeros, of anonymous memory that is given back with it."""
    # private, since shared memory rarely gets huge pages, which what is read a little in many
    # places wants
    flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, int(np.prod(shape)) * dtype.itemsize, **flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)
