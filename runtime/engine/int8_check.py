"""Finds out whether this machine multiplies int8 exactly.

x86 CPUs without VNNI add pairs of products in 16 bits that saturate, and onnxruntime's uint8 x int8 kernels give wrong
sums (onnxruntime#5849). Its remedy, `session.x64quantprecision`, is part of the extended graph optimizations.
With less than those it does nothing at all, and with them it costs a CPU that needs no remedy a factor of ten
(docs/experiments.md). So the machine is asked: one product of the largest numbers, whose sums are known.
"""

import functools

import numpy as np

from ..errors import InferenceError
from .model_file import number, text
from .ort import onnxruntime

ROWS, DEPTH, COLUMNS = 4, 64, 16
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127


@functools.cache
def saturates() -> bool:
    """Tells whether uint8 x int8 products come out wrong here; takes a millisecond, once.

    Raises:
        InferenceError: There is not enough memory.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(_product(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"a": np.full((ROWS, DEPTH), LARGEST_INPUT, np.uint8)})
    except Exception as error:  # a model of a few hundred bytes: nothing else is in its way
        raise InferenceError("there is not enough memory to start onnxruntime; free some") from error
    return bool((found != DEPTH * LARGEST_INPUT * LARGEST_WEIGHT).any())


def _product() -> bytes:
    """Returns an ONNX model, c = MatMulInteger(a, b), whose b is all `LARGEST_WEIGHT`.

    Field numbers are those of onnx.proto; element types are 2 uint8, 3 int8, 6 int32.
    """

    def tensor_type(name: str, element: int) -> bytes:
        return text(1, name) + text(2, text(1, number(1, element)))

    node = text(1, "a") + text(1, "b") + text(2, "c") + text(4, "MatMulInteger")
    weights = number(1, DEPTH) + number(1, COLUMNS) + number(2, 3) + text(8, "b")
    weights += text(9, bytes([LARGEST_WEIGHT]) * (DEPTH * COLUMNS))
    graph = text(1, node) + text(2, "product") + text(5, weights)
    graph += text(11, tensor_type("a", 2)) + text(12, tensor_type("c", 6))
    return number(1, 10) + text(7, graph) + text(8, number(2, 20))
