"""Students: some of a teacher's layers, and its scores to learn from."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from training.arguments import EncoderArguments
from training.errors import EncoderError
from training.model.distillation import Teacher, _evenly_spaced, student_of
from training.model.encoder import load_model, load_tokenizer
from training.model.inference import predict_logits

from ...models import families, write_checkpoint
from ..runs import CLEANING, easy_rows, train, write_rows

pytestmark = pytest.mark.slow

TEXTS = ("the train was late again", "everything went well today")


def teacher_of(folder: Path, family: str) -> Teacher:
    """Returns a random teacher of a family."""
    path = str(write_checkpoint(folder, families()[family]))
    arguments = EncoderArguments(model_name_or_path=path, max_length=32)
    return Teacher(load_model(arguments, ("calm", "glad", "sad"), "single_label").model, load_tokenizer(arguments))


@pytest.mark.parametrize("family", families())
def test_student_of_every_family(family: str, tmp_path: Path) -> None:
    """A student has one layer less and the teacher's other weights, can be saved, and leaves the teacher unchanged."""
    teacher = teacher_of(tmp_path, family)
    student = student_of(teacher, 1, attention_dropout=0.0)
    assert not student.new_head
    assert student.model.config.num_hidden_layers == 1
    assert teacher.model.config.num_hidden_layers == 2
    weights = teacher.model.state_dict()
    for name, weight in student.model.state_dict().items():
        torch.testing.assert_close(weight, weights[name])
    assert (
        sum(weight.numel() for weight in student.model.state_dict().values())
        < sum(weight.numel() for weight in weights.values())
        or family == "albert"
    )  # whose layers share their weights
    logits = predict_logits(student.model, teacher.tokenizer, TEXTS)
    assert abs(logits - predict_logits(teacher.model, teacher.tokenizer, TEXTS)).max() > 1e-3
    student.model.save_pretrained(tmp_path / "student")
    again = load_model(
        EncoderArguments(model_name_or_path=str(write_tokenizer(tmp_path, teacher)), max_length=32),
        ("calm", "glad", "sad"),
        "single_label",
    )
    assert abs(predict_logits(again.model, teacher.tokenizer, TEXTS) - logits).max() < 1e-6


def write_tokenizer(folder: Path, teacher: Teacher) -> Path:
    """Puts the tokenizer beside the saved student."""
    teacher.tokenizer.save_pretrained(folder / "student")
    return folder / "student"


def test_layers_are_evenly_spaced() -> None:
    """Evenly spaced layers include the first and the last, in their order."""
    assert _evenly_spaced(3, 6) == [0, 2, 5]
    assert _evenly_spaced(6, 12) == [0, 2, 4, 7, 9, 11]
    assert _evenly_spaced(1, 6) == [0]
    assert all(len(set(_evenly_spaced(count, 24))) == count for count in range(1, 24))


@pytest.mark.parametrize("layers", [2, 3])
def test_no_fewer_layers(tmp_path: Path, layers: int) -> None:
    """A student must have fewer layers than its teacher."""
    with pytest.raises(EncoderError, match=f"expected 1 to 1, fewer than the teacher's, found {layers}"):
        student_of(teacher_of(tmp_path, "bert"), layers, attention_dropout=0.0)


def test_train_a_student(trained: Path, encoder: Path, easy: Path, tmp_path: Path) -> None:
    """A student has the teacher's tokenizer with its cleaning, and the record has the metrics of both."""
    output = tmp_path / "student"
    options = ["--teacher", str(trained), "--student_layers", "1", "--num_train_epochs", "2", *CLEANING]
    assert train(encoder, easy, output, "--label_columns", "label", *options) == 0
    record = json.loads((output / "training.json").read_text())
    assert record["teacher_metrics"]["accuracy"] > 0.9
    assert record["metrics"]["test"]["accuracy"] > 0.8
    assert json.loads((output / "config.json").read_text())["num_hidden_layers"] == 1
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert tokenizer("DOCTOR: late")["input_ids"] == tokenizer("late")["input_ids"]
    assert "| teacher, test |" in (output / "report.md").read_text()


def test_multi_label_student(encoder: Path, tmp_path: Path) -> None:
    """Distillation works for multi-label data, with thresholds, and with baselines beside it."""
    rows = [
        {"text": f"{'late' * (i % 2)} {'loud' * (i % 3 == 0)} day {i}", "a": i % 2, "b": int(i % 3 == 0)}
        for i in range(120)
    ]
    data = write_rows(tmp_path / "train.csv", rows)
    columns = ("--label_columns", "a", "b")
    assert train(encoder, data, tmp_path / "teacher", *columns) == 0
    student = (
        "--teacher",
        str(tmp_path / "teacher"),
        "--student_layers",
        "1",
        "--baselines",
        "--num_train_epochs",
        "4",
    )
    assert train(encoder, data, tmp_path / "student", *columns, *student) == 0
    record = json.loads((tmp_path / "student/training.json").read_text())
    assert record["teacher_metrics"]["micro_f1"] > 0.8
    assert record["metrics"]["test"]["micro_f1"] > 0.8
    assert len(record["decisions"]["thresholds"]) == 2
    assert len(record["baselines"]) == 4


def test_teacher_of_another_encoder(trained: Path, encoder: Path, easy: Path, tmp_path: Path) -> None:
    """Without --student_layers, the student is the named encoder and learns from the teacher's scores."""
    output = tmp_path / "student"
    options = ["--teacher", str(trained), "--distillation_weight", "1", "--num_train_epochs", "4", *CLEANING]
    assert train(encoder, easy, output, "--label_columns", "label", *options) == 0
    assert json.loads((output / "training.json").read_text())["metrics"]["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--split_seed", "1"],
            "trained on this data with another --split_seed, so its training may have included test texts",
        ),
        (["--cleaning", "nfkc"], "was trained with another --cleaning; pass the one in its training.json"),
        (["--student_layers", "2"], "--student_layers: expected 1 to 1"),
        (["--max_length", "48", "--student_layers", "1"], "--max_length: expected at most the teacher's 32, found 48"),
        (["--max_length", "2", "--student_layers", "1"], "--max_length: expected 3 or more, found 2"),
        (["--max_length", "-3", "--student_layers", "1"], "--max_length: expected 3 or more, found -3"),
    ],
)
def test_teacher_that_does_not_fit(
    trained: Path,
    encoder: Path,
    easy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: str,
) -> None:
    """A teacher that does not match the options is a one-line error before the training."""
    arguments = ["--label_columns", "label", "--teacher", str(trained), *CLEANING, *options]
    assert train(encoder, easy, tmp_path / "student", *arguments) == 1
    assert expected in capsys.readouterr().err


def test_damaged_teacher(
    trained: Path, encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher without a classification layer is rejected."""
    teacher = shutil.copytree(trained, tmp_path / "teacher")
    weights = load_file(teacher / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("classifier")}
    save_file(kept, teacher / "model.safetensors", metadata={"format": "pt"})
    options = ["--label_columns", "label", "--teacher", str(teacher), *CLEANING]
    assert train(encoder, easy, tmp_path / "out", *options) == 1
    assert "its weights or config.json do not fit its training.json" in capsys.readouterr().err


def test_start_that_may_have_seen_the_test_split(
    trained: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint of the same rows is accepted with the same splits only, and its cleaning is not added twice."""
    options = ["--label_columns", "label", "--num_train_epochs", "1", *CLEANING]
    assert train(trained, easy, tmp_path / "other", *options, "--split_seed", "1") == 1
    assert "--model_name_or_path" in (error := capsys.readouterr().err)
    assert "was trained on this data with another --split_seed" in error
    assert train(trained, easy, tmp_path / "same", *options) == 0
    first, same = (json.loads((folder / "tokenizer.json").read_text()) for folder in (trained, tmp_path / "same"))
    assert same["normalizer"] == first["normalizer"]


def test_start_that_was_trained_on_the_test_split(
    encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that was trained on the whole file is rejected if a test split is now taken from it."""
    rows = [row | {"text": f"and {row['text']}"} for row in easy_rows(4)]
    options = ["--label_columns", "label", "--num_train_epochs", "1"]
    test = ("--test_file", str(write_rows(tmp_path / "test.csv", rows)))
    assert train(encoder, easy, tmp_path / "start", *options, *test) == 0
    assert train(tmp_path / "start", easy, tmp_path / "other", *options) == 1
    assert "was trained on this data with another set of files" in capsys.readouterr().err


def test_start_that_learned_from_the_test_file(
    encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint is rejected if its training file is now the test file."""
    other = write_rows(tmp_path / "other.csv", [row | {"text": f"and {row['text']}"} for row in easy_rows(20)])
    options = ["--label_columns", "label", "--num_train_epochs", "1"]
    assert train(encoder, easy, tmp_path / "start", *options, "--test_file", str(other)) == 0
    options += ["--test_file", str(easy), "--split_seed", "1"]
    assert train(tmp_path / "start", other, tmp_path / "out", *options[:-2]) == 1
    assert "on this data with another set of files, so" in capsys.readouterr().err
    assert train(tmp_path / "start", other, tmp_path / "out", *options) == 1
    assert "on this data with another --split_seed, another set of files, so" in capsys.readouterr().err


def test_start_whose_splits_came_as_files(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The split seed does not matter if all splits are files; it does if the validation split is taken from a file."""
    options = ["--label_columns", "label", "--num_train_epochs", "1"]
    split = {
        name: write_rows(tmp_path / f"{name}.csv", [row | {"text": f"{name} {row['text']}"} for row in easy_rows(8)])
        for name in ("train", "validation", "test")
    }
    test = ["--test_file", str(split["test"])]
    for folder, files in (("all", [*test, "--validation_file", str(split["validation"])]), ("some", test)):
        assert train(encoder, split["train"], tmp_path / folder, *options, *files) == 0
        again = [*options, *files, "--split_seed", "1", "--test_size", "0.3"]
        assert train(tmp_path / folder, split["train"], tmp_path / f"{folder}2", *again) == (folder == "some")
    assert "on this data with another --split_seed, so its training" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_start_on_other_data(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str) -> None:
    """On other data a checkpoint needs the same cleaning; one of another schema version is rejected."""
    start = shutil.copytree(trained, tmp_path / "start")
    record = json.loads((start / "training.json").read_text()) | {"schema_version": version}
    (start / "training.json").write_text(json.dumps(record))
    rows = [row | {"text": f"and {row['text']}"} for row in easy_rows(20)]
    data, options = write_rows(tmp_path / "train.csv", rows), ["--label_columns", "label", "--num_train_epochs", "1"]
    assert train(start, data, tmp_path / "none", *options) == 1
    expected = {"1.0": "expected schema_version 2.x", "2.0": "was trained with another --cleaning; pass the one"}
    assert expected[version] in capsys.readouterr().err
    assert train(start, data, tmp_path / "same", *options, *CLEANING) == (0 if version == "2.0" else 1)


def test_teacher_of_other_labels(
    trained: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher with other labels is rejected."""
    data = tmp_path / "other.csv"
    data.write_text("text,label\n" + "".join(f"row {index},{'ab'[index % 2]}\n" for index in range(40)))
    assert train(encoder, data, tmp_path / "out", "--label_columns", "label", "--teacher", str(trained)) == 1
    assert "expected the labels of this data set, found other labels" in capsys.readouterr().err
