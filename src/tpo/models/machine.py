"""What this process may use of the machine: containers and affinity allow less than the hardware has."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """Processors that this process may use, at least 1."""
    # Not on macOS and Windows, where all processors are usable.
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        cpus = min(cpus, round(int(quota) / int(period)))
    return max(cpus, 1)


def available_memory() -> int:
    """Bytes that this process can take without others being swapped out or killed; a guess where the system reports
    only how much it has."""
    return min(_free_memory(), _cgroup_left())


def _free_memory() -> int:
    for line in _read(Path("/proc/meminfo")).splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) * 1024
    try:
        # Half of it: macOS has no such number, and everything else that runs needs some.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def _cgroup_left() -> int:
    limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
    return int(limit) - int(used) if limit.isdecimal() and used.isdecimal() else sys.maxsize


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
