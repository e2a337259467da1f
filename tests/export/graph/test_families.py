"""Ten families, each exported once: the path that each takes, and parity with PyTorch."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoTokenizer
from transformers.masking_utils import bidirectional_mask_function

from export.__main__ import main
from export.errors import FusionError
from export.graph import attention, fp32
from export.graph.fp32 import export_fp32
from export.graph.parity import TOLERANCE
from export.graph.torch_export import fused_nodes
from export.graph.variant_files import FILES
from export.sources.checkpoint import open_checkpoint
from runtime import load

from ...models import FP32, MAX_LENGTH, distilbert, families, write_checkpoint
from ..families import PATHS, Exported, rows

pytestmark = pytest.mark.slow

LENGTHS = {
    "one token": (1,),
    "one text": (17,),
    "one longest text": (MAX_LENGTH,),
    "several of one length": (9, 9, 9),
    "ragged": (30, 1, 12, 5),
    "longest beside one token": (1, MAX_LENGTH, 41),
}
TEXTS = (
    "late",
    "The train was late again, by 12.5 minutes.",
    "Das Café. 次の電車 🙂",
    "a [PAD] in a text",
    "so on " * 40,
)


def test_path(exported: Exported) -> None:
    """A family takes the path in the table, and graph, manifest and log agree on the number of fused nodes."""
    path, nodes, _ = PATHS[exported.family]
    variant = exported.manifest().variants[0]
    assert fused_nodes(exported.artifact / variant.file) == nodes == variant.quality["fused_attention_nodes"]
    said = [line for line in exported.log.splitlines() if "largest logit difference" in line]
    difference = variant.quality["max_logit_difference"]
    assert said == [
        f"  {path}: {nodes} of 2 attention layers fused; largest logit difference from PyTorch: {difference:.1e}"
    ]


def test_inputs(exported: Exported) -> None:
    """Batch and sequence are dynamic, and the graph has token types for a family that uses them."""
    graph = onnx.load(exported.artifact / "onnx/model.onnx").graph
    shapes = {node.name: [dim.dim_param for dim in node.type.tensor_type.shape.dim] for node in graph.input}
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * PATHS[exported.family][2]
    assert shapes == {name: ["batch", "sequence"] for name in names}


def test_no_control_flow(exported: Exported) -> None:
    """A graph has no control flow, so every shape runs the same operators."""
    graph = onnx.load(exported.artifact / "onnx/model.onnx").graph
    assert {"If", "Loop", "Scan"}.isdisjoint(node.op_type for node in graph.node)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_logits(exported: Exported, lengths: tuple[int, ...]) -> None:
    """The logits are PyTorch's, within 1e-4, for all lengths and paddings."""
    inputs = rows(exported, lengths)
    np.testing.assert_allclose(exported.session().run(inputs), exported.torch_logits(inputs), rtol=0, atol=TOLERANCE)


def test_padding_changes_nothing(exported: Exported) -> None:
    """The logits of a text do not depend on the length of its neighbours in the batch."""
    session, inputs = exported.session(), rows(exported, (1, MAX_LENGTH, 20))
    alone = [
        session.run({name: array[[row], :length] for name, array in inputs.items()})[0]
        for row, length in enumerate((1, MAX_LENGTH, 20))
    ]
    np.testing.assert_allclose(session.run(inputs), alone, rtol=0, atol=TOLERANCE)


def test_text(exported: Exported) -> None:
    """The runtime's scores of a text are those of the transformers tokenizer and PyTorch, within 1e-4."""
    tokenizer = AutoTokenizer.from_pretrained(exported.checkpoint)
    inputs = tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="np", return_token_type_ids=True)
    assert tokenizer.pad_token_id == exported.model.config.pad_token_id
    expected = torch.from_numpy(exported.torch_logits(dict(inputs))).softmax(dim=1)
    predictions = load(exported.artifact, provider="cpu", threads=1).predict_many(TEXTS)
    found = [list(prediction.scores.values()) for prediction in predictions]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=TOLERANCE)


def test_forgotten_window_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the fused graph differs from PyTorch, the export falls back to eager attention and logs both."""
    mask = attention.mask
    forgetful = {"mask_function": bidirectional_mask_function}
    monkeypatch.setattr(attention, "mask", lambda **given: mask(**given | forgetful))
    checkpoint = write_checkpoint(tmp_path / "checkpoint", families()["modernbert"])
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 0
    assert fused_nodes(tmp_path / "artifact" / FILES["fp32"]) == 0
    fused, eager = [line for line in capsys.readouterr().err.splitlines() if "largest logit difference" in line]
    assert fused.startswith("  fused: 2 of 2 attention layers fused")
    assert float(fused.rpartition(" ")[2]) > 100 * TOLERANCE
    assert eager.startswith("  eager: 0 of 2 attention layers fused")


def test_require_fused_refuses_eager(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--require-fused`, an eager family fails with the expected and found node counts, and nothing is written."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", families()["mpnet"])
    assert main([str(checkpoint), str(tmp_path / "artifact"), "--require-fused", *FP32]) == 1
    error = "expected 2 fused attention nodes, one for each layer of this mpnet model, found 0 (eager attention)"
    assert error in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_require_fused_counts_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--require-fused`, a graph with one layer unfused fails although its logits agree."""
    monkeypatch.setattr(fp32, "attention_layers", lambda _: 3)
    checkpoint = open_checkpoint(str(write_checkpoint(tmp_path / "checkpoint", distilbert("single_label"))))
    attention.register()
    (tmp_path / "onnx").mkdir()
    with pytest.raises(FusionError, match=r"expected 3 fused .* found 2 \(fused attention\)"):
        export_fp32(checkpoint, tmp_path, portable=False, require_fused=True)
    assert export_fp32(checkpoint, tmp_path, portable=False, require_fused=False)["fused_attention_nodes"] == 2


@pytest.mark.parametrize("family", PATHS)
def test_longest_text(family: str, tmp_path: Path) -> None:
    """Without a length from training or the tokenizer, the length is the encoder's position limit."""
    checkpoint = write_checkpoint(tmp_path, families()[family])
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text("utf-8"))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 1e30}), "utf-8")
    opened = open_checkpoint(str(checkpoint))
    assert opened.max_length == (MAX_LENGTH if opened.pad_token_id == 1 else 64)
