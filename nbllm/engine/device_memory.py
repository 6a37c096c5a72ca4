"""How much memory a device has, and how much of it nobody uses."""

from __future__ import annotations

from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")


def device_memory(device: torch.device) -> dict[str, int]:
    """Bytes "free" and "total": of a GPU, or of the host; empty where the system does not tell."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return {"free": free, "total": total}
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return {}
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return {"free": kib["MemAvailable"] * 1024, "total": kib["MemTotal"] * 1024}
