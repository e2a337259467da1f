"""The default number of threads."""

import os
from pathlib import Path

import pytest

from runtime import load
from runtime.engine.cpus import available_cpus


def test_threads(artifact: Path) -> None:
    """An inference has one thread per CPU of the process's affinity at most, or the requested number."""
    assert 1 <= load(artifact, provider="cpu").threads <= len(os.sched_getaffinity(0))
    assert load(artifact, provider="cpu", threads=1).threads == 1


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),
        ("0::/host/path", {"cpu.max": "200000 100000"}, 2),
        ("3:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("0::/", {"cpu.max": "garbage"}, 8),
    ],
)
def test_cpu_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], cpus: int
) -> None:
    """The lowest quota of the control group and its parents counts, in versions 1 and 2; half a CPU is one thread."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, content in (files | {"../../../proc/self/cgroup": f"12:memory:/x\n{groups}\n"}).items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert available_cpus(tmp_path) == cpus
