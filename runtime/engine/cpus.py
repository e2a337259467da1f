"""The number of CPUs that the operating system grants this process: the default number of threads."""

import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """Returns the number of CPUs that this process may use: its affinity, or its cgroup's quota if that is smaller.

    Args:
        root: Folder that contains proc and sys.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(int, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yields the CPU quotas of this process's cgroup and its ancestors, in CPUs; for cgroup versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path or controllers not in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            try:
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                if quota not in ("max", "-1"):
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                continue  # the root has no quota, and a container may not see the ancestors of its cgroup
