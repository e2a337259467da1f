"""`python -m benchmarks footprint --model ARTIFACT [--calls 10000] [--repeats 9]`: start, memory and idle CPU.

Every figure is from fresh processes that have the runtime alone, with its own settings; never PyTorch. Linux only.

    python -m benchmarks footprint --model build/artifact --output build/footprint.json
"""

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
    """Measures the runtime as a service or an edge box would run it.

    Args:
        model: Artifact folder.
        calls: Of texts of random lengths, after the first hundred, to see whether memory grows.
        repeats: Processes for each figure of time.

    Returns:
        The report, ready for JSON: seconds to the first label, memory, CPU seconds burnt after a call.

    Raises:
        BenchmarkError: This is not Linux, or a process failed.
        ArtifactError: The artifact is damaged.
    """
    if sys.platform != "linux":
        raise BenchmarkError("footprint reads /proc, which Linux alone has; run it there")
    open_artifact(model)
    where = str(Path(model).resolve())
    isolated.run_in_subprocess(
        footprint_worker.first_prediction, model=where
    )  # compiles the modules and brings the files into memory
    starts = [isolated.run_in_subprocess(footprint_worker.first_prediction, model=where) for _ in range(repeats)]
    idle: dict[str, list[float]] = {profile: [] for profile in PROFILES}
    for _ in range(repeats):
        for profile, burnt in idle.items():
            burnt.append(isolated.run_in_subprocess(footprint_worker.idle_cpu_s, model=where, profile=profile)[0])
    growth, _ = isolated.run_in_subprocess(footprint_worker.memory_growth, model=where, calls=calls)
    first, last = growth["first"], growth["last"]
    return {
        "kind": "footprint",
        "machine": machine(available_cpus()),
        "settings": {"model": model, "calls": calls, "repeats": repeats, "first_calls": footprint_worker.FIRST_CALLS},
        "variant": growth["variant"],
        "start": {
            "outside_s": _summary([elapsed_s for _, elapsed_s in starts]),
            "inside_s": _summary([answer["inside_s"] for answer, _ in starts]),
            "peak_mb": statistics.median(answer["peak_mb"] for answer, _ in starts),
        },
        "memory": {
            "tokens": growth["tokens"],
            "after_first_calls_mb": first["resident_mb"],
            "after_calls_mb": last["resident_mb"],
            "growth_mb": last["resident_mb"] - first["resident_mb"],
            "peak_mb": last["peak_mb"],
        },
        "idle_cpu_s": {profile: _summary(burnt) for profile, burnt in idle.items()},
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    info, settings, start, memory = (report[key] for key in ("machine", "settings", "start", "memory"))
    shortest, longest = memory["tokens"]
    first = settings["first_calls"]
    rows = [
        ("start of the process to its end, one label printed", _seconds(start["outside_s"])),
        ("start of the process to the first label, from inside", _seconds(start["inside_s"])),
        ("peak memory up to the first label", f"{start['peak_mb']:.1f} MB"),
        (f"memory after {first} calls of {shortest} to {longest} tokens", f"{memory['after_first_calls_mb']:.1f} MB"),
        (f"growth in {settings['calls']} more calls", f"{memory['growth_mb']:+.1f} MB"),
        ("peak memory of these calls", f"{memory['peak_mb']:.1f} MB"),
        *(
            (f"CPU burnt in the second after a call, profile {profile}", _seconds(burnt))
            for profile, burnt in report["idle_cpu_s"].items()
        ),
    ]
    lines = [
        f"Footprint of the runtime alone, {report['variant']}, in fresh processes; times are median (least) of "
        f"{settings['repeats']}, files in the page cache.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {what} | {figure} |" for what, figure in rows),
    ]
    return "\n".join(lines) + "\n"


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def _seconds(summary: Mapping[str, float]) -> str:
    return f"{summary['median']:.3f} ({summary['min']:.3f}) s"
