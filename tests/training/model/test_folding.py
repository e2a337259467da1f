"""The temperature is in the checkpoint's weights: every reader of it computes the calibrated scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from export.__main__ import main as export
from runtime import load
from training.arguments import parse_args
from training.data.dataset import LabelledData, load_data
from training.data.record import training_data
from training.decisions.learning import Decisions
from training.errors import EncoderError
from training.evaluation.figures import judge
from training.model.distillation import load_teacher
from training.model.folding import fold_temperature
from training.model.inference import predict_logits
from training.model.linear_probe import last_layer

from ...models import FP32, families, write_checkpoint
from ...shared import SharedFolders
from ..runs import command, train, write_rows

pytestmark = pytest.mark.slow

TEXTS = ("the train was late again", "everything went well today, so it did", "too much noise", "late", "?")


@pytest.fixture(scope="module", params=["single_label", "multi_label"])
def checkpoint(request: pytest.FixtureRequest, encoder: Path, shared: SharedFolders) -> Path:
    """A checkpoint of each task that is overconfident, because its rows are hard to distinguish."""

    def fill(folder: Path) -> None:
        rows = []
        for i in range(120):
            text = f"{'late' * (i % 2)} {'loud' * (i % 3 == 0)} day {i}"
            if request.param == "single_label":
                rows.append({"text": text, "a": "xyz"[(i + (i % 5 == 0)) % 3]})
            else:
                rows.append({"text": text, "a": i % 2, "b": int(i % 5 < 2)})
        data = write_rows(folder / "train.csv", rows)
        assert train(encoder, data, folder / "checkpoint", "--label_columns", *list(rows[0])[1:]) == 0

    return shared.make(f"folding_{request.param}", fill) / "checkpoint"


def record_of(checkpoint: Path) -> dict[str, Any]:
    """Reads a checkpoint's training.json."""
    return dict(json.loads((checkpoint / "training.json").read_text("utf-8")))


def logits_of(checkpoint: Path, texts: tuple[str, ...]) -> np.ndarray:
    """Computes a checkpoint's logits in PyTorch."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    return predict_logits(model, AutoTokenizer.from_pretrained(checkpoint), texts)


def test_pipeline_has_the_runtimes_scores(checkpoint: Path, tmp_path: Path) -> None:
    """A transformers pipeline, which does not read training.json, computes the scores of the artifact."""
    assert export([str(checkpoint), str(tmp_path / "artifact"), *FP32]) == 0
    classify = pipeline("text-classification", str(checkpoint), top_k=None)
    predictions = load(tmp_path / "artifact", provider="cpu").predict_many(TEXTS)
    for theirs, ours in zip(classify(list(TEXTS)), predictions, strict=True):
        assert {answer["label"]: answer["score"] for answer in theirs} == pytest.approx(ours.scores, abs=1e-5)


def test_record_has_both_temperatures(checkpoint: Path) -> None:
    """The record has the temperature to apply, which is 1, and the one folded into the weights."""
    record = record_of(checkpoint)
    assert record["decisions"]["temperature"] == 1.0
    assert abs(record["folded_temperature"] - 1) > 0.02
    assert f"| temperature | {record['folded_temperature']:.3f}: " in (checkpoint / "report.md").read_text("utf-8")


def test_figures_are_the_saved_models(checkpoint: Path) -> None:
    """The metrics in the record are those of the saved weights and decision parameters."""
    record, data = record_of(checkpoint), training_data(str(checkpoint))
    logits = logits_of(checkpoint, data.test.texts)
    found = judge(logits, data.test.targets, data.task, Decisions.from_record(record))
    expected = {name: record["metrics"]["test"][name] for name in found if name != "ece_uncalibrated"}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", families())
def test_every_family(family: str, tmp_path: Path) -> None:
    """In every family, dividing the last layer divides the logits."""
    folder = write_checkpoint(tmp_path, families()[family])
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    before = predict_logits(model, tokenizer, TEXTS)
    assert fold_temperature(model, tokenizer, TEXTS, before, 2.5)
    np.testing.assert_allclose(predict_logits(model, tokenizer, TEXTS) * 2.5, before, rtol=1e-4, atol=1e-4)


def test_head_that_is_not_linear(encoder: Path) -> None:
    """A head that applies another function to its last layer is not changed."""
    model = AutoModelForSequenceClassification.from_pretrained(encoder)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    layer = last_layer(model)
    assert layer is not None
    layer.register_forward_hook(lambda _, __, output: torch.tanh(output))
    before, weight = predict_logits(model, tokenizer, TEXTS), layer.weight.clone()
    assert not fold_temperature(model, tokenizer, TEXTS, before, 2.5)
    assert torch.equal(layer.weight, weight)


def test_head_without_a_linear_layer(
    encoder: Path, easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a linear layer the temperature stays in the record, and the model card says so."""
    monkeypatch.setattr("training.model.folding.last_layer", lambda _: None)
    options = ["--label_columns", "label", "--num_train_epochs", "2"]
    assert train(encoder, easy, tmp_path / "out", *options) == 0
    record = record_of(tmp_path / "out")
    assert record["folded_temperature"] == 1.0
    assert record["decisions"]["temperature"] != 1.0
    assert "so its scores differ" in (tmp_path / "out/README.md").read_text("utf-8")


def teacher_arguments(checkpoint: Path, folder: Path) -> tuple[Any, LabelledData]:
    """Returns the arguments of a training with this teacher, and its data."""
    record = record_of(checkpoint)
    data = checkpoint / record["data_arguments"]["train_file"]
    options = command(checkpoint, data, folder, "--teacher", str(checkpoint))
    labels = ["--label_columns", *record["data_arguments"]["label_columns"]]
    cleaning = record["data_arguments"]["cleaning"]
    arguments = parse_args([*options, *labels, *(["--cleaning", *cleaning] if cleaning else [])])
    return arguments, load_data(arguments.data)


def test_teacher_teaches_as_it_was_trained(checkpoint: Path, tmp_path: Path) -> None:
    """A teacher's logits are those before folding, so that only --distillation_temperature softens them."""
    teacher = load_teacher(*teacher_arguments(checkpoint, tmp_path / "out"))
    temperature = record_of(checkpoint)["folded_temperature"]
    expected = logits_of(checkpoint, TEXTS) * temperature
    np.testing.assert_allclose(predict_logits(teacher.model, teacher.tokenizer, TEXTS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", [0, -1, "hot", None, [], 10**400])
def test_teacher_with_a_damaged_temperature(trained: Path, tmp_path: Path, temperature: object) -> None:
    """A teacher with an invalid folded temperature is rejected."""
    teacher = shutil.copytree(trained, tmp_path / "teacher")
    record = record_of(teacher) | {"folded_temperature": temperature}
    (teacher / "training.json").write_text(json.dumps(record), "utf-8")
    arguments, data = teacher_arguments(trained, tmp_path / "out")
    arguments.encoder.teacher = str(teacher)
    with pytest.raises(EncoderError, match=r"its training\.json is damaged"):
        load_teacher(arguments, data)
