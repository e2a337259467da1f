"""Import of an ONNX export made by torch's old exporter, which Optimum uses."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import main
from export.graph import onnx_import
from export.graph.layers import linears
from export.graph.parity import TOLERANCE, batches, torch_logits
from export.graph.simplify import simplify
from export.graph.variant_files import FILES, open_variant
from export.quantization.int8 import Scheme, quantize
from export.sources.checkpoint import Checkpoint, open_checkpoint
from runtime import load
from runtime.artifact.manifest import Manifest

from ...models import FP32, families, write_checkpoint, write_texts
from ...shared import SharedFolders

pytestmark = pytest.mark.slow

LAYERS = 14  # of two encoder layers with six each, and a head of two
FILES_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def foreign(shared: SharedFolders) -> Path:
    """A BERT's folder as Optimum lays it out; never changed."""

    def fill(folder: Path) -> None:
        export_elsewhere(new_checkpoint(folder, "bert", biases=0.2), folder / "export")

    return shared.make("foreign", fill) / "export"


@pytest.fixture
def copy(foreign: Path, tmp_path: Path) -> Path:
    """A copy of `foreign` to damage."""
    return Path(shutil.copytree(foreign, tmp_path / "export"))


def new_checkpoint(folder: Path, family: str, *, biases: float) -> Checkpoint:
    """Writes and opens a checkpoint."""
    return open_checkpoint(str(write_checkpoint(folder / "checkpoint", families()[family], biases=biases)))


def export_elsewhere(checkpoint: Checkpoint, folder: Path, **options: Any) -> Path:
    """Exports with torch's old exporter, traced on one short text with dynamic sizes."""
    folder.mkdir()
    for name in FILES_BESIDE:
        shutil.copyfile(checkpoint.folder / name, folder / name)
    names = list(checkpoint.input_names)
    ids = torch.ones(1, 7, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            checkpoint.model,
            (),
            folder / "model.onnx",
            kwargs=dict.fromkeys(names, ids),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}},
            dynamo=False,
            **({"opset_version": 18} | options),
        )
    return folder


def adopted(export: Path, *options: str) -> Path:
    """Imports an export; returns the artifact."""
    artifact = export.parent / "artifact"
    assert main([str(export), str(artifact), "--from-onnx", *(options or FP32)]) == 0
    return artifact


def manifest(artifact: Path) -> Manifest:
    """Reads an artifact's manifest."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


def change(path: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    """Changes an ONNX file."""
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


def refusal(export: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Fails to import; returns the error, and checks that nothing was written."""
    capsys.readouterr()
    artifact = export.parent / "artifact"
    assert main([str(export), str(artifact), "--from-onnx", *(options or FP32)]) == 1
    assert not artifact.exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_computes_what_pytorch_computes(family: str, tmp_path: Path) -> None:
    """The imported graph gives PyTorch's logits in all shapes, although it was traced on one."""
    checkpoint = new_checkpoint(tmp_path, family, biases=0.2)
    artifact = adopted(export_elsewhere(checkpoint, tmp_path / "export"))
    session = open_variant(artifact, "fp32", labels=3)
    for inputs in batches(checkpoint):
        np.testing.assert_allclose(session.run(inputs), torch_logits(checkpoint, inputs), atol=TOLERANCE)
    assert manifest(artifact).variants[0].operators == "standard"


@pytest.mark.parametrize(
    ("biases", "options"),
    [
        pytest.param(0.2, {}, id="as it is"),
        pytest.param(0.0, {}, id="equal weights shared by Identity"),
        pytest.param(0.2, {"do_constant_folding": False}, id="weights behind a Transpose"),
        pytest.param(0.2, {"keep_initializers_as_inputs": True}, id="weights that are inputs, too"),
        pytest.param(0.2, {"opset_version": 13}, id="an old opset"),
    ],
)
def test_every_linear_layer_is_found(tmp_path: Path, biases: float, options: dict[str, Any]) -> None:
    """Every linear layer is found with its bias, however the exporter writes it, and becomes int8."""
    export = export_elsewhere(new_checkpoint(tmp_path, "bert", biases=biases), tmp_path / "export", **options)
    assert_all_layers(ir.load(adopted(export) / FILES["fp32"]))


def test_weights_in_constant_nodes_are_found(copy: Path) -> None:
    """Weights in Constant nodes, which some exporters write instead of initializers, are found."""

    def move(model: onnx.ModelProto) -> None:
        constants = [
            helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer
        ]
        nodes = [*constants, *model.graph.node]
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.node.extend(nodes)

    change(copy / "model.onnx", move)
    assert_all_layers(ir.load(adopted(copy) / FILES["fp32"]))


def assert_all_layers(model: ir.Model) -> None:
    """Checks the number of linear layers and biases, and that all become int8."""
    layers = linears(model.graph)
    assert (len(layers), sum(layer.bias is not None for layer in layers)) == (LAYERS, LAYERS)
    quantize(model, None, Scheme())
    operators = [node.op_type for node in model.graph]
    assert operators.count("MatMulIntegerToFloat") == LAYERS
    assert "Gemm" not in operators


def test_all_variants(copy: Path) -> None:
    """An imported export gets fp16 and int8 variants as a checkpoint does, and int8 agrees with fp32."""
    texts = write_texts(copy.parent / "texts.txt")
    artifact = adopted(copy, "--variants", "fp32", "fp16", "int8", "--calibration", str(texts))
    variants = {variant.name: variant for variant in manifest(artifact).variants}
    assert {name: variant.operators for name, variant in variants.items()} == {
        "fp32": "standard",
        "fp16": "standard",
        "int8": "onnxruntime",
    }
    assert variants["int8"].quality["agreement"] >= 0.99
    assert variants["fp16"].quality["max_logit_difference"] <= 0.1
    assert load(artifact, provider="cpu").predict("late").label in families()["bert"].id2label.values()


def test_int8_needs_texts(foreign: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """int8 of an ONNX export needs `--calibration`, because there is no record of its training data."""
    assert main([str(foreign), str(tmp_path / "artifact"), "--from-onnx"]) == 1
    assert "pass --calibration FILE" in capsys.readouterr().err


def test_hub_layout(copy: Path) -> None:
    """The graph may be in onnx/, which takes precedence over the folder itself."""
    (copy / "onnx").mkdir()
    (copy / "model.onnx").rename(copy / "onnx/model.onnx")
    (copy / "model.onnx").write_text("another")
    adopted(copy)


def test_inputs_in_another_order(copy: Path) -> None:
    """Inputs are matched by name, not by order."""
    expected = manifest(adopted(copy)).golden

    def turn(model: onnx.ModelProto) -> None:
        inputs = list(reversed(model.graph.input))
        del model.graph.input[:]
        model.graph.input.extend(inputs)

    change(copy / "model.onnx", turn)
    assert manifest(adopted(copy, "--overwrite", *FP32)).golden == expected


def test_own_artifact_can_be_imported(artifact: Path, tmp_path: Path) -> None:
    """A Litmus artifact can be imported, for example to quantize it without the checkpoint."""
    again = tmp_path / "again"
    assert main([str(artifact), str(again), "--from-onnx", *FP32]) == 0
    for text in ("late", "The train was late again."):
        expected = load(artifact, provider="cpu").predict(text).scores
        assert load(again, provider="cpu").predict(text).scores == pytest.approx(expected, abs=1e-5)


def test_portable_needs_standard_operators(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fused graph is rejected with `--portable`."""
    export = Path(shutil.copytree(artifact, tmp_path / "export"))
    assert "uses onnxruntime's own operators; export it without" in refusal(export, capsys, "--portable", *FP32)


@pytest.mark.parametrize("name", ["model.onnx", *FILES_BESIDE])
def test_incomplete_export(copy: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The error names the missing file and what an export folder must have."""
    (copy / name).unlink()
    assert f"has no {name}; expected" in refusal(copy, capsys)


@pytest.mark.parametrize(("name", "kind"), [("fp16", "FLOAT16"), ("int8", "INT8")])
def test_converted_graph_is_refused(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    """A quantized or fp16 graph is rejected."""
    texts = write_texts(tmp_path / "texts.txt")
    made = tmp_path / "made"
    assert main([str(foreign), str(made), "--from-onnx", "--variants", name, "--calibration", str(texts)]) == 0
    (made / f"onnx/model_{name}.onnx").rename(made / "onnx/model.onnx")
    assert f"has weights of type {kind}, expected fp32" in refusal(made, capsys)


def test_weights_in_other_files_are_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A graph with external data is rejected, because an artifact's model is one file."""
    model = onnx.load(copy / "model.onnx")
    onnx.save(model, copy / "model.onnx", save_as_external_data=True, location="model.onnx_data")
    assert "model.onnx keeps weights in other files" in refusal(copy, capsys)


def rename_input(model: onnx.ModelProto) -> None:
    """Renames the token ids."""
    for node in model.graph.node:
        node.input[:] = ["tokens" if name == "input_ids" else name for name in node.input]
    next(value for value in model.graph.input if value.name == "input_ids").name = "tokens"


def narrow_input(model: onnx.ModelProto) -> None:
    """Makes the token ids int32."""
    next(v for v in model.graph.input if v.name == "input_ids").type.tensor_type.elem_type = TensorProto.INT32


def fix_length(model: onnx.ModelProto) -> None:
    """Fixes the sequence length at seven tokens."""
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 7


def rename_output(model: onnx.ModelProto) -> None:
    """Renames the logits."""
    model.graph.node[-1].output[0] = model.graph.output[0].name = "scores"


def add_label(model: onnx.ModelProto) -> None:
    """Adds a fourth label to the head."""
    for tensor in model.graph.initializer:
        if tensor.name.startswith("classifier"):
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.concatenate([array, array[:1]]), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (rename_input, "input 'tokens' is tensor(int64)"),
        (narrow_input, "input 'input_ids' is tensor(int32)"),
        (fix_length, "any number of both"),
        (rename_output, "expected an output named 'logits', found ['scores']"),
        (add_label, "expected tensor(float) of (batch, 3), one column per label"),
    ],
)
def test_other_signature_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[onnx.ModelProto], None], expected: str
) -> None:
    """A graph with unknown inputs or outputs is rejected."""
    change(copy / "model.onnx", edit)
    assert expected in refusal(copy, capsys)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\x3a\x02\x0a\x00", id="a node that is none"),
        pytest.param(b"\x3a\x09\x2a\x07\x08\x01\x10\x63\x42\x01w", id="a weight of no known type"),
    ],
)
def test_no_model(copy: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    """A file that is no ONNX model gives one line of error."""
    (copy / "model.onnx").write_bytes(content)
    assert "model.onnx" in refusal(copy, capsys)


def test_cut_model(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truncated file gives one line of error."""
    content = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(content[: len(content) // 2])
    assert "model.onnx is not an ONNX model" in refusal(copy, capsys)


def test_damaged_weights(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN in the original graph is reported as damaged weights, not as a failure of simplification."""

    def damage(model: onnx.ModelProto) -> None:
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "classifier.bias")
        bias.CopyFrom(numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))

    change(copy / "model.onnx", damage)
    assert "gives NaN or infinite logits" in refusal(copy, capsys)


def test_graph_whose_shapes_cannot_be_inferred(copy: Path, tmp_path: Path) -> None:
    """If shape inference fails, there is one line of error without onnx_ir's stack trace."""

    def claim_old_operators(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 9

    change(copy / "model.onnx", claim_old_operators)
    command = [sys.executable, "-m", "export", str(copy), str(tmp_path / "artifact"), "--from-onnx", *FP32]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error"]


@pytest.mark.parametrize(
    ("weights", "row", "change_of", "found"),
    [("classifier.bias", 0, 2e-4, "2.0e-04"), ("bert.embeddings.position_embeddings.weight", 40, np.nan, "nan")],
    ids=["other logits", "NaN in long texts"],
)
def test_simplifying_must_change_nothing(
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    weights: str,
    row: int,
    change_of: float,
    found: str,
) -> None:
    """A simplified graph that gives other logits than the original is not published."""

    def damage(model: ir.Model) -> None:
        value = model.graph.initializers[weights]
        assert value.const_value is not None
        array = value.const_value.numpy().copy()
        array[row] += np.float32(change_of)
        value.const_value = ir.tensor(array)

    monkeypatch.setattr(onnx_import, "simplify", damage)
    assert f"gives other logits after simplifying ({found})" in refusal(copy, capsys)


def test_reshape_between_unnamed_sizes_stays() -> None:
    """A reshape between two shapes of unnamed dimensions stays, because they may differ."""
    model = ir.from_proto(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 18]> g (float[?, ?] x) => (float[?, ?] y) <float[?, ?] column> '
            "{ shape = Constant<value = int64[2] {-1, 1}>() column = Reshape(x, shape) y = Relu(column) }"
        )
    )
    simplify(model)
    assert [node.op_type for node in model.graph] == ["Reshape", "Relu"]


def test_graph_without_linear_layers(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A graph without quantizable layers is rejected for int8."""

    def compute_weights(model: onnx.ModelProto) -> None:
        weights = {tensor.name for tensor in model.graph.initializer}
        nodes = []
        for node in model.graph.node:
            if node.op_type in {"MatMul", "Gemm"} and node.input[1] in weights:
                nodes.append(helper.make_node("Add", [node.input[1], "zero"], [f"computed {node.input[1]}"]))
                node.input[1] = f"computed {node.input[1]}"
            nodes.append(node)
        model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    change(copy / "model.onnx", compute_weights)
    options = ("--variants", "fp32", "int8", "--calibration", str(write_texts(tmp_path / "texts.txt")))
    assert "no linear layer with constant weights" in refusal(copy, capsys, *options)
