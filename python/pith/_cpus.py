"""How many threads to give a session, as include/pith/cpus.hpp counts them for the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional


def _numbers(path: Path) -> list[float]:
    """Of a small file of the kernel's; empty where there is none, or where it says "max"."""
    try:
        return [float(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


def _quota() -> float:
    """CPUs' worth of time that control groups leave this process; infinite without a limit."""
    mount, least = Path("/sys/fs/cgroup"), float("inf")
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return least
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount if not controllers else mount / "cpu"
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            limits = [_numbers(group / "cpu.max"),
                      _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")]
            least = min([least] + [quota / period for quota, period in (x for x in limits if len(x) == 2) if quota > 0 < period])
            if group == root:
                break
    return least


def _speed(cpu: int, name: str) -> float:
    return sum(_numbers(Path(f"/sys/devices/system/cpu/cpu{cpu}/{name}")))


def count_fast_cpus() -> int:
    """CPUs that this process may use, without little cores beside big ones, and no more than its quota is worth; 1 .. 64."""
    affinity: Optional[set[int]] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    cpus = affinity or set(range(os.cpu_count() or 1))
    n = len(cpus)
    for name, share in (("cpu_capacity", 2 / 3), ("cpufreq/cpuinfo_max_freq", 0.9)):
        speeds = [_speed(cpu, name) for cpu in cpus]
        if max(speeds) > 0:
            n = sum(speed >= share * max(speeds) for speed in speeds)
            break
    return max(1, min(n, 64, int(min(_quota(), 64))))
