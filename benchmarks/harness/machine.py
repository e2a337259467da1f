"""What a reader must know of the machine to believe a figure."""

import os
import platform
from importlib import metadata
from typing import Any

import cpuinfo

from runtime.environment import FLAGS

PACKAGES = ("litmus-onnx", "numpy", "onnxruntime", "tokenizers", "torch", "transformers")


def machine(threads: int) -> dict[str, Any]:
    """Returns CPU, flags that matter for inference, load, threads and versions."""
    info = cpuinfo.get_cpu_info()
    flags = set(info.get("flags", ()))
    return {
        "cpu": info.get("brand_raw", platform.processor()),
        "cpu_flags": [flag for flag in FLAGS if flag in flags],
        "cpus": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }
