"""A graph of one shape: what it computes from the shape is folded, and what it computes from texts is the same."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from transformers import MPNetConfig

from export.errors import ExportError
from export.graph.fixed_shape import fix_shape
from export.graph.parity import Inputs
from export.graph.torch_export import export_graph
from export.quantization.fp16 import convert_to_fp16
from export.sources.checkpoint import open_checkpoint

from ...models import MAX_LENGTH, _head, write_checkpoint

BATCH = 3
SHAPE_OPERATORS = {
    "Shape",
    "Size",
    "Concat",
    "Slice",
    "Range",
    "ConstantOfShape",
    "Log",
}  # logarithms are taken of distances


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """A batch of the fixed shape, ragged and padded."""
    ids = np.random.default_rng(7).integers(1000, 30000, (BATCH, MAX_LENGTH))
    mask = np.arange(MAX_LENGTH) < np.array([[MAX_LENGTH], [1], [MAX_LENGTH // 2]])
    return {
        "input_ids": ids * mask,
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that computes masks and relative positions from the shape."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = MPNetConfig(**sizes, vocab_size=30527, **_head("single_label"))
    folder = write_checkpoint(tmp_path_factory.mktemp("eager") / "checkpoint", config)
    export_graph(open_checkpoint(str(folder)), folder / "model.onnx", implementation="eager")
    return folder / "model.onnx"


def run(path: Path, inputs: Inputs) -> np.ndarray:
    """Runs a graph on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {node.name: inputs[node.name] for node in session.get_inputs()})[0]


def operators(path: Path) -> Counter[str]:
    """Counts a graph's operators."""
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("which", ["fused", "eager"])
def test_only_arithmetic_is_left(
    which: str, precision: str, artifact: Path, eager: Path, inputs: Inputs, tmp_path: Path
) -> None:
    """No operator on shapes, inputs and output of the one shape, and the logits of the graph it came from."""
    source = artifact / "onnx/model.onnx" if which == "fused" else eager
    if precision == "fp16":
        convert_to_fp16(source, tmp_path / "half.onnx", [inputs])
        source = tmp_path / "half.onnx"
    assert SHAPE_OPERATORS & set(operators(source))
    fix_shape(source, tmp_path / "fixed.onnx", batch=BATCH, sequence=MAX_LENGTH)
    assert not SHAPE_OPERATORS & set(operators(tmp_path / "fixed.onnx"))
    graph = onnx.load(tmp_path / "fixed.onnx").graph
    shapes = {tuple(dim.dim_value for dim in node.type.tensor_type.shape.dim) for node in [*graph.input, *graph.output]}
    assert shapes == {(BATCH, MAX_LENGTH), (BATCH, 3)}
    expected = run(source, inputs)
    tolerance = 1e-5 if precision == "fp32" else 5e-3 * np.abs(expected).max()
    np.testing.assert_allclose(run(tmp_path / "fixed.onnx", inputs), expected, rtol=0, atol=tolerance)


def test_fixed_shape_is_not_fixed_again(artifact: Path, tmp_path: Path) -> None:
    """The other shape would be ignored."""
    fix_shape(artifact / "onnx/model.onnx", tmp_path / "fixed.onnx", batch=BATCH, sequence=MAX_LENGTH)
    with pytest.raises(ExportError, match="expected named dimensions"):
        fix_shape(tmp_path / "fixed.onnx", tmp_path / "again.onnx", batch=1, sequence=8)
