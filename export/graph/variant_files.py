"""The ONNX files of an artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from runtime.artifact.manifest import Precision, Variant
from runtime.engine.providers import PROVIDERS
from runtime.engine.session import Session

Inputs = Mapping[str, npt.NDArray[np.int64]]  # of a graph by name, each (batch, sequence)
Operators = Literal["onnxruntime", "standard"]  # onnxruntime's own among them, or ONNX's alone
FILES: Mapping[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "int8": "onnx/model_int8.onnx",
    "fp16": "onnx/model_fp16.onnx",
}


def open_variant(folder: Path, precision: Precision, *, labels: int) -> Session:
    """Opens a graph of an unfinished artifact as the runtime will, on the CPU."""
    variant = Variant(precision, FILES[precision], (PROVIDERS["cpu"],), "onnxruntime", None, {}, ())
    return Session(folder, variant, provider="cpu", labels=labels)


def operators(path: Path) -> Operators:
    """Returns whose operators a graph has, by the domains that it declares."""
    return "standard" if set(ir.load(path).opset_imports) <= {""} else "onnxruntime"
