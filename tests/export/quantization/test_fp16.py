"""The fp16 variant: which nodes compute in fp16, and agreement with fp32.

The graphs run in two ways. onnxruntime on the CPU computes chains of nodes without fp16 kernels in fp32, which hides
overflow. ONNX's reference evaluator keeps every tensor in its declared type, with the two operators below rounding
where CUDA's kernels do.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnx_ir
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from transformers import ModernBertConfig, PreTrainedConfig

from export.errors import ExportError
from export.graph import attention
from export.graph.parity import Inputs, batches
from export.graph.torch_export import export_graph
from export.quantization.fp16 import LIMIT, Fp16Report, convert_to_fp16, fits_fp16
from export.quantization.magnitudes import largest_activations
from export.sources.checkpoint import open_checkpoint

from ... import models
from ...models import bert, distilbert, write_checkpoint, write_minilm

pytestmark = pytest.mark.slow

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
TOLERANCE = 5e-3  # of the largest logit; fp16 rounds each tensor to 5e-4 of itself
LARGEST = float(np.finfo(np.float16).max)
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """An fp32 graph, its fp16 variant, and inputs: ragged, padded, one token, the longest."""

    single: Path
    half: Path
    report: Fp16Report
    inputs: list[Inputs]


def families() -> dict[str, PreTrainedConfig]:
    """Returns small random models: three with fused attention, three with eager attention."""
    small = models.families()
    modern = ModernBertConfig(**SIZES, vocab_size=30522, local_attention=8, **models._head("single_label"))
    shared = {name: small[name] for name in ("albert", "mpnet", "deberta-v2")}
    return {"bert": bert("single_label"), "distilbert": distilbert("multi_label"), **shared, "modernbert": modern}


EAGER = ("mpnet", "deberta-v2", "modernbert")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Graph]:
    """Exports and converts a family, once."""

    @cache
    def build(family: str) -> Graph:
        folder = tmp_path_factory.mktemp(family)
        return convert(write_checkpoint(folder / "checkpoint", families()[family]), fused=family not in EAGER)

    return build


def convert(folder: Path, *, fused: bool) -> Graph:
    """Exports a checkpoint and converts the graph."""
    checkpoint = open_checkpoint(str(folder))
    attention.register()
    single, half = folder / "model.onnx", folder / "model_fp16.onnx"
    export_graph(checkpoint, single, implementation=attention.NAME if fused else "eager")
    inputs = list(batches(checkpoint))
    return Graph(single, half, convert_to_fp16(single, half, inputs), inputs)


@cache
def session(path: Path) -> onnxruntime.InferenceSession:
    """Opens a graph in onnxruntime, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, inputs: Inputs) -> Logits:
    """Runs a graph in onnxruntime."""
    return session(path).run(["logits"], {node.name: inputs[node.name] for node in session(path).get_inputs()})[0]


class LayerNormalization(OpRun):
    """Computes in fp32 and rounds once, as `stash_type` 1 and CUDA's kernel have it; the reference does not."""

    def _run(self, x: Any, scale: Any, bias: Any = None, axis: Any = None, epsilon: Any = None, **_: Any):
        wide = x.astype(np.float32)
        centred = wide - wide.mean(axis, keepdims=True)
        normal = centred / np.sqrt(centred.var(axis, keepdims=True) + epsilon) * scale.astype(np.float32)
        return ((normal if bias is None else normal + bias).astype(x.dtype),)


class MultiHeadAttention(OpRun):
    """Attention with a (batch, sequence) mask, in fp32 inside."""

    op_domain = "com.microsoft"

    def _run(self, query: Any, key: Any, value: Any, _: Any, mask: Any, num_heads: Any = None, scale: Any = None):
        batch = len(query)
        q, k, v = (
            tensor.astype(np.float32).reshape(batch, tensor.shape[1], num_heads, -1).swapaxes(1, 2)
            for tensor in (query, key, value)
        )
        scores = np.where(mask[:, None, None] > 0, q @ k.swapaxes(2, 3) * scale, -10000)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        output = weights / weights.sum(-1, keepdims=True) @ v
        return (output.swapaxes(1, 2).reshape(query.shape).astype(query.dtype),)


def run_typed(path: Path, inputs: Inputs) -> Logits:
    """Runs a graph with every tensor in its type."""
    evaluator = ReferenceEvaluator(str(path), new_ops=[LayerNormalization, MultiHeadAttention])
    with np.errstate(all="ignore"):
        (logits,) = evaluator.run(["logits"], {name: inputs[name] for name in evaluator.input_names})
    return logits


def types(path: Path) -> dict[str, int]:
    """Returns the element type of every tensor that nodes compute."""
    graph = onnx.load(path).graph
    known = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.output]}
    return {name: known[name] for node in graph.node for name in node.output}


def scale_first_layer(source: Path, target: Path, factor: float) -> str:
    """Multiplies the weight that widens the first layer; returns the name of that product."""
    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    product = next(
        node for node in model.graph.node if node.op_type == "MatMul" and tuple(weights[node.input[1]].dims) == (32, 64)
    )
    weight = weights[product.input[1]]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), weight.name))
    onnx.save(model, target)
    return product.name


def worst(built: Graph, evaluate: Callable[[Path, Inputs], Logits]) -> float:
    """Returns the largest difference from fp32 over all inputs as a share of the largest logit; NaN is infinite."""
    largest = scale = 0.0
    for inputs in built.inputs:
        expected, found = run(built.single, inputs), evaluate(built.half, inputs)
        assert found.dtype == np.float32
        scale = max(scale, float(np.abs(expected).max()))
        difference = float(np.abs(found - expected).max())
        largest = max(largest, difference if np.isfinite(difference) else np.inf)
    return largest / scale


@pytest.mark.parametrize("family", list(families()))
def test_logits_agree_with_fp32(family: str, graph: Callable[[str], Graph]) -> None:
    """In onnxruntime on the CPU, fp16 logits agree with fp32 on ragged and padded batches."""
    assert worst(graph(family), run) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "distilbert", "albert", "mpnet", "modernbert"])
def test_logits_agree_with_every_tensor_in_its_type(family: str, graph: Callable[[str], Graph]) -> None:
    """With every tensor in its declared type, fp16 logits agree with fp32.

    DeBERTa is left out, because the reference evaluator lacks its GatherElements.
    """
    assert worst(graph(family), run_typed) < TOLERANCE


def test_bert_operators(graph: Callable[[str], Graph]) -> None:
    """BERT's fp16 graph has one conversion, in front of the classifier, and no other new node."""
    built = graph("bert")
    before, after = (
        Counter(node.op_type for node in onnx.load(path).graph.node) for path in (built.single, built.half)
    )
    assert after - before == {"Cast": 1}
    assert after == {
        "Add": 18,
        "MatMul": 12,
        "LayerNormalization": 5,
        "Gather": 5,
        "Cast": 3,
        "Shape": 1,
        "MultiHeadAttention": 2,
        "Gelu": 2,
        "Gemm": 2,
        "Slice": 1,
        "Tanh": 1,
    }
    assert built.report == Fp16Report(fp16_nodes=46, casts=1, too_large={}, fp32_nodes=())


def test_bert_computes_in_fp16(graph: Callable[[str], Graph]) -> None:
    """Every float tensor of BERT but the classifier's input and output is fp16."""
    single = [name for name, kind in types(graph("bert").half).items() if kind == FLOAT]
    assert single == ["tanh_float", "logits"]


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2", "modernbert"])
def test_one_conversion_in_front_of_each_softmax_and_one_behind(family: str, graph: Callable[[str], Graph]) -> None:
    """Each Softmax has two conversions; the others belong to classifier, DeBERTa's mask and ModernBERT's sines."""
    assert graph(family).report.casts == 2 * 2 + 1 + {"mpnet": 0, "deberta-v2": 1, "modernbert": 6}[family]


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
def test_no_conversion_is_undone(family: str, graph: Callable[[str], Graph]) -> None:
    """No conversion reads the result of a conversion to fp16."""
    casts = [node for node in onnx.load(graph(family).half).graph.node if node.op_type == "Cast"]
    down = {node.output[0] for node in casts if node.attribute[0].i == FLOAT16}
    assert not [node.name for node in casts if node.input[0] in down]


@pytest.mark.parametrize("family", EAGER)
def test_softmax_computes_in_fp32(family: str, graph: Callable[[str], Graph]) -> None:
    """Softmax computes in fp32, with the mask that is added to its input."""
    half = graph(family).half
    kinds = types(half)
    softmax = [node for node in onnx.load(half).graph.node if node.op_type == "Softmax"]
    assert [(kinds[node.input[0]], kinds[node.output[0]]) for node in softmax] == [(FLOAT, FLOAT)] * 2


def test_softmax_without_a_mask_computes_in_fp32(tmp_path: Path) -> None:
    """Softmax computes in fp32 even without a mask, which in other models forces that."""
    (tmp_path / "single.onnx").write_bytes(
        onnx.parser.parse_model(
            """<ir_version: 10, opset_import: ["" : 20]>
            main (int64[rows] input_ids) => (float[rows, 2] logits)
            <float[2, 2] table = {1, 2, 3, 4}, float[rows, 2] embedded, float[rows, 2] weights, float[rows, 2] mixed> {
                embedded = Gather (table, input_ids)
                weights = Softmax (embedded)
                mixed = MatMul (weights, table)
                logits = Identity (mixed)
            }"""
        ).SerializeToString()
    )
    convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", [{"input_ids": np.array([0, 1])}])
    found = types(tmp_path / "half.onnx")
    expected = {"embedded": FLOAT16, "weights": FLOAT, "mixed": FLOAT16, "logits": FLOAT}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("evaluate", [run, run_typed])
def test_row_without_tokens_has_finite_logits(
    evaluate: Callable[[Path, Inputs], Logits], graph: Callable[[str], Graph], tmp_path: Path
) -> None:
    """A row of padding alone has finite logits, although the mask's finfo.min would be -inf in fp16."""
    mpnet = graph("mpnet")
    report = convert_to_fp16(mpnet.single, tmp_path / "half.onnx", mpnet.inputs[:1])
    inputs = {**mpnet.inputs[-1], "attention_mask": np.zeros_like(mpnet.inputs[-1]["attention_mask"])}
    assert worst(Graph(mpnet.single, tmp_path / "half.onnx", report, [inputs]), evaluate) < TOLERANCE
    assert not report.too_large


@pytest.mark.parametrize(
    ("family", "operators"), [("mpnet", {"Log"}), ("deberta-v2", {"Log", "Ceil"}), ("modernbert", {"Cos", "Sin"})]
)
def test_positions_are_computed_in_fp32(family: str, operators: set[str], graph: Callable[[str], Graph]) -> None:
    """Positions are computed in fp32, because rounded distances would fall into other buckets."""
    half = graph(family).half
    kinds = types(half)
    found = {node.op_type: kinds[node.output[0]] for node in onnx.load(half).graph.node if node.op_type in operators}
    assert found == dict.fromkeys(operators, FLOAT)


def test_size(graph: Callable[[str], Graph]) -> None:
    """The fp16 file is half the size; 3 % of so small a file is not weights."""
    built = graph("bert")
    assert 0.5 < built.half.stat().st_size / built.single.stat().st_size < 0.53


def test_overflowing_layer_is_kept_in_fp32(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """The nodes of a tensor that reaches 122,000 stay in fp32, and the logits agree."""
    bert = graph("bert")
    product = scale_first_layer(bert.single, tmp_path / "single.onnx", 3e5)
    report = convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", bert.inputs)
    assert product in report.fp32_nodes
    assert len(report.fp32_nodes) == 6
    assert all(magnitude > LARGEST for magnitude in report.too_large.values())
    built = Graph(tmp_path / "single.onnx", tmp_path / "half.onnx", report, bert.inputs)
    assert worst(built, run_typed) < TOLERANCE
    assert worst(built, run) < TOLERANCE


def test_overflow_is_real(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """Without the limit, the same layer overflows in fp16."""
    bert = graph("bert")
    scale_first_layer(bert.single, tmp_path / "single.onnx", 3e5)
    report = convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", bert.inputs, limit=np.inf)
    assert worst(Graph(tmp_path / "single.onnx", tmp_path / "half.onnx", report, bert.inputs), run_typed) == np.inf


def test_limit_leaves_room_for_other_texts(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """A tensor within fp16's range but beyond a quarter of it stays in fp32."""
    bert = graph("bert")
    scale_first_layer(bert.single, tmp_path / "single.onnx", 5e4)
    report = convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", bert.inputs)
    assert report.too_large
    assert all(LIMIT < magnitude < LARGEST for magnitude in report.too_large.values())


def test_weight_beyond_fp16_stays_fp32(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """A weight beyond 65504 stays fp32, whatever the limit for activations."""
    bert = graph("bert")
    product = scale_first_layer(bert.single, tmp_path / "single.onnx", 1e7)
    convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", bert.inputs, limit=np.inf)
    kinds = types(tmp_path / "half.onnx")
    (output,) = next(node.output for node in onnx.load(tmp_path / "half.onnx").graph.node if node.name == product)
    assert kinds[output] == FLOAT


@pytest.mark.parametrize(
    ("numbers", "fits"),
    [
        ([0.0], True),
        ([65504.0, -1e-9], True),
        ([65520.0], False),
        ([np.finfo(np.float32).min], False),
        ([-np.inf, 1.0], False),
        ([np.nan, 1.0], False),
        ([1e-12], False),
        ([], True),
    ],
)
def test_what_fp16_can_hold(numbers: list[float], fits: bool) -> None:
    """Small weights beside larger ones may become zero; a single small number may not."""
    assert fits_fp16(np.array(numbers, np.float32)) == fits


def test_largest_activations_are_magnitudes_over_all_batches() -> None:
    """The largest magnitude counts negative values and all batches."""
    model = onnx_ir.from_proto(
        onnx.parser.parse_model(
            """<ir_version: 10, opset_import: ["" : 20]>
            main (int64[batch, sequence] input_ids) => (float[batch, sequence] logits) {
                float_ids = Cast <to = 1> (input_ids)
                logits = Neg (float_ids)
            }"""
        )
    )
    rows = [
        {"input_ids": np.array([ids], np.int64), "not_read": np.zeros(1, np.int64)} for ids in ([1, 2], [7, 3, 5], [4])
    ]
    assert largest_activations(model, ["logits", "float_ids"], rows) == {"logits": 7, "float_ids": 7}
    assert [value.name for value in model.graph.outputs] == ["logits"]


def test_conversion_needs_inputs(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """A conversion without inputs is an error, because overflow would go unnoticed."""
    with pytest.raises(ExportError, match="pass at least one batch"):
        convert_to_fp16(graph("bert").single, tmp_path / "half.onnx", [])
    assert not list(tmp_path.iterdir())


def test_fp16_graph_is_refused(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """An fp16 graph cannot be converted again."""
    with pytest.raises(ExportError, match="expected a plain fp32 graph"):
        convert_to_fp16(graph("bert").half, tmp_path / "half.onnx", graph("bert").inputs)


def test_graph_without_types_is_refused(graph: Callable[[str], Graph], tmp_path: Path) -> None:
    """A graph without tensor types is rejected."""
    model = onnx.load(graph("bert").single)
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "single.onnx")
    with pytest.raises(ExportError, match="expected a plain fp32 graph"):
        convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", graph("bert").inputs)


def test_graph_with_branches_is_refused(tmp_path: Path) -> None:
    """A graph with branches is rejected, because a branch reads tensors from outside."""
    (tmp_path / "single.onnx").write_bytes(
        onnx.parser.parse_model(
            """<ir_version: 10, opset_import: ["" : 20]>
            main (bool[1] flag, float[n] x) => (float[n] logits) {
                logits = If (flag) <
                    then_branch = then () => (float[n] doubled) { doubled = Add (x, x) },
                    else_branch = otherwise () => (float[n] same) { same = Identity (x) }
                >
            }"""
        ).SerializeToString()
    )
    with pytest.raises(ExportError, match="expected a plain fp32 graph"):
        convert_to_fp16(tmp_path / "single.onnx", tmp_path / "half.onnx", [])


def test_minilm(tmp_path: Path) -> None:
    """MiniLM with a new head has one conversion, half the size, and the logits of fp32."""
    built = convert(write_minilm(tmp_path), fused=True)
    assert built.report == Fp16Report(fp16_nodes=118, casts=1, too_large={}, fp32_nodes=())
    assert 0.5 < built.half.stat().st_size / built.single.stat().st_size < 0.505
    assert worst(built, run) < TOLERANCE
