"""Measures the largest magnitude of a graph's tensors on real inputs.

The graph reduces each tensor to one number as soon as it is computed, so measuring hardly needs more memory than a
plain run: 490 instead of 483 MB for all 165 tensors of MiniLM at 16 x 256 tokens. In onnxruntime's default order, which
leaves the reductions to the end, it needs 1440 MB.
"""

import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime

from runtime.engine.cpus import available_cpus

from ..errors import ExportError
from ..graph.variant_files import Inputs
from .activation_stats import run


def largest_activations(model: ir.Model, tensors: Collection[str], batches: Iterable[Inputs]) -> dict[str, float]:
    """Runs a graph on the CPU and returns the largest magnitude of each tensor.

    NaN is not detected, because the reduction may ignore it. The comparison with PyTorch detects it.

    Args:
        model: The fp32 graph; it is not changed.
        tensors: Names of float tensors that nodes of the graph compute.
        batches: Inputs by name, (batch, sequence) int64; names that the graph does not have are ignored.

    Raises:
        ExportError: `batches` is empty, or the graph fails on a batch.
    """
    largest = np.zeros(len(tensors), np.float32)
    session = _session(_reduced(model, tensors))
    names = [node.name for node in session.get_inputs()]
    count = 0
    for batch in batches:
        magnitudes = run(session, None, {name: batch[name] for name in names})
        largest = np.maximum(largest, np.array(magnitudes, np.float32))
        count += 1
    if not count:
        raise ExportError("no inputs to measure activations on; pass at least one batch of real texts")
    return dict(zip(tensors, map(float, largest), strict=True))


def _reduced(model: ir.Model, tensors: Collection[str]) -> ir.Model:
    """Returns a graph whose outputs are the largest magnitudes of the tensors, each a scalar."""
    reduced = model.clone()
    graph = reduced.graph
    values = {value.name: value for node in graph for value in node.outputs}
    graph.outputs.clear()
    for tensor in tensors:
        magnitude = ir.node("Abs", [values[tensor]])
        largest = ir.node("ReduceMax", magnitude.outputs, {"keepdims": 0})
        producer = values[tensor].producer()
        assert producer is not None
        graph.insert_after(producer, [magnitude, largest])
        largest.outputs[0].dtype = ir.DataType.FLOAT
        graph.outputs.append(largest.outputs[0])
    return reduced


def _session(model: ir.Model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # runs the reductions as soon as possible
    options.log_severity_level = 4  # its errors are raised, not printed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
