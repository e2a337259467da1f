"""Decision parameters requested on the command line, without training data."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.__main__ import main
from runtime import load
from runtime.artifact.manifest import Manifest

from ...models import FP32

pytestmark = pytest.mark.slow


def shipped(checkpoint: Path, tmp_path: Path, *options: str) -> Manifest:
    """Exports and returns the manifest."""
    assert main([str(checkpoint), str(tmp_path / "artifact"), *FP32, *options]) == 0
    return Manifest.from_json((tmp_path / "artifact/litmus.json").read_text("utf-8"))


def with_record(checkpoint: Path, tmp_path: Path, **sections: Any) -> Path:
    """Copies a checkpoint and gives it a record of training, without its data."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    (copy / "training.json").write_text(json.dumps({"schema_version": "2.0", "max_length": 48, **sections}))
    return copy


def test_thresholds(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """`--thresholds` takes precedence over `--threshold`, which sets every other label."""
    found = shipped(multi_label_checkpoint, tmp_path, "--thresholds", "rude=1", "late=0.25", "--threshold", "0.75")
    assert found.thresholds == (0.25, 0.75, 1, 0.75)


def test_single_thresholds_leave_the_others(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """Labels without a requested threshold keep training's, and the temperature stays."""
    learned = {"temperature": 2.0, "thresholds": [0.1, 0.2, 0.3, 0.4]}
    copy = with_record(multi_label_checkpoint, tmp_path, decisions=learned)
    found = shipped(copy, tmp_path, "--thresholds", "rude=0.9")
    assert found.thresholds == (0.1, 0.2, 0.9, 0.4)
    assert found.temperature == 2


BY_LABEL = {"vague": 0.4, "late": 0.1, "broken": 0.2, "rude": 0}


@pytest.mark.parametrize("content", [BY_LABEL, [0.1, 0.2, 0, 0.4]], ids=["by label", "list"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), (0.1, 0.2, 0, 0.4)),
        (("--thresholds", "rude=0.9"), (0.1, 0.2, 0.9, 0.4)),
        (("--threshold", "0.7"), (0.7,) * 4),
    ],
    ids=["alone", "one label", "every label"],
)
def test_thresholds_of_a_notebook(
    multi_label_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: Any,
    options: tuple[str, ...],
    expected: tuple[float, ...],
) -> None:
    """`best_thresholds.json` of a checkpoint that Litmus did not train sets the thresholds, below the command line."""
    copy = Path(shutil.copytree(multi_label_checkpoint, tmp_path / "checkpoint"))
    (copy / "best_thresholds.json").write_text(json.dumps(content))
    assert shipped(copy, tmp_path, *options).thresholds == expected
    said = "thresholds: from best_thresholds.json of the checkpoint" in capsys.readouterr().err.splitlines()
    assert said == ("--threshold" not in options)


def test_thresholds_beside_a_record(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """The thresholds that Litmus learned are not replaced by those of a `best_thresholds.json`."""
    copy = with_record(multi_label_checkpoint, tmp_path, decisions={"thresholds": [0.1, 0.2, 0.3, 0.4]})
    (copy / "best_thresholds.json").write_text("[1, 1, 1, 1]")
    assert shipped(copy, tmp_path).thresholds == (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    "content",
    [
        "[0.1, 0.2, 0.3]",
        "[0.1, 0.2, 0.3, 1.1]",
        "[0.1, 0.2, 0.3, NaN]",
        "[0.1, 0.2, 0.3, true]",
        '[0.1, 0.2, 0.3, "0.4"]',
        '{"late": 0.1, "broken": 0.2, "rude": 0.3}',
        '{"late": 0.1, "broken": 0.2, "rude": 0.3, "vague": null}',
        '{"late": 0.1, "broken": 0.2, "rude": 0.3, "Vague": 0.4}',
        "0.5",
        "{",
    ],
)
def test_thresholds_that_do_not_fit(
    multi_label_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """A `best_thresholds.json` that does not fit the labels is one line of error, and nothing is written."""
    copy = Path(shutil.copytree(multi_label_checkpoint, tmp_path / "checkpoint"))
    (copy / "best_thresholds.json").write_text(content)
    assert main([str(copy), str(tmp_path / "artifact"), *FP32]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    expected = "is not JSON" if content == "{" else "expected one score from 0 to 1 for each of the 4 labels"
    assert f"best_thresholds.json{'' if content == '{' else ':'} {expected}" in error
    assert not (tmp_path / "artifact").exists()


def test_figures_of_other_thresholds_are_left_out(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """Metrics that depend on training's thresholds are left out; the others stay."""
    metrics = {"test": {"micro_f1": 0.9, "exact_match": 0.8, "nll": 0.1}}
    copy = with_record(multi_label_checkpoint, tmp_path, metrics=metrics)
    assert shipped(copy, tmp_path, "--threshold", "0.7").metrics == {"nll": 0.1}


def test_label_with_an_equals_sign(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """The last equals sign separates label and score."""
    copy = Path(shutil.copytree(multi_label_checkpoint, tmp_path / "checkpoint"))
    config = json.loads((copy / "config.json").read_text())
    config["id2label"]["0"] = "a=b"
    (copy / "config.json").write_text(json.dumps(config))
    assert shipped(copy, tmp_path, "--thresholds", "a=b=0.25").thresholds == (0.25, 0.5, 0.5, 0.5)


def test_short_names(multi_label_checkpoint: Path, tmp_path: Path) -> None:
    """`--label-short-names` names some labels, and the others keep their own names."""
    found = shipped(multi_label_checkpoint, tmp_path, "--label-short-names", "rude=r")
    assert found.short_names == tuple("r" if label == "rude" else label for label in found.labels)


@pytest.mark.parametrize(
    ("names", "message"), [(["none=n"], "no label 'none'"), (["rude=late"], "two labels would have the same name")]
)
def test_wrong_short_names(
    multi_label_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], message: str
) -> None:
    """Unknown labels and names that are given twice are rejected, and nothing is written."""
    line = [str(multi_label_checkpoint), str(tmp_path / "artifact"), *FP32, "--label-short-names", *names]
    assert main(line) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "artifact").exists()


def test_abstain_level(checkpoint: Path, tmp_path: Path) -> None:
    """For a single-label classifier, `--threshold` is the score below which it abstains."""
    assert shipped(checkpoint, tmp_path, "--threshold", "1").abstain_below == 1
    assert load(tmp_path / "artifact", provider="cpu").predict("late").abstained


@pytest.mark.parametrize(
    ("which", "options", "message"),
    [
        ("checkpoint", ["--target-precision", "0.9"], "has no record of its training data, and --target-precision"),
        ("checkpoint", ["--thresholds", "calm=0.5"], "--thresholds is for multi-label models"),
        ("multi_label_checkpoint", ["--target-precision", "0.9"], "--target-precision is for single-label models"),
        ("multi_label_checkpoint", ["--thresholds", "Late=0.5"], "no label 'Late'; the labels are: late, broken"),
    ],
)
def test_requests_that_make_no_sense(
    which: str,
    options: list[str],
    message: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An impossible request gives one line of error before anything is exported."""
    assert main([str(request.getfixturevalue(which)), str(tmp_path / "artifact"), *FP32, *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "exporting" not in error
