"""What the export writes, and when it writes nothing."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, CanineConfig, GPT2Config

from export import __main__ as command
from export.__main__ import main
from export.artifact import writer
from export.errors import ExportError
from export.graph import parity, torch_export
from export.sources import checkpoint as checkpoints
from export.sources.checkpoint import open_checkpoint
from export.sources.golden_texts import GOLDEN
from export.sources.source import open_source
from runtime import ArtifactError, load
from runtime.artifact import publishing as publishing_module
from runtime.artifact.manifest import Manifest
from runtime.artifact.publishing import publishing
from training.arguments import EncoderArguments
from training.model.encoder import load_tokenizer

from ..models import FP32, LABELS, MAX_LENGTH, Planted, bert, distilbert, pickle_weights, write_checkpoint

pytestmark = pytest.mark.slow

TEXTS = ("late", "The train was late again, by 12.5 minutes.", "Das Café. 次の電車 🙂", "so it goes " * 40)


def manifest(artifact: Path) -> Manifest:
    """Reads an artifact's manifest."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


@pytest.mark.parametrize("which", ["single", "multi"])
def test_artifact_computes_what_transformers_computes(which: str, request: pytest.FixtureRequest) -> None:
    """Scores of ragged, short, non-ASCII and over-long texts are PyTorch's within 1e-4."""
    prefix = "" if which == "single" else "multi_label_"
    checkpoint: Path = request.getfixturevalue(f"{prefix}checkpoint")
    artifact: Path = request.getfixturevalue(f"{prefix}artifact")
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    inputs = AutoTokenizer.from_pretrained(checkpoint)(
        list(TEXTS), padding=True, truncation=True, return_tensors="pt", return_token_type_ids=which == "single"
    )
    with torch.inference_mode():
        logits = model(**inputs).logits
    expected = logits.softmax(dim=1) if which == "single" else logits.sigmoid()
    predictions = load(artifact, provider="cpu").predict_many(TEXTS)
    found = [list(prediction.scores.values()) for prediction in predictions]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert [prediction.truncated for prediction in predictions] == [False, False, False, True]


def test_token_ids_are_those_of_transformers(multi_label_checkpoint: Path, multi_label_artifact: Path) -> None:
    """Ids and masks are those of transformers, with cleaning, truncation and special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(multi_label_checkpoint)
    texts = [*TEXTS, "Doctor: hello  there"]
    expected = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    runtime_tokenizer = load(multi_label_artifact, provider="cpu")._tokenizer
    found = runtime_tokenizer.pad(runtime_tokenizer.encode_many(texts))
    np.testing.assert_array_equal(found["input_ids"], expected["input_ids"])
    np.testing.assert_array_equal(found["attention_mask"], expected["attention_mask"])


def test_graph(artifact: Path) -> None:
    """The graph is one self-contained file with fused attention and named, dynamic inputs."""
    model = onnx.load(artifact / "onnx/model.onnx", load_external_data=False)
    operators = [(node.domain, node.op_type) for node in model.graph.node]
    assert operators.count(("com.microsoft", "MultiHeadAttention")) == 2
    assert ("", "Softmax") not in operators
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    shapes = {
        node.name: [dim.dim_param or dim.dim_value for dim in node.type.tensor_type.shape.dim]
        for node in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "input_ids": ["batch", "sequence"],
        "attention_mask": ["batch", "sequence"],
        "token_type_ids": ["batch", "sequence"],
        "logits": ["batch", 3],
    }


def test_manifest(artifact: Path) -> None:
    """litmus.json has everything that determines a prediction, and lists every file."""
    found = manifest(artifact)
    assert (found.task, found.labels, found.max_length) == ("single_label", LABELS["single_label"], MAX_LENGTH)
    assert (found.thresholds, found.temperature, found.abstain_below) == (None, 1.0, None)
    files = {path.relative_to(artifact).as_posix() for path in artifact.rglob("*") if path.is_file()}
    assert set(found.files) == files - {"litmus.json"}
    assert found.versions["torch"].startswith(torch.__version__.partition("+")[0])


def test_multi_label_manifest(multi_label_artifact: Path) -> None:
    """A multi-label manifest has a threshold per label."""
    assert manifest(multi_label_artifact).thresholds == (0.5,) * 4


def test_golden_scores(artifact: Path) -> None:
    """The golden texts are Litmus's own, and the artifact reproduces PyTorch's scores of them."""
    classifier = load(artifact, provider="cpu")
    golden = manifest(artifact).golden
    assert len(golden) >= 3
    for item in golden:
        assert item.text in GOLDEN
        assert list(classifier.predict(item.text).scores.values()) == pytest.approx(item.scores, abs=1e-5)


def test_tokenizer_carries_no_padding(artifact: Path) -> None:
    """tokenizer.json has neither padding nor truncation, so other readers can set theirs."""
    content = json.loads((artifact / "tokenizer.json").read_text("utf-8"))
    assert content["padding"] is None
    assert content["truncation"] is None


def test_parity_failure_writes_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A graph with other logits than PyTorch's is not published."""
    original = parity.torch_logits
    monkeypatch.setattr(parity, "torch_logits", lambda *args: original(*args) + np.float32(2e-4))
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert "differ from PyTorch by 2.0e-04, more than 1e-04" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_golden_scores_must_be_reproduced(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The finished artifact is loaded as a service does, and other golden scores stop the export."""
    original = command.write_artifact
    shift = np.array([[0, 0, 1]], np.float32)

    def write(folder: Path, source: Any, variants: Any, reference: Any, sessions: Any, **names: Any) -> Manifest:
        return original(folder, source, variants, lambda inputs: reference(inputs) + shift, sessions, **names)

    monkeypatch.setattr(command, "write_artifact", write)
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert (
        "the finished artifact's fp32 on CPUExecutionProvider: failed: golden scores differ" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_nan_is_not_parity(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN counts as a difference from PyTorch."""
    monkeypatch.setattr(parity, "torch_logits", lambda *_: np.full((1, 3), np.nan, np.float32))
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1


def test_parity_covers_the_awkward_batches(checkpoint: Path) -> None:
    """The parity check has a single token, the longest length, and padding."""
    opened = command.open_checkpoint(str(checkpoint))
    shapes = [inputs["input_ids"].shape for inputs in parity.batches(opened)]
    masks = [inputs["attention_mask"] for inputs in parity.batches(opened)]
    assert (1, 1) in shapes
    assert any(shape[1] == MAX_LENGTH for shape in shapes)
    assert any(mask.min() == 0 for mask in masks)


def test_parity_stays_within_memory(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model for very long texts is compared on shorter ones."""
    monkeypatch.setattr(parity, "MAX_TOKENS", 20)
    opened = command.open_checkpoint(str(checkpoint))
    assert max(inputs["input_ids"].shape[1] for inputs in parity.batches(opened)) == 20


def test_existing_target_is_kept(checkpoint: Path, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --overwrite an existing artifact is kept."""
    before = (artifact / "litmus.json").stat().st_mtime_ns
    assert main([str(checkpoint), str(artifact), *FP32]) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert (artifact / "litmus.json").stat().st_mtime_ns == before


def test_overwrite_replaces_an_artifact(checkpoint: Path, artifact: Path, tmp_path: Path) -> None:
    """--overwrite replaces an artifact and leaves no other file behind."""
    target = Path(shutil.copytree(artifact, tmp_path / "artifact"))
    (target / "README.md").write_text("old")
    assert main([str(checkpoint), str(target), "--overwrite", *FP32]) == 0
    assert load(target, provider="cpu").predict("late").label
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_overwrite_spares_what_lies_in_the_artifact(checkpoint: Path, artifact: Path, tmp_path: Path) -> None:
    """An artifact with foreign files in it, such as a checkpoint, is not replaced."""
    target = Path(shutil.copytree(artifact, tmp_path / "artifact"))
    inside = Path(shutil.copytree(checkpoint, target / "checkpoint"))
    assert main([str(inside), str(target), "--overwrite", *FP32]) == 1
    assert (inside / "model.safetensors").is_file()


def test_overwrite_spares_what_appears_meanwhile(artifact: Path, tmp_path: Path) -> None:
    """An artifact to which foreign files were added during the export is not replaced."""
    target = Path(shutil.copytree(artifact, tmp_path / "artifact"))
    with (
        pytest.raises(ArtifactError, match=r"'notes\.txt' is not in"),
        publishing(target, overwrite=True, error=ExportError) as folder,
    ):
        (folder / "file").write_text("x")
        (target / "notes.txt").write_text("y")
    assert (target / "notes.txt").read_text() == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_overwrite_refuses_a_link(checkpoint: Path, artifact: Path, tmp_path: Path) -> None:
    """A symbolic link is not replaced."""
    (tmp_path / "current").symlink_to(artifact)
    assert main([str(checkpoint), str(tmp_path / "current"), "--overwrite", *FP32]) == 1
    assert (tmp_path / "current").is_symlink()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("training.json", {"max_length": "abc"}),
        ("training.json", {"max_length": 2}),
        ("training.json", {"max_length": 48, "metrics": "good"}),
        ("config.json", {"pad_token_id": -1}),
        ("config.json", {"pad_token_id": None}),
        ("config.json", {"id2label": {"0": "a", "1": "a", "2": "b"}}),
        ("config.json", {"problem_type": "regression"}),
        ("config.json", {"id2label": {"1": "a", "2": "b", "3": "c"}}),
        ("config.json", {"id2label": {"0": "a", "1": "b", "2": ""}}),
        ("config.json", {"id2label": {"0": "a", "1": "b", "2": "\ud800"}}),
        ("training.json", {"metrics": {"test": {"accuracy": "good"}}}),
        ("training.json", {"metrics": {"test": {"accuracy": float("nan")}}}),
        ("training.json", {"metrics": {"test": [0.9]}}),
        ("tokenizer_config.json", {"truncation_side": "left"}),
    ],
)
def test_damaged_configuration(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: dict[str, Any]
) -> None:
    """A damaged configuration gives one line of error that names the file or field."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    content = json.loads((copy / name).read_text()) if (copy / name).exists() else {}
    (copy / name).write_text(json.dumps(content | change))
    capsys.readouterr()
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert list(change)[-1] in error


def test_labels_with_joiners(checkpoint: Path, tmp_path: Path) -> None:
    """Labels may contain joiners, as Persian words and emoji do."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    content = json.loads((copy / "config.json").read_text())
    names = {"0": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "1": "\U0001f469\u200d\U0001f692", "2": "c"}
    (copy / "config.json").write_text(json.dumps(content | {"id2label": names}))
    assert open_source(str(copy), weights="model.safetensors").labels == tuple(names.values())


def test_overwrite_spares_other_folders(checkpoint: Path, tmp_path: Path) -> None:
    """A folder that is no artifact is not replaced."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("x")
    assert main([str(checkpoint), str(tmp_path / "thesis"), "--overwrite", *FP32]) == 1
    assert (tmp_path / "thesis/chapter.txt").read_text() == "x"


def test_replaced_artifact_that_vanishes_leaves_nothing(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the old artifact vanishes during the replacement, the export fails and leaves nothing behind."""
    target = Path(shutil.copytree(artifact, tmp_path / "artifact"))
    monkeypatch.setattr(publishing_module, "_check_replaceable", lambda *_: None)
    with pytest.raises(FileNotFoundError), publishing(target, overwrite=True, error=ExportError) as folder:
        (folder / "file").write_text("x")
        shutil.rmtree(target)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_publishing_leaves_nothing(tmp_path: Path) -> None:
    """An interrupted export leaves nothing behind."""
    with (
        pytest.raises(KeyboardInterrupt),
        publishing(tmp_path / "artifact", overwrite=False, error=ExportError) as folder,
    ):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_target_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """A target that another process creates during the export is kept."""
    target = tmp_path / "artifact"
    with (
        pytest.raises(ExportError, match="cannot write"),
        publishing(target, overwrite=False, error=ExportError) as folder,
    ):
        (folder / "file").write_text("x")
        target.mkdir()
        (target / "chapter").write_text("y")
    assert [path.name for path in tmp_path.rglob("*")] == ["artifact", "chapter"]


def test_failed_replacement_keeps_the_old_artifact(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the replacement fails, the old artifact is restored and nothing else is left behind."""

    def fail(*_: Path) -> None:
        raise ExportError("disk on fire")

    target = Path(shutil.copytree(artifact, tmp_path / "artifact"))
    monkeypatch.setattr(publishing_module, "_rename", fail)
    with pytest.raises(ExportError, match="on fire"), publishing(target, overwrite=True, error=ExportError) as folder:
        (folder / "half").write_text("x")
    assert load(target, provider="cpu").predict("late").label
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_cut_checkpoint(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A truncated file of a checkpoint gives one line of error."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    capsys.readouterr()
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


def test_pickled_weights(checkpoint: Path, artifact: Path, tmp_path: Path) -> None:
    """A checkpoint with `pytorch_model.bin` alone gives the same artifact as with safetensors."""
    copy = pickle_weights(Path(shutil.copytree(checkpoint, tmp_path / "checkpoint")))
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 0
    for name in ("onnx/model.onnx", "litmus.json"):
        assert (tmp_path / "artifact" / name).read_bytes() == (artifact / name).read_bytes()


def test_pickle_with_code(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle that could run code is refused in one line, nothing runs, and no environment variable changes that."""
    trap = tmp_path / "trap"
    copy = pickle_weights(Path(shutil.copytree(checkpoint, tmp_path / "checkpoint")), Planted(trap))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert (
        "pytorch_model.bin is damaged, or has more than tensors, which could run code; nothing in it was run" in error
    )
    assert not trap.exists()
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "training.json"])
def test_deeply_nested_json(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Deeply nested JSON gives one line of error."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    (copy / name).write_text("[" * 150_000)
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert f"{name} is not JSON" in capsys.readouterr().err


def test_damaged_weights(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN weights are an error even in the row of a rare token, which no comparison reaches."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    weights = load_file(copy / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][29_000] = torch.nan
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert "'bert.embeddings.word_embeddings.weight' have NaN" in capsys.readouterr().err


def test_model_beyond_one_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model beyond the limit of one ONNX file is an error."""
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 1 << 20)
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert "0.00 GiB of fp32 weights, and an ONNX file holds less than 2 GiB" in capsys.readouterr().err


def test_model_that_reads_no_tokens(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model without a vocabulary, such as CANINE, is an error."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    CanineConfig(num_labels=3).save_pretrained(copy)
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert "config.json has no vocab_size" in capsys.readouterr().err


def test_model_that_gives_tuples(checkpoint: Path, tmp_path: Path) -> None:
    """`return_dict` false in a config does not matter."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"return_dict": False}))
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 0


def test_model_that_torch_cannot_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that torch cannot export gives one line of error."""
    config = GPT2Config(n_embd=32, n_layer=1, n_head=4, n_positions=64, num_labels=3, pad_token_id=0, vocab_size=30522)
    checkpoint = tmp_path / "checkpoint"
    AutoModelForSequenceClassification.from_config(config).save_pretrained(checkpoint)
    load_tokenizer(EncoderArguments()).save_pretrained(checkpoint)
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert "error: torch cannot export this gpt2 model; use another encoder\n" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["checkpoint", "artifact"])
def test_path_that_is_not_utf8(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    """A path that is not UTF-8 is an error before the export."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    source = Path(shutil.copytree(checkpoint, folder / "checkpoint")) if which == "checkpoint" else checkpoint
    target = (folder if which == "artifact" else tmp_path) / "artifact"
    assert main([str(source), str(target), *FP32]) == 1
    message = capsys.readouterr().err
    assert "is not UTF-8" in message
    assert "exporting" not in message
    assert [path.name for path in folder.iterdir()] == (["checkpoint"] if which == "checkpoint" else [])


def test_disk_that_fills_up(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk raises OSError, even from the tokenizer, which has its own exception for it."""
    limit = (checkpoint / "tokenizer.json").stat().st_size // 2
    source = open_checkpoint(str(checkpoint))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.write_artifact(tmp_path, source, (), lambda _: np.zeros((1, 3), np.float32), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_terminated_export_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """A terminated export leaves nothing behind."""
    command_line = [sys.executable, "-m", "export", str(checkpoint), str(tmp_path / "artifact"), *FP32]
    with subprocess.Popen(command_line, stderr=subprocess.DEVNULL) as process:
        while not any(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        # Either is 130 to a shell: after an interrupt inside exec("...") Python turns any status into the signal
        assert process.wait(60) in (130, -signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_target_beside_a_missing_folder(tmp_path: Path) -> None:
    """Missing parent folders are created."""
    with publishing(tmp_path / "a/b/artifact", overwrite=False) as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "a/b/artifact/file").read_text() == "x"


def test_publishing_refuses_a_dangling_link(tmp_path: Path) -> None:
    """A dangling symbolic link is not replaced."""
    (tmp_path / "artifact").symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(ExportError, match="exists"),
        publishing(tmp_path / "artifact", overwrite=False, error=ExportError),
    ):
        pass


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_incomplete_checkpoint(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The error names the missing file."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    (copy / name).unlink()
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert f"has no {name}; expected a checkpoint folder" in capsys.readouterr().err


def test_headless_encoder(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An encoder without a trained head is an error."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    AutoModelForSequenceClassification.from_pretrained(copy).bert.save_pretrained(copy)
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert "lacks the weights 'classifier.bias'; fine-tune it first" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal"])
def test_foreign_code_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """A config that makes transformers run code from the checkpoint is not loaded."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: "x--y"}))
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    assert f"has {key!r}, which makes transformers run code from the checkpoint" in capsys.readouterr().err


def test_other_models_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tokenizer with ids beyond the embedding is an error."""
    config = bert("single_label")
    config.vocab_size = 1000
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config)
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert "token ids up to 30521, the model's embedding has 1000 rows" in capsys.readouterr().err


def test_unknown_family(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a model family that Optimum does not know."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", distilbert("single_label"))
    monkeypatch.delitem(torch_export.NormalizedConfigManager._conf, "distilbert")
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 1
    assert "Optimum does not know the model family 'distilbert'" in capsys.readouterr().err
