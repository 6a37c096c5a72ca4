"""What there is to compute on, for people."""

from __future__ import annotations

import torch


def devices() -> list[str]:
    """A line for each GPU, with its memory; of a machine without one, its CPU."""
    found = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        name = torch.cuda.get_device_name(i)
        found.append(f"cuda:{i} {name} ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)")
    return found or [f"cpu ({torch.get_num_threads()} threads)"]
