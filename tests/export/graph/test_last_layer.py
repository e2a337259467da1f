"""The last layer is computed for one token if the head reads no other, and gives the same logits."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest

from export.graph import attention
from export.graph.last_layer import compute_one_token
from export.graph.parity import TOLERANCE, batches, torch_logits
from export.graph.torch_export import export_graph
from export.graph.variant_files import FILES, open_variant
from export.sources.checkpoint import open_checkpoint

from ...models import MAX_LENGTH, families, write_checkpoint
from ..families import Exported, Inputs, rows

LENGTHS = (MAX_LENGTH, 5, 17)
HIDDEN, FEED_FORWARD = 32, 64  # widths of the small models


def outputs_of(path: Path, names: list[str], inputs: Inputs) -> list[np.ndarray]:
    """Runs a graph and returns values inside it."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {node.name: inputs[node.name] for node in session.get_inputs()})


def computed_rows(path: Path, inputs: Inputs) -> list[int]:
    """Returns how many rows each feed-forward network computes, in graph order."""
    graph = onnx.load(path).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    last = [
        node.output[0]
        for node in graph.node
        if node.op_type == "MatMul" and weights.get(node.input[1]) == (FEED_FORWARD, HIDDEN)
    ]
    return [int(np.prod(value.shape[:-1])) for value in outputs_of(path, last, inputs)]


def query_and_key_rows(path: Path, inputs: Inputs) -> list[tuple[int, int]]:
    """Returns how many query and key rows each fused attention reads, in graph order."""
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "MultiHeadAttention"]
    names = [name for node in nodes for name in node.input[:2]]
    if not names:
        return []
    values = dict(zip(names, outputs_of(path, names, inputs), strict=True))
    return [(values[node.input[0]].shape[1], values[node.input[1]].shape[1]) for node in nodes]


@pytest.mark.slow
def test_rows_of_a_family(exported: Exported) -> None:
    """The first layer computes every token. The last computes one per text, unless the head pools all of them."""
    inputs, path = rows(exported, LENGTHS), exported.artifact / FILES["fp32"]
    every = len(LENGTHS) * MAX_LENGTH
    pooled = exported.family == "modernbert"  # with classifier_pooling="mean"
    assert computed_rows(path, inputs) == [every, every if pooled else len(LENGTHS)]
    fused = query_and_key_rows(path, inputs)
    assert fused in ([], [(MAX_LENGTH, MAX_LENGTH), (MAX_LENGTH if pooled else 1, MAX_LENGTH)])


@pytest.mark.slow
@pytest.mark.parametrize(("family", "implementation"), [("bert", "eager"), ("modernbert", attention.NAME)])
def test_head_on_the_first_token(family: str, implementation: str, tmp_path: Path) -> None:
    """BERT with eager attention, and ModernBERT with its window and a head on [CLS], give PyTorch's logits."""
    config = families()[family]
    if family == "modernbert":
        config.classifier_pooling = "cls"
    checkpoint = open_checkpoint(str(write_checkpoint(tmp_path / "checkpoint", config, biases=0.2)))
    attention.register()
    (tmp_path / "onnx").mkdir()
    path = tmp_path / FILES["fp32"]
    export_graph(checkpoint, path, implementation=implementation)
    session = open_variant(tmp_path, "fp32", labels=3)
    for inputs in batches(checkpoint):
        np.testing.assert_allclose(session.run(inputs), torch_logits(checkpoint, inputs), rtol=0, atol=TOLERANCE)
        texts, tokens = inputs["input_ids"].shape
        assert computed_rows(path, inputs) == [texts * tokens, texts]


def moved(body: str, select: str = "Gather<axis=1>(last, first)") -> tuple[bool, bool]:
    """Returns whether the selection moves up through a graph, and whether the results are the same.

    Args:
        body: Nodes that compute `last` from `x`, float[batch, tokens, 4].
        select: Node that computes the output from `last`.
    """
    text = f"""<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>
    g (float[batch, tokens, 4] x) => (float[batch, width] y)
    <int64 first = {{0}}, int64 second = {{1}}, int64 final = {{-1}}, float[4] bias = {{1.0, 2.0, -1.0, 0.5}},
     float[1, 1, 4] wide = {{1.0, -2.0, 1.0, 0.5}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] zero = {{0}},
     int64[4] heads = {{0, 0, 2, 2}}, int64[3] joined = {{0, 0, 4}}, int64[3] turned = {{0, 4, -1}},
     float[4, 4] square = {{1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 1.0, -1.0, 3.0}}>
    {{ {body}
       y = {select} }}"""
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text), strict_mode=True)
    model = ir.from_proto(proto)
    before = len(model.graph)
    compute_one_token(model.graph)
    after = ir.to_proto(model)
    same = True
    for batch, tokens in ((1, 1), (2, 5), (3, 2)):
        x = np.random.default_rng(tokens).normal(size=(batch, tokens, 4)).astype(np.float32)
        found, expected = (
            onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(
                None, {"x": x}
            )[0]
            for each in (after, proto)
        )
        same = same and found.shape == expected.shape and bool(np.allclose(found, expected, atol=1e-6))
    gathered = [node for node in model.graph if node.op_type == "Gather" and node.inputs[0].name == "x"]
    return len(model.graph) > before and bool(gathered), same


HEADS = "h = Reshape(x, heads)  t = Transpose<perm=[0, 2, 1, 3]>(h)"
BACK = "u = Transpose<perm=[0, 2, 1, 3]>(t2)  last = Reshape(u, joined)"
ROW_BY_ROW = {
    "elementwise": "a = Add(x, bias)  b = Mul(a, wide)  last = Tanh(b)",
    "the same value twice": "last = Mul(x, x)",
    "linear layer": "a = MatMul(x, square)  last = Add(bias, a)",
    "normalization": "last = LayerNormalization<axis=-1>(x, bias, bias)",
    "residual": "a = Relu(x)  last = Add(a, x)",
    "softmax over channels": "last = Softmax<axis=-1>(x)",
    "mean over channels": "a = ReduceMean<keepdims=1>(x, two)  last = Sub(x, a)",
    "split channels": "a, b = Split<axis=2, num_outputs=2>(x)  c = Mul(a, b)  last = Concat<axis=-1>(c, b)",
    "slice of channels": "last = Slice(x, zero, two, two)",
    "heads and back": f"{HEADS}  t2 = Relu(t)  {BACK}",
    "select a channel": "a = Unsqueeze(x, one)  b = Squeeze(a, one)  c = Gather<axis=2>(b, zero)  last = Tanh(c)",
    "mean over tokens added": "a = ReduceMean<keepdims=1>(x, one)  last = Add(x, a)",
    "another order of channels": "a = Gather<axis=2>(x, first)  last = Unsqueeze(a, two)",
}
STOPPED = {
    "softmax over tokens": "last = Softmax<axis=1>(x)",
    "all tokens read elsewhere": "a = Tanh(x)  b = ReduceMax<keepdims=1>(a, one)  last = Add(a, b)",
    "tokens joined": "a = Concat<axis=1>(x, x)  last = Tanh(a)",
    "tokens mixed": "a = Reshape(x, turned)  b = Transpose<perm=[0, 2, 1]>(a)  last = Tanh(b)",
    "softmax of an old opset, which joins axes": "last = Softmax(x)",
    "scale for every token": "s = Tanh(x)  p = ReduceMean<keepdims=1>(s, zero)  last = LayerNormalization(x, p)",
    "earlier keys only": "last = com.microsoft.MultiHeadAttention<num_heads=2, unidirectional=1>(x, x, x)",
    "slice of tokens": "a = Slice(x, zero, one, one)  last = Tanh(a)",
    "no rule": "last = CumSum(x, second)",
}


@pytest.mark.parametrize("body", ROW_BY_ROW.values(), ids=ROW_BY_ROW)
def test_moves_up_through_what_is_computed_row_by_row(body: str) -> None:
    """An operator that computes a row from the same row is computed for the selected token alone."""
    assert moved(body) == (True, True)


@pytest.mark.parametrize("body", STOPPED.values(), ids=STOPPED)
def test_stops_where_rows_are_mixed(body: str) -> None:
    """An operator that reads other rows gets all of them."""
    assert moved(body) == (False, True)


def test_attention_reads_every_key() -> None:
    """In a product of queries and keys only the queries are selected."""
    scores = "k = Transpose<perm=[0, 2, 1]>(x)  s = MatMul(x, k)  p = Softmax<axis=-1>(s)  last = MatMul(p, x)"
    assert moved(scores) == (True, True)


def test_names_are_new() -> None:
    """A value that is selected along two axes, or whose new name is taken, gives a valid graph."""
    scores = "k = Transpose<perm=[0, 2, 1]>(x)  s = MatMul(x, k)"
    assert moved(f"{scores}  x_first_1 = Relu(x)  one_token = Tanh(x_first_1)  last = Add(one_token, x)")[1]
    assert moved(f"{scores}  t = Transpose<perm=[0, 2, 1]>(s)  a = Add(s, t)  last = MatMul(a, x)")[1]


def test_last_token() -> None:
    """A head on the last token is treated alike; a token in between stays where it is selected."""
    assert moved("last = Tanh(x)", "Gather<axis=1>(last, final)") == (True, True)
    text = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[batch, tokens, 4] x) => (float[batch, 4] y) <int64 second = {1}>
    { a = Tanh(x) y = Gather<axis=1>(a, second) }"""
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))).graph
    compute_one_token(graph)
    assert [node.op_type for node in graph] == ["Tanh", "Gather"]
