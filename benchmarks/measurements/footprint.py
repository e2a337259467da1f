"""`python -m benchmarks footprint`: start-up time, memory and idle CPU time of the runtime.

Every figure comes from fresh processes that import only the runtime and use its default settings. Linux only.

    python -m benchmarks footprint --model build/artifact --output build/footprint.json
"""

import functools
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from runtime.artifact.folder import open_artifact
from runtime.engine.cpus import available_cpus
from runtime.engine.settings import Profile

from ..errors import BenchmarkError
from ..harness import footprint_worker, isolated
from ..harness.machine import machine

PROFILES: tuple[Profile, ...] = get_args(Profile)


def measure(model: str, *, calls: int, repeats: int) -> dict[str, Any]:
    """Measures the runtime as a service or an edge device would run it.

    Args:
        model: Artifact folder.
        calls: Calls after the first hundred, on texts of random lengths, to see whether memory grows.
        repeats: Processes for each time.

    Returns:
        The report, ready for JSON: seconds to the first label, memory in MB, CPU time in the second after a call.

    Raises:
        BenchmarkError: The platform is not Linux, or a process failed.
        ArtifactError: The artifact is damaged.
    """
    if sys.platform != "linux":
        raise BenchmarkError(f"footprint needs /proc, which {sys.platform} does not have; run it on Linux")
    open_artifact(model)
    model_path = str(Path(model).resolve())  # the processes run in another folder
    start = functools.partial(isolated.run_in_subprocess, footprint_worker.first_prediction, model=model_path)
    start()  # compiles the modules and reads the files into the page cache
    starts = [start() for _ in range(repeats)]
    idle: dict[str, list[float]] = {profile: [] for profile in PROFILES}
    for _ in range(repeats):
        for profile, times in idle.items():
            idle_cpu_s, _ = isolated.run_in_subprocess(footprint_worker.idle_cpu_s, model=model_path, profile=profile)
            times.append(idle_cpu_s)
    growth, _ = isolated.run_in_subprocess(footprint_worker.memory_growth, model=model_path, calls=calls)
    first, last = growth["first"], growth["last"]
    return {
        "kind": "footprint",
        "machine": machine(available_cpus()),
        "settings": {"model": model, "calls": calls, "repeats": repeats, "first_calls": footprint_worker.FIRST_CALLS},
        "variant": growth["variant"],
        "start": {
            "outside_s": _summary([elapsed_s for _, elapsed_s in starts]),
            "inside_s": _summary([result["inside_s"] for result, _ in starts]),
            "peak_mb": statistics.median(result["peak_mb"] for result, _ in starts),
        },
        "memory": {
            "tokens": growth["tokens"],
            "after_first_calls_mb": first["resident_mb"],
            "after_calls_mb": last["resident_mb"],
            "growth_mb": last["resident_mb"] - first["resident_mb"],
            "peak_mb": last["peak_mb"],
        },
        "idle_cpu_s": {profile: _summary(times) for profile, times in idle.items()},
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    info, settings, start, memory = (report[key] for key in ("machine", "settings", "start", "memory"))
    shortest, longest = memory["tokens"]
    first = settings["first_calls"]
    rows = [
        ("process start to process end, one label printed", _seconds(start["outside_s"])),
        ("process start to first label, measured in the process", _seconds(start["inside_s"])),
        ("peak memory up to the first label", f"{start['peak_mb']:.1f} MB"),
        (f"memory after {first} calls of {shortest} to {longest} tokens", f"{memory['after_first_calls_mb']:.1f} MB"),
        (f"memory growth in {settings['calls']} more calls", f"{memory['growth_mb']:+.1f} MB"),
        ("peak memory of these calls", f"{memory['peak_mb']:.1f} MB"),
        *(
            (f"CPU time in the second after a call, profile {profile}", _seconds(times))
            for profile, times in report["idle_cpu_s"].items()
        ),
    ]
    lines = [
        f"Footprint of the runtime in fresh processes, {report['variant']} variant; times are the median (minimum) of "
        f"{settings['repeats']} processes, with the files in the page cache.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {figure} |" for name, figure in rows),
    ]
    return "\n".join(lines) + "\n"


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def _seconds(summary: Mapping[str, float]) -> str:
    return f"{summary['median']:.3f} ({summary['min']:.3f}) s"
