"""`--seeds`: several trainings, one checkpoint, also after a kill and by several processes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from ..shared import SharedFolders
from .runs import train
from .test_output_dir import launch, start  # noqa: F401 - launch is a fixture

pytestmark = pytest.mark.slow

OPTIONS = ("--label_columns", "label", "--num_train_epochs", "2", "--seed", "7")


def record(folder: Path) -> dict[str, Any]:
    """Reads a checkpoint's record."""
    return json.loads((folder / "training.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def three(encoder: Path, easy: Path, shared: SharedFolders) -> Path:
    """A training with three seeds."""

    def fill(folder: Path) -> None:
        assert train(encoder, easy, folder, *OPTIONS, "--seeds", "3") == 0

    return shared.make("seeds", fill)


def test_first_model_is_kept(encoder: Path, easy: Path, three: Path, tmp_path: Path) -> None:
    """The checkpoint of several seeds is bit-identical to that of the first seed alone."""
    assert train(encoder, easy, tmp_path / "one", *OPTIONS) == 0
    expected, found = (load_file(folder / "model.safetensors") for folder in (tmp_path / "one", three))
    assert all((found[name] == weight).all() for name, weight in expected.items())
    assert {path.name for path in three.iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    assert record(three)["metrics"] == record(tmp_path / "one")["metrics"]


def test_other_seeds_are_those_of_single_trainings(encoder: Path, easy: Path, three: Path, tmp_path: Path) -> None:
    """The metrics of the second seed are those of a training with that seed alone."""
    assert train(encoder, easy, tmp_path / "two", *OPTIONS[:-1], "8") == 0
    assert record(three)["seeds"]["8"] == record(tmp_path / "two")["metrics"]


def test_spread_is_reported(three: Path) -> None:
    """Mean and standard deviation over the seeds are in the record, the report and its first line."""
    content = record(three)
    assert list(content["seeds"]) == ["7", "8", "9"]
    values = [metrics["test"]["macro_f1"] for metrics in content["seeds"].values()]
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    assert content["spread"]["test"]["macro_f1"] == pytest.approx({"mean": mean, "standard_deviation": deviation})
    text = (three / "report.md").read_text("utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| mean |")]
    assert f" {mean:.4f} ± {deviation:.4f} |" in row
    assert f"Over 3 seeds: macro F1 {mean:.4f} ± {deviation:.4f}." in text.splitlines()[0]


def test_one_seed_has_no_spread(trained: Path) -> None:
    """With one seed there is no spread, and no section on seeds in the report."""
    assert record(trained)["spread"] == {}
    assert "## Seeds" not in (trained / "report.md").read_text("utf-8")


@pytest.mark.parametrize("place", ["training.seeds.split_metrics", "training.__main__.fine_tune"])
def test_killed_and_resumed(
    encoder: Path,
    easy: Path,
    three: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    """A run that is killed during or after the second seed gives the same result when resumed."""
    folder, options = tmp_path / "out", (*OPTIONS, "--seeds", "2")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(place, lambda *_: sys.exit("killed"))
        train(encoder, easy, folder, *options)
    done = place == "training.__main__.fine_tune"
    assert (folder / "seeds/8.json").is_file() == done
    assert bool(list((folder / "seeds").glob("8/checkpoint-*"))) != done
    caplog.set_level("INFO")
    assert train(encoder, easy, folder, *options, "--resume_from_checkpoint", "latest") == 0
    assert ("seed 8: already trained" in caplog.text) == done
    assert record(folder)["seeds"] == {seed: record(three)["seeds"][seed] for seed in ("7", "8")}
    assert not (folder / "seeds").exists()


def test_other_number_of_seeds_is_not_resumed(
    encoder: Path, easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with two seeds is not resumed with three."""
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("training.seeds.fine_tune", lambda *_: sys.exit("killed"))
        train(encoder, easy, tmp_path / "out", *OPTIONS, "--seeds", "2")
    again = ["--seeds", "3", "--resume_from_checkpoint", "latest"]
    assert train(encoder, easy, tmp_path / "out", *OPTIONS, *again) == 1
    assert "other settings: seeds;" in capsys.readouterr().err


def test_mistake_leaves_the_folder_empty(encoder: Path, easy: Path, tmp_path: Path) -> None:
    """An option that the Trainer rejects leaves the folder empty, for the corrected command."""
    folder = tmp_path / "out"
    assert train(encoder, easy, folder, *OPTIONS, "--seeds", "2", "--optim", "adamw_bnb_8bit") == 1
    assert not list(folder.iterdir())


def test_two_processes(encoder: Path, easy: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:  # noqa: F811
    """Two processes train all seeds."""
    log, folder = tmp_path / "log", tmp_path / "out"
    line = ["--model_name_or_path", str(encoder), "--train_file", str(easy), "--output_dir", str(folder)]
    line += ["--text_columns", "text", "--max_length", "32", "--learning_rate", "5e-3", *OPTIONS, "--seeds", "2"]
    assert start(log, *launch, *line).wait(300) == 0, log.read_text()[-3000:]
    assert list(record(folder)["seeds"]) == ["7", "8"]
    assert not list(folder.glob("seeds"))
    assert log.read_text().count("tokenizing ...") == 2
