"""Measures how large a graph's tensors become on real inputs.

Each tensor is reduced to one number inside the graph, as soon as it is there, so that measuring needs no more memory
than a plain run: 490 against 483 MB for all 165 tensors of MiniLM at 16 x 256 tokens, and 1440 MB if onnxruntime may
leave the reductions to the end, which is its default order.
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

    NaN is not looked for: the reduction may pass over it, and parity with PyTorch does not.

    Args:
        model: The fp32 graph; it is not changed.
        tensors: Names of float tensors that nodes of the graph compute.
        batches: Inputs by name, (batch, sequence) int64; names that the graph does not have are ignored.

    Raises:
        ExportError: There are no batches, or the graph fails on one.
    """
    largest = np.zeros(len(tensors), np.float32)
    session = _session(_reduced(model, tensors))
    names = [node.name for node in session.get_inputs()]
    count = 0
    for batch in batches:
        found = run(session, None, {name: batch[name] for name in names})
        largest = np.maximum(largest, np.array(found, np.float32))
        count += 1
    if not count:
        raise ExportError("no inputs to measure activations on: pass a batch or more of real texts")
    return dict(zip(tensors, map(float, largest), strict=True))


def _reduced(model: ir.Model, tensors: Collection[str]) -> ir.Model:
    """Returns a graph that gives each tensor's largest magnitude, a scalar, instead of its outputs."""
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
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # as soon as possible
    options.log_severity_level = 4  # its errors become ours
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
