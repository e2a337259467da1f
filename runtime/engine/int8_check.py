"""Tests whether this CPU multiplies int8 exactly.

x86 CPUs without VNNI add pairs of products in 16 bits, which saturate, and onnxruntime's uint8 x int8 kernels return
wrong sums (onnxruntime#5849). The option `session.x64quantprecision` prevents it, but only at the extended level of
graph optimization, and it makes a CPU that does not need it ten times slower (docs/experiments.md). So one product of
the largest numbers, whose sums are known, is computed when a session is created.
"""

import functools

import numpy as np

from ..errors import InferenceError
from .ort import onnxruntime
from .protobuf import bytes_field, varint_field

ROWS, DEPTH, COLUMNS = 4, 64, 16
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127


@functools.cache
def int8_saturates() -> bool:
    """Returns whether uint8 x int8 products overflow on this CPU; takes a millisecond, once per process.

    Raises:
        InferenceError: There is not enough memory.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(_product(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"a": np.full((ROWS, DEPTH), LARGEST_INPUT, np.uint8)})
    except Exception as error:  # the model has a few hundred bytes, so only memory can be missing
        raise InferenceError("there is not enough memory to start onnxruntime; free some") from error
    return bool((found != DEPTH * LARGEST_INPUT * LARGEST_WEIGHT).any())


def _product() -> bytes:
    """Returns an ONNX model, c = MatMulInteger(a, b), whose b is all `LARGEST_WEIGHT`.

    Field numbers are those of onnx.proto; element types are 2 uint8, 3 int8, 6 int32.
    """

    def tensor_type(name: str, element: int) -> bytes:
        return bytes_field(1, name) + bytes_field(2, bytes_field(1, varint_field(1, element)))

    node = bytes_field(1, "a") + bytes_field(1, "b") + bytes_field(2, "c") + bytes_field(4, "MatMulInteger")
    weights = varint_field(1, DEPTH) + varint_field(1, COLUMNS) + varint_field(2, 3) + bytes_field(8, "b")
    weights += bytes_field(9, bytes([LARGEST_WEIGHT]) * (DEPTH * COLUMNS))
    graph = bytes_field(1, node) + bytes_field(2, "product") + bytes_field(5, weights)
    graph += bytes_field(11, tensor_type("a", 2)) + bytes_field(12, tensor_type("c", 6))
    return varint_field(1, 10) + bytes_field(7, graph) + bytes_field(8, varint_field(2, 20))
