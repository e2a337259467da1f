"""The machine and the versions that a figure belongs to."""

import os
import platform
from importlib import metadata
from typing import Any

from runtime.environment import environment_info

PACKAGES = ("litmus-onnx", "numpy", "onnxruntime", "tokenizers", "torch", "transformers")


def machine(threads: int) -> dict[str, Any]:
    """Returns the CPU, its flags that matter for inference, the load, the threads and the versions; ready for JSON.

    Args:
        threads: Threads that each contender was given.
    """
    info = environment_info()
    return {
        "cpu": info["processor"],
        "cpu_flags": info["processor_flags"],
        "cpus": info["cpus"],
        "threads": threads,
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }
