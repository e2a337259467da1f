"""Imports onnxruntime with telemetry off, and with a clear error if it is missing.

Since 1.29, onnxruntime keeps a device id and a database under HOME, and starts a thread that reports to Microsoft. The
thread also makes every forked child hang when it exits. onnxruntime reads `ORT_DISABLE_TELEMETRY` once, when it is
imported; set it to 0 to leave telemetry on.
"""

import os

from ..errors import DependencyError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime

    onnxruntime.InferenceSession  # noqa: B018 - a partly removed installation can be imported, but is empty
except (ImportError, AttributeError) as missing:
    raise DependencyError(
        "onnxruntime is not installed: pip install onnxruntime, or onnxruntime-gpu for CUDA"
    ) from missing

__all__ = ["onnxruntime"]
