"""Activation statistics agree with NumPy's."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.errors import ExportError
from export.graph.layers import Floats
from export.quantization.activation_stats import AT_ONCE, TOKENS, collect_stats

RNG = np.random.default_rng(6)


def one_layer(weights: Floats, bias: Floats | None = None) -> ir.Model:
    """Returns the graph y = x @ weights + bias."""
    constants = {"w": weights} | ({} if bias is None else {"b": bias})
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul" if bias is None else "Gemm", ["x", *constants], ["y"])],
        "graph",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", weights.shape[0]])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["rows", weights.shape[1]])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10))


def test_mean_and_covariance() -> None:
    """Mean and covariance cover all tokens of short texts, over more rows than are summed at once."""
    mixing = RNG.normal(size=(4, 4))
    lengths = RNG.integers(1, TOKENS + 1, 100)
    texts = [(RNG.normal(size=(length, 4)) @ mixing + [5, -3, 0, 1]).astype(np.float32) for length in lengths]
    tokens = np.concatenate(texts, dtype=np.float64)
    assert len(tokens) > AT_ONCE
    found = collect_stats(one_layer(np.ones((4, 2), np.float32)), [{"x": text} for text in texts], threads=1)["x"]
    np.testing.assert_allclose(found.mean, np.mean(tokens, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(tokens, rowvar=False, bias=True), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_infinite_activations(bad: float) -> None:
    """NaN or infinite activations cannot be calibrated on and raise an error."""
    x = np.ones((1, 4), np.float32)
    x[0, 2] = bad
    with pytest.raises(ExportError, match="NaN or infinite values on a calibration text, first in 'x'"):
        collect_stats(one_layer(np.ones((4, 2), np.float32)), [{"x": x}], threads=1)
