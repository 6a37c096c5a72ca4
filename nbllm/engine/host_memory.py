"""How much memory the host lets this process have."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container finds its own limit (control groups of version 2, and 1)."""


def host_bytes() -> int | None:
    """The machine's memory, or the container's share of it; None: the system does not say."""
    found = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in LIMITS:
        # "max" is no limit
        with suppress(ValueError, OSError):
            found.append(int(path.read_text()))
    return min(found, default=None)
