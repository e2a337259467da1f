"""The ONNX files of an artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from runtime.artifact.manifest import Precision, Variant
from runtime.engine.providers import PROVIDERS
from runtime.engine.session import Session

Operators = Literal["onnxruntime", "standard"]
FILES: Mapping[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "int8": "onnx/model_int8.onnx",
    "fp16": "onnx/model_fp16.onnx",
}


def open_variant(folder: Path, precision: Precision, *, labels: int) -> Session:
    """Loads a graph of an artifact in the making the way the runtime will, on the CPU."""
    variant = Variant(precision, FILES[precision], (PROVIDERS["cpu"],), "onnxruntime", None, {}, ())
    return Session(folder, variant, provider="cpu", labels=labels)


def operators(path: Path) -> Operators:
    """Tells whose operators a graph has, by the domains that it declares."""
    return "standard" if set(ir.load(path).opset_imports) <= {""} else "onnxruntime"
