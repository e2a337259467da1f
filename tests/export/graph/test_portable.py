"""`--portable`: graphs of standard ONNX operators, for other runtimes."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.__main__ import main
from export.graph.parity import TOLERANCE, Inputs, batches, pad, torch_logits
from export.graph.variant_files import FILES, open_variant
from export.quantization.activation_stats import collect_stats
from export.quantization.int8 import Operators, Scheme, quantize
from export.sources.checkpoint import Checkpoint, open_checkpoint
from runtime import load
from runtime.artifact.manifest import Manifest, Precision

from ...models import families, write_checkpoint, write_texts
from ...shared import SharedFolders

pytestmark = pytest.mark.slow

BOTH: tuple[Precision, ...] = ("fp32", "int8")


@pytest.fixture(scope="module")
def folder(shared: SharedFolders) -> Path:
    """Has a random BERT's checkpoint, some texts, and the portable artifact of both."""

    def fill(folder: Path) -> None:
        write_checkpoint(folder / "checkpoint", families()["bert"], biases=0.2)
        write_texts(folder / "texts.txt")
        assert main([*arguments(folder, "artifact"), "--portable"]) == 0

    return shared.make("portable", fill)


@pytest.fixture(scope="module")
def opened(folder: Path) -> Checkpoint:
    """Opens the checkpoint."""
    return open_checkpoint(str(folder / "checkpoint"))


@pytest.fixture(scope="module")
def inputs(folder: Path, opened: Checkpoint) -> list[Inputs]:
    """Returns the model inputs of each text."""
    lines = (folder / "texts.txt").read_text("utf-8").splitlines()
    return [pad(opened, [opened.tokenizer.encode(line).ids]) for line in lines]


def arguments(folder: Path, artifact: str) -> list[str]:
    """Returns the command line without its options."""
    texts = str(folder / "texts.txt")
    return [str(folder / "checkpoint"), str(folder / artifact), "--calibration", texts, "--min-agreement", "0"]


def manifest(artifact: Path) -> Manifest:
    """Reads an artifact's manifest."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


@pytest.mark.parametrize("precision", BOTH)
def test_operators_are_onnxs_own(folder: Path, precision: Precision) -> None:
    """A portable graph neither uses nor declares another domain than ONNX's."""
    model = onnx.load(folder / "artifact" / FILES[precision])
    assert {node.domain for node in model.graph.node} == {""}
    assert [opset.domain for opset in model.opset_import] == [""]


def test_int8_is_int8(folder: Path) -> None:
    """All 14 linear layers of a portable int8 graph are int8."""
    operators = [node.op_type for node in onnx.load(folder / "artifact" / FILES["int8"]).graph.node]
    assert operators.count("MatMulInteger") == 14
    assert operators.count("MatMul") == 4  # query by key, and weights by value, in two layers
    assert "Gemm" not in operators


def test_manifest_says_so(folder: Path, tmp_path: Path) -> None:
    """The manifest records whether a variant uses standard operators only."""
    found = manifest(folder / "artifact").variants
    assert {variant.name: variant.operators for variant in found} == dict.fromkeys(BOTH, "standard")
    assert main(arguments(folder, str(tmp_path / "usual"))) == 0
    usual = manifest(tmp_path / "usual").variants
    assert {variant.name: variant.operators for variant in usual} == dict.fromkeys(BOTH, "onnxruntime")


def test_fp32_computes_what_pytorch_computes(folder: Path, opened: Checkpoint) -> None:
    """The portable fp32 graph gives PyTorch's logits, as the fused one does."""
    session = open_variant(folder / "artifact", "fp32", labels=3)
    for batch in batches(opened):
        np.testing.assert_allclose(session.run(batch), torch_logits(opened, batch), atol=TOLERANCE)


def test_int8_decides_as_fp32(folder: Path, inputs: list[Inputs]) -> None:
    """Portable int8 and fp32 predict the same labels on texts like the calibration texts."""
    int8, fp32 = (open_variant(folder / "artifact", name, labels=3) for name in ("int8", "fp32"))
    same = [int8.run(batch).argmax() == fp32.run(batch).argmax() for batch in inputs]
    assert np.mean(same) >= 0.97


@pytest.mark.parametrize("method", ["static", "dynamic"])
def test_standard_int8_computes_what_onnxruntimes_does(
    folder: Path, inputs: list[Inputs], tmp_path: Path, method: str
) -> None:
    """Standard and fused int8 operators give the same logits, up to float rounding of 1e-4."""
    graph = folder / "artifact" / FILES["fp32"]
    observed = collect_stats(ir.load(graph), inputs[:40], threads=1) if method == "static" else None
    found = []
    operators: tuple[Operators, ...] = ("standard", "onnxruntime")
    for name in operators:
        model = ir.load(graph)
        quantize(model, observed, Scheme(operators=name))
        target = tmp_path / name / FILES["int8"]
        target.parent.mkdir(parents=True)
        ir.save(model, target)
        session = open_variant(tmp_path / name, "int8", labels=3)
        found.append(np.concatenate([session.run(batch) for batch in inputs]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_runtime_loads_it(folder: Path) -> None:
    """The runtime loads both portable variants."""
    for precision in BOTH:
        classifier = load(folder / "artifact", provider="cpu", variant=precision)
        assert classifier.predict("The train was late again.").label in families()["bert"].id2label.values()
