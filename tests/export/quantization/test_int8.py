"""The int8 graph: its operators, its error against fp32, and its independence of the batch."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.__main__ import main
from export.graph.layers import Floats, linears
from export.graph.variant_files import FILES, open_variant
from export.quantization.activation_stats import ActivationStats, collect_stats
from export.quantization.gptq import GptqRounder
from export.quantization.int8 import Scheme, quantize
from export.sources.golden_texts import GOLDEN
from runtime import Classifier, load
from runtime.engine.session import Session

from ...models import MAX_LENGTH, write_minilm
from ..families import Exported, rows
from .test_activation_stats import one_layer

pytestmark = pytest.mark.slow

LABELS = 3


def calibration(exported: Exported) -> dict[str, ActivationStats]:
    """Collects statistics of the family's graph on 16 random texts."""
    texts = (rows(exported, (length,)) for length in range(5, MAX_LENGTH, 3))
    return collect_stats(ir.load(exported.artifact / FILES["fp32"]), texts, threads=1)


def write_int8(exported: Exported, folder: Path, scheme: Scheme, *, dynamic: bool = False) -> Path:
    """Quantizes a family's graph."""
    model = ir.load(exported.artifact / FILES["fp32"])
    quantize(model, None if dynamic else calibration(exported), scheme)
    path = folder / FILES["int8"]
    path.parent.mkdir(parents=True, exist_ok=True)
    ir.save(model, path)
    return path


@pytest.fixture(scope="session")
def int8(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Opens a family in static int8."""
    folder = tmp_path_factory.mktemp("int8")
    write_int8(exported, folder, Scheme())
    return open_variant(folder, "int8", labels=LABELS)


@pytest.fixture
def bert(export_family: Callable[[str], Exported]) -> Exported:
    """Returns BERT, for facts that one family shows as well as ten."""
    return export_family("bert")


def relative_error(session: Session, exported: Exported) -> float:
    """Returns the mean logit error of a variant as a share of the spread of the fp32 logits."""
    texts = [rows(exported, (length,)) for length in range(4, MAX_LENGTH, 4)]
    reference = np.concatenate([exported.session().run(text) for text in texts])
    found = np.concatenate([session.run(text) for text in texts])
    return float(np.abs(found - reference).mean() / reference.std())


def test_near_fp32(int8: Session, exported: Exported) -> None:
    """The logits stay near fp32 although random weights ten times the usual are hard to round."""
    assert relative_error(int8, exported) < 0.2


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, MAX_LENGTH - 8), min_size=1, max_size=9), padding=st.integers(0, 8))
def test_logits_do_not_depend_on_the_batch(int8: Session, exported: Exported, lengths: list[int], padding: int) -> None:
    """A text alone, padded and in any batch has bit-identical logits."""
    batch = rows(exported, tuple(lengths))
    pad_token_id = exported.model.config.pad_token_id
    wider = {
        name: np.pad(array, ((0, 0), (0, padding)), constant_values=pad_token_id if name == "input_ids" else 0)
        for name, array in batch.items()
    }
    together = int8.run(wider)
    for index, length in enumerate(lengths):
        alone = int8.run({name: array[index : index + 1, :length] for name, array in batch.items()})
        np.testing.assert_array_equal(together[index], alone[0])


def test_every_layer_is_integer(exported: Exported, tmp_path: Path) -> None:
    """Every linear layer of every family becomes int8; products of activations stay fp32."""
    before = ir.load(exported.artifact / FILES["fp32"])
    after = ir.load(write_int8(exported, tmp_path, Scheme()))
    assert linears(after.graph) == []
    operators = Counter(node.op_type for node in after.graph)
    assert operators["MatMulIntegerToFloat"] + 3 * operators["QAttention"] == len(linears(before.graph))


def test_operators(bert: Exported, tmp_path: Path) -> None:
    """The int8 graph has merged attention, one quantizer per input, and plain Add and Gelu, measured as fastest."""
    operators = Counter(node.op_type for node in ir.load(write_int8(bert, tmp_path, Scheme(smooth=False))).graph)
    assert operators == {
        "QAttention": 1,
        "MultiHeadAttention": 1,  # of the last layer, whose query is one token
        "MatMulIntegerToFloat": 11,  # in the first layer 3, in the last 6, the pooler, the classifier
        "QuantizeLinear": 11,  # in the first layer 4, in the last 5, the pooler, the classifier
        "Add": 6,
        "LayerNormalization": 5,
        "Gelu": 2,
        "Gather": 6,  # word integers and scales, positions, token types, [CLS] in front of the last layer and behind it
        "Mul": 1,  # the word embedding's scale
        "Cast": 3,
        "Shape": 1,
        "Slice": 1,
        "Tanh": 1,
    }


def test_fp32_operators(bert: Exported) -> None:
    """The fp32 graph has no redundant nodes around the fused attention."""
    assert Counter(node.op_type for node in ir.load(bert.artifact / FILES["fp32"]).graph) == {
        "MultiHeadAttention": 2,
        "MatMul": 12,
        "Gemm": 2,
        "Add": 18,
        "LayerNormalization": 5,
        "Gelu": 2,
        "Gather": 5,
        "Cast": 2,
        "Shape": 1,
        "Slice": 1,
        "Tanh": 1,
    }


def test_names_do_not_matter(bert: Exported, tmp_path: Path) -> None:
    """A graph with other names of nodes, values and weights gives the same int8 graph."""
    model = ir.load(bert.artifact / FILES["fp32"])
    keep = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    for index, node in enumerate(model.graph):
        node.name = f"n{index}"
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name not in keep and not str(value.name).startswith("v"):
                value.name = f"v{index}_{value.name[::-1]}"
    texts = (rows(bert, (length,)) for length in range(5, MAX_LENGTH, 3))
    quantize(model, collect_stats(model, texts, threads=1), Scheme())
    expected = ir.load(write_int8(bert, tmp_path, Scheme()))
    assert [node.op_type for node in model.graph] == [node.op_type for node in expected.graph]


def test_layer_left_in_fp32(bert: Exported, tmp_path: Path) -> None:
    """A layer can stay fp32, and an attention whose query does is not merged."""
    name = "bert.encoder.layer.0.attention.self.query"
    model = ir.load(write_int8(bert, tmp_path, Scheme(excluded=frozenset({name}))))
    assert [layer.name for layer in linears(model.graph)] == [name]
    assert Counter(node.op_type for node in model.graph)["QAttention"] == 0  # that of the last layer never is
    assert open_variant(tmp_path, "int8", labels=LABELS).run(rows(bert, (9, 4))).shape == (2, LABELS)


def test_dynamic_depends_on_the_batch(bert: Exported, tmp_path: Path) -> None:
    """With dynamic quantization the logits of a text depend on the rest of its batch."""
    path = write_int8(bert, tmp_path, Scheme(), dynamic=True)
    assert Counter(node.op_type for node in ir.load(path).graph)["DynamicQuantizeLinear"] == 11
    session = open_variant(tmp_path, "int8", labels=LABELS)
    batch = rows(bert, (40, 7))
    alone = session.run({name: array[1:, :7] for name, array in batch.items()})
    assert (session.run(batch)[1] != alone[0]).any()
    assert relative_error(session, bert) < 0.3


def with_outlier(bert: Exported, folder: Path, factor: float) -> Exported:
    """Makes one channel between the feed-forward layers far larger than the rest, and its weights smaller."""
    model = ir.load(bert.artifact / FILES["fp32"])
    by_name = {layer.name: layer for layer in linears(model.graph)}
    for index in range(2):
        first = by_name[f"bert.encoder.layer.{index}.intermediate.dense"]
        second = by_name[f"bert.encoder.layer.{index}.output.dense"]
        bias = first.nodes[1].inputs[1] if first.nodes[1].inputs[1].is_initializer() else first.nodes[1].inputs[0]
        assert bias is not None
        shifted = np.array(first.bias)
        shifted[3] = factor
        bias.const_value = ir.tensor(shifted)
        scaled = np.array(second.weights)
        scaled[3] /= factor
        second.weight.const_value = ir.tensor(scaled)
    (folder / "onnx").mkdir(parents=True)
    ir.save(model, folder / FILES["fp32"])
    return Exported(bert.family, bert.checkpoint, folder, "", bert.model)


def test_smoothing_handles_outliers(bert: Exported, tmp_path: Path) -> None:
    """With a channel fifty times the others, smoothing and splitting at least halve the error."""
    wild = with_outlier(bert, tmp_path / "wild", 200.0)
    errors = {}
    for smooth in (False, True):
        write_int8(wild, tmp_path / str(smooth), Scheme(smooth=smooth))
        errors[smooth] = relative_error(open_variant(tmp_path / str(smooth), "int8", labels=LABELS), wild)
    assert errors[True] < errors[False] / 2


@pytest.mark.parametrize("bias", [None, np.array([7], np.float32)])
def test_bias_compensates_rounded_weights(bias: Floats | None) -> None:
    """The bias compensates weights that are all rounded to zero, on inputs that hardly vary."""
    width = 64
    weights = np.full((width, 1), 1 / 3, np.float32)
    weights[0] = 127
    x = np.random.default_rng(2).normal(4, 1e-3, (100, width)).astype(np.float32)
    model = one_layer(weights, bias)
    stats = collect_stats(model, [{"x": row[None]} for row in x], threads=1)
    quantize(model, stats, Scheme())
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    lost = x[:, 1:].sum(axis=1).mean() / 3
    expected = x @ weights + (0 if bias is None else bias)
    assert abs((found - expected).mean()) < lost / 20


def test_shared_weights_stay_shared(export_family: Callable[[str], Exported], tmp_path: Path) -> None:
    """ALBERT's layers share one set of weights in int8, too."""
    model = ir.load(write_int8(export_family("albert"), tmp_path, Scheme()))
    square = [
        w for w in model.graph.initializers.values() if w.dtype == ir.DataType.INT8 and tuple(w.shape) == (32, 96)
    ]
    assert len(square) == 1


def test_cache_of_other_schemes(export_family: Callable[[str], Exported]) -> None:
    """Cached weights of another scheme do not change the result if one use of shared weights stays fp32."""
    albert = export_family("albert")
    stats = calibration(albert)
    cached = GptqRounder(stats)

    def constants(scheme: Scheme, rounder: GptqRounder) -> list[bytes]:
        model = ir.load(albert.artifact / FILES["fp32"])
        quantize(model, stats, scheme, rounder)
        return [value.const_value.numpy().tobytes() for value in model.graph.initializers.values()]

    constants(Scheme(smooth=False), cached)
    layers = [layer.name for layer in linears(ir.load(albert.artifact / FILES["fp32"]).graph)]
    second = next(name for name in layers if name.endswith("ffn (2)"))
    without = Scheme(smooth=False, excluded=frozenset({second}))
    assert constants(without, cached) == constants(without, GptqRounder(stats))


def sizes(graph: ir.Graph) -> Floats:
    """Returns the size of every constant in bytes."""
    return np.array([value.const_value.nbytes for value in graph.initializers.values()])


def test_size(exported: Exported, tmp_path: Path) -> None:
    """The int8 constants are less than a third of fp32's, with a scale for every 16 or 32 values of an embedding."""
    before = sizes(ir.load(exported.artifact / FILES["fp32"]).graph).sum()
    after = sizes(ir.load(write_int8(exported, tmp_path, Scheme())).graph).sum()
    assert after < before / 3


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=20).map(" ".join), min_size=2, max_size=6)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM-L6 with a random head, exported with int8 calibrated on the golden texts."""
    folder = tmp_path_factory.mktemp("minilm")
    texts = [f"{text} {other}" for text in GOLDEN for other in GOLDEN]
    (folder / "texts.txt").write_text("\n".join(texts), "utf-8")
    arguments = ["--calibration", str(folder / "texts.txt"), "--min-agreement", "0"]
    assert main([str(write_minilm(folder / "checkpoint")), str(folder / "artifact"), *arguments]) == 0
    return folder / "artifact"


def test_minilm_size(minilm: Path) -> None:
    """MiniLM's int8 file is at most 28 % of its fp32 file."""
    assert (minilm / FILES["int8"]).stat().st_size <= 0.28 * (minilm / FILES["fp32"]).stat().st_size


@settings(max_examples=25, deadline=None)
@given(texts=TEXTS)
def test_minilm_logits_do_not_depend_on_the_batch(minilm: Path, texts: list[str]) -> None:
    """In the runtime, any text alone and in a batch has bit-identical int8 logits."""
    classifier = _loaded(minilm)
    together = classifier.logits(texts)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(classifier.logits([text])[0], row)


@functools.cache
def _loaded(artifact: Path) -> Classifier:
    return load(artifact, provider="cpu", variant="int8")
