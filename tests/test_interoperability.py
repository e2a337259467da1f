"""Optimum and OpenVINO read artifacts, and the export imports Optimum's models.

Each tool runs in an environment of its own, which is created on first use; Optimum's has transformers 4.57.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from benchmarks.harness.catalog import CONTENDERS
from benchmarks.harness.environments import interpreter
from export.__main__ import main as export
from export.graph.layers import linears
from export.graph.parity import Inputs, batches, pad, torch_logits
from export.graph.variant_files import FILES, open_variant
from export.sources.checkpoint import Checkpoint, open_checkpoint
from runtime.artifact.manifest import Precision
from runtime.engine.int8_check import int8_saturates

from .models import families, write_checkpoint, write_texts

pytestmark = pytest.mark.registry

SCRIPTS = Path(__file__).parent / "peers"
TEXTS = ["late", "The train was late again, by 12.5 minutes.", "Das Café. 次の電車 🙂"]
Logits = list[npt.NDArray[np.float32]]


@pytest.fixture(scope="module", params=["bert", "roberta"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small random checkpoint with random biases."""
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    return open_checkpoint(str(write_checkpoint(folder, families()[request.param], biases=0.2)))


@pytest.fixture(scope="module")
def texts(checkpoint: Checkpoint) -> Path:
    """Texts for the calibration of int8."""
    return write_texts(checkpoint.folder.parent / "texts.txt")


@pytest.fixture(scope="module")
def inputs(checkpoint: Checkpoint, texts: Path) -> list[Inputs]:
    """The batches that the export's parity check uses, and twenty texts like those of the calibration."""
    rows = [checkpoint.tokenizer.encode(line).ids for line in texts.read_text("utf-8").splitlines()[-20:]]
    found = [*batches(checkpoint), *(pad(checkpoint, [row]) for row in rows)]
    return [{name: batch[name] for name in checkpoint.input_names} for batch in found]


def test_optimum_loads_an_artifact(checkpoint: Checkpoint, texts: Path, inputs: list[Inputs]) -> None:
    """Optimum loads tokenizer and models of an artifact and computes our logits.

    Its sessions apply all optimizations: SkipLayerNormalization, BiasGelu and FusedGemm in fp32, the first of them in
    RoBERTa's int8, none in BERT's. They have no exact kernels for CPUs whose int8 products saturate; there int8 needs
    our runtime.
    """
    artifact = export_both(checkpoint, texts)
    job = {"folder": str(artifact), "files": [FILES["fp32"], FILES["int8"]], "texts": TEXTS}
    found = run_peer("optimum-fp32", "run_optimum.py", job, inputs)
    assert found["ids"] == [checkpoint.tokenizer.encode(text).ids for text in TEXTS]
    fp32, int8 = found["logits"]
    assert differences(fp32, runtime_logits(artifact, "fp32", inputs)).max() <= 1e-4
    if not int8_saturates():
        assert_same_but_for_rounding(int8, artifact, inputs)


def test_import_of_optimums_export(checkpoint: Checkpoint, texts: Path, inputs: list[Inputs]) -> None:
    """An imported ONNX export of Optimum computes the logits of PyTorch, and all its linear layers become int8."""
    optimums = checkpoint.folder.parent / "optimum"
    job = {"folder": str(checkpoint.folder), "export_to": str(optimums), "texts": TEXTS}
    (logits,) = run_peer("optimum-fp32", "run_optimum.py", job, inputs)["logits"]
    artifact = export_both(checkpoint, texts, "--from-onnx", folder=optimums)
    found = runtime_logits(artifact, "fp32", inputs)
    assert differences(found, logits).max() <= 1e-4
    assert differences(found, [torch_logits(checkpoint, batch) for batch in inputs]).max() <= 1e-4
    assert len(linears(ir.load(artifact / FILES["fp32"]).graph)) == 14
    int8 = ir.load(artifact / FILES["int8"]).graph
    assert [node.op_type for node in int8].count("MatMulIntegerToFloat") == 14


def test_openvino_reads_a_portable_artifact(checkpoint: Checkpoint, texts: Path, inputs: list[Inputs]) -> None:
    """OpenVINO reads a portable artifact and computes our logits."""
    artifact = export_both(checkpoint, texts, "--portable")
    job = {"files": [str(artifact / FILES[name]) for name in ("fp32", "int8")]}
    fp32, int8 = run_peer("openvino-int8", "run_openvino.py", job, inputs)
    assert differences(fp32, runtime_logits(artifact, "fp32", inputs)).max() <= 1e-3
    assert_same_but_for_rounding(int8, artifact, inputs)


def export_both(checkpoint: Checkpoint, texts: Path, *options: str, folder: Path | None = None) -> Path:
    """Exports fp32 and int8, whatever int8 costs a random model."""
    artifact = checkpoint.folder.parent / "-".join(("artifact", *options))
    line = [str(folder or checkpoint.folder), str(artifact), *options, "--calibration", str(texts)]
    assert export([*line, "--min-agreement", "0"]) == 0
    return artifact


def run_peer(contender: str, script: str, job: dict[str, Any], inputs: list[Inputs]) -> Any:
    """Runs a script in a peer's environment."""
    job = job | {"batches": [{name: rows.tolist() for name, rows in batch.items()} for batch in inputs]}
    line = [interpreter(CONTENDERS[contender]), str(SCRIPTS / script)]
    done = subprocess.run(line, input=json.dumps(job), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def runtime_logits(artifact: Path, precision: Precision, inputs: list[Inputs]) -> Logits:
    """Returns the runtime's logits, batch by batch."""
    session = open_variant(artifact, precision, labels=3)
    return [session.run(batch) for batch in inputs]


def assert_same_but_for_rounding(int8: Logits, artifact: Path, inputs: list[Inputs]) -> None:
    """Compares int8 logits with the runtime's, text by text.

    Another engine sums in another order, so a number between two integers may be rounded the other way. This is one
    rounding error of int8 more or less: it must be rare and never exceed the difference between int8 and fp32.
    """
    expected = runtime_logits(artifact, "int8", inputs)
    found = differences(int8, expected)
    assert (found <= 1e-3).mean() >= 0.8
    assert found.max() <= differences(expected, runtime_logits(artifact, "fp32", inputs)).max()


def differences(one: Logits, other: Logits) -> npt.NDArray[np.float32]:
    """Returns the largest difference of a logit for each batch, (batches,)."""
    return np.array([np.abs(np.subtract(a, b)).max() for a, b in zip(one, other, strict=True)])
