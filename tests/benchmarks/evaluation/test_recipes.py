"""On the held-out rows of every recipe, an evaluation has the figures of the training report and of scikit-learn."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import classification_report, f1_score

from benchmarks.__main__ import main
from export.__main__ import main as export
from training.__main__ import main as train
from training.data.record import training_data

from ...models import bert, write_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"
FILES: dict[str, dict[str, str]] = {
    "breast_cancer": {},
    "clinical_dialogue": {"train_file": "mts_dialog/MTS-Dialog-TrainingSet.csv"},
    "medical_abstracts": {"train_file": "medical_abstracts/medical_abstracts.csv"},
    "toxic_comments": {"train_file": "youtoxic/youtoxic_english_1000.csv"},
    "banking77": {"train_file": "banking77/train.csv", "test_file": "banking77/test.csv"},
    "goemotions": {
        "train_file": "goemotions/dev.tsv",
        "test_file": "goemotions/test.tsv",
        "label_names_file": "goemotions/labels.txt",
    },
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not at ../shared/data")
@pytest.mark.parametrize("recipe", FILES)
def test_figures_of_a_recipe(recipe: str, torch_traces_once: None, tmp_path: Path) -> None:
    """All figures that both compute are equal to the last printed digit."""
    encoder = write_checkpoint(tmp_path / "encoder", bert("single_label"))
    checkpoint, artifact = str(tmp_path / "checkpoint"), str(tmp_path / "artifact")
    files = [f"--{option}={DATA / path}" for option, path in FILES[recipe].items()]
    brief = [
        "--max_steps",
        "2",
        "--num_train_epochs",
        "1",
        "--no_head_start",
        "--max_length",
        "32",
        "--disable_tqdm",
        "true",
    ]
    model = ["--model_name_or_path", str(encoder), "--output_dir", checkpoint]
    assert train([str(ROOT / f"training/recipes/{recipe}.json"), *files, *model, *brief]) == 0
    assert export([checkpoint, artifact, "--variants", "fp32"]) == 0
    layout = write_held_out(tmp_path / "held_out.csv", checkpoint)
    paths = ["--model", artifact, "--data", str(tmp_path / "held_out.csv"), "--output_dir", str(tmp_path / "out")]
    assert main(["evaluate", *paths, *layout]) == 0
    record = json.loads((Path(checkpoint) / "training.json").read_text())
    found = json.loads((tmp_path / "out/evaluation.json").read_text())
    expected = record["metrics"]["test"]
    names = set(expected) & set(found["metrics"])
    assert len(names) >= 5
    assert {name: f"{found['metrics'][name]:.4f}" for name in names} == {
        name: f"{expected[name]:.4f}" for name in names
    }
    true, predicted = predictions(tmp_path / "out/predictions.csv")
    labels = sorted({label for row in (*true, *predicted) for label in row})
    flags = [[[label in row for label in labels] for row in rows] for rows in (true, predicted)]
    assert found["metrics"]["weighted_f1"] == pytest.approx(f1_score(*flags, average="weighted", zero_division=0))
    report = classification_report(*flags, target_names=labels, output_dict=True, zero_division=0)
    for label in labels:
        figures = found["labels"][label]
        assert [figures[name] for name in ("precision", "recall", "f1", "rows")] == pytest.approx(
            [report[label][name] for name in ("precision", "recall", "f1-score", "support")]
        )


def write_held_out(path: Path, checkpoint: str) -> list[str]:
    """Writes the test split of a checkpoint with one label column; returns the options that read it."""
    data = training_data(checkpoint)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for text, target in zip(data.test.texts, data.test.targets, strict=True):
            names: Any = [data.labels[int(target)]] if data.task == "single_label" else named(target, data.labels)
            writer.writerow([text, "|".join(names)])
    columns = ["--text_columns", "text", "--label_columns", "label"]
    return columns if data.task == "single_label" else [*columns, "--label_separator", "|"]


def named(flags: Any, labels: tuple[str, ...]) -> list[str]:
    """Returns the names of the labels of a multi-label row."""
    return [label for label, flag in zip(labels, flags, strict=True) if flag]


def predictions(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Reads the true and the predicted labels of `predictions.csv`."""
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    return tuple(
        [row[column].split("|") if row[column] else [] for row in rows] for column in ("label", "label_predicted")
    )  # type: ignore[return-value]
