"""How much memory this process may use."""

import contextlib
import os
from pathlib import Path

# The limit of a container, by cgroup v2 and v1.
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the container's limit where that is less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            found.append(int((root / path).read_text()))
    return min(found)
