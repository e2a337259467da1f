"""Versions and hardware, for bug reports and benchmark reports."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from .engine.cpus import available_cpus
from .engine.ort import onnxruntime
from .version import __version__

FLAGS = (  # CPU flags that decide how fast, and how exactly, matrices are multiplied
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)


def environment_info() -> dict[str, Any]:
    """Returns versions, processor, its relevant flags, and the number of CPUs that this process may use; for JSON."""
    model, flags = _processor(Path("/proc/cpuinfo"))
    return {
        "versions": {
            "litmus": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tokenizers": tokenizers.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "onnxruntime_providers": onnxruntime.get_available_providers(),
        "platform": f"{sys.platform} {platform.release()} {platform.machine()}",
        "processor": model or platform.processor(),
        "processor_flags": [flag for flag in FLAGS if flag in flags],
        "cpus": os.cpu_count(),
        "cpus_available": available_cpus(),
    }


def _processor(path: Path) -> tuple[str, set[str]]:
    """Returns the processor's name and flags on Linux; nothing elsewhere."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "", set()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", ""), set(flags.split())
