"""The record of a training: its paths, and which checkpoints a training may start from."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from training.arguments import DataArguments, parse_args
from training.data.dataset import load_data
from training.data.record import check_start, read_record, training_data, with_relative_paths
from training.errors import DataError

from ..runs import easy_rows, train, write_rows

EMBEDDED = DataArguments(dataset="wisconsin")


def write_record(folder: Path, arguments: dict[str, Any], **data: Any) -> Path:
    """Writes the record of a training on the embedded data."""
    content = {"sha256": load_data(EMBEDDED).sha256, "files": load_data(EMBEDDED).files, **data}
    (folder / "training.json").write_text(json.dumps({"data_arguments": arguments, "data": content}))
    return folder


def test_start_with_another_label_order(tmp_path: Path) -> None:
    """A training may start from a checkpoint with another order of labels, because the splits are the same."""
    folder = str(write_record(tmp_path, {"dataset": "wisconsin", "label_order": ["benign", "malignant"]}))
    check_start("--model_name_or_path", folder, load_data(EMBEDDED), EMBEDDED)
    write_record(tmp_path, {"dataset": "wisconsin", "split_seed": 7})
    with pytest.raises(DataError, match="another --split_seed"):
        check_start("--model_name_or_path", folder, load_data(EMBEDDED), EMBEDDED)


@pytest.mark.slow
def test_no_file_names_the_folders_of_the_machine(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of a checkpoint has an absolute path; moved together with its data, it finds them."""
    home = tmp_path / "jane.doe"
    start = Path(shutil.copytree(encoder, home / "encoder"))
    data = write_rows(home / "rows.csv", easy_rows(20))
    options = ("--label_columns", "label", "--num_train_epochs", "1", "--baselines")
    settings = []
    monkeypatch.setattr(
        "training.__main__.remove_trainer_checkpoints", lambda folder: settings.append(folder / "run.json")
    )
    assert train(start, data, home / "teacher", *options) == 0
    student = ("--teacher", str(home / "teacher"), "--student_layers", "1")
    assert train(start, data, home / "student", *options, *student) == 0
    for path in [*home.glob("teacher/*"), *home.glob("student/*")]:
        if path.is_file():
            assert b"jane.doe" not in path.read_bytes(), path.name
            assert not re.search(r"""["' (`]/(tmp|home|root|var)""", path.read_text("utf-8", "replace")), path.name
    assert [path.is_file() for path in settings] == [True, True]
    record = json.loads((home / "student/training.json").read_text())
    assert record["data_arguments"]["train_file"] == "../rows.csv"
    assert record["encoder_arguments"]["teacher"] == "../teacher"
    assert record["base_model"] == {"name": "teacher", "revision": None}
    expected = training_data(str(home / "student")).test.texts
    home.rename(tmp_path / "john.roe")
    monkeypatch.chdir(tmp_path / "john.roe")
    assert training_data("student").test.texts == expected
    assert read_record("student")["encoder_arguments"]["model_name_or_path"] == str(tmp_path / "john.roe/encoder")


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the output folder, wherever the command runs; other names of encoders stay."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    output = ["--output_dir", "../out/checkpoint", "--resume_from_checkpoint", "../out/checkpoint/checkpoint-7"]
    found = with_relative_paths(
        parse_args(["--train_file", "../link/a.csv", "--model_name_or_path", "some/encoder", *output])
    )
    assert (found.data.train_file, found.data.test_file) == ("../../data/a.csv", None)
    assert (found.encoder.model_name_or_path, found.encoder.teacher) == ("some/encoder", None)
    assert found.training.resume_from_checkpoint == "checkpoint-7"


@pytest.mark.parametrize("relative", [True, False])
def test_data_of_a_record(tmp_path: Path, relative: bool) -> None:
    """Data are found by a path relative to the checkpoint, or by the absolute path of an earlier version."""
    (tmp_path / "checkpoint").mkdir()
    file = write_rows(tmp_path / "rows.csv", easy_rows())
    path = "../rows.csv" if relative else str(file)
    arguments = {"train_file": path, "text_columns": ["text"], "label_columns": ["label"]}
    expected = load_data(DataArguments(**arguments | {"train_file": str(file)}))
    folder = str(write_record(tmp_path / "checkpoint", arguments, sha256=expected.sha256))
    assert training_data(folder).test.texts == expected.test.texts
    assert training_data(os.path.relpath(folder)).test.texts == expected.test.texts


@pytest.mark.parametrize("name", ["train_file", "test_file", "label_names_file"])
def test_data_that_moved(tmp_path: Path, name: str) -> None:
    """A file that is missing is one line of error, which names the option, the place and the remedy."""
    arguments = {
        "train_file": "training.json",
        "text_columns": ["text"],
        "label_columns": ["label"],
        name: "../gone.csv",
    }
    folder = str(write_record(tmp_path, arguments))
    with pytest.raises(DataError) as caught:
        training_data(folder)
    assert str(caught.value) == (
        f"--{name} of {folder} is missing, expected {tmp_path.parent / 'gone.csv'}; put the file there, or write its "
        "path, relative to the checkpoint, into data_arguments of training.json"
    )
