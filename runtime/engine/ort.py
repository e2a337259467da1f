"""Imports onnxruntime, the way that every module of the runtime gets it: quiet, and with a way out where it is missing.

Since 1.29, onnxruntime keeps a device id and a database under HOME and has a thread that reports to Microsoft, which
also hangs every forked child at its exit. It reads `ORT_DISABLE_TELEMETRY` once, when it is imported; 0 leaves all that
on.
"""

import os

from ..errors import DependencyError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime

    onnxruntime.InferenceSession  # noqa: B018 - a half removed installation imports, and is empty
except (ImportError, AttributeError) as missing:
    raise DependencyError(
        "onnxruntime is not installed: pip install onnxruntime, or onnxruntime-gpu for CUDA"
    ) from missing

__all__ = ["onnxruntime"]
