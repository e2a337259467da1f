"""The lines that say what a training is doing."""

import re
from pathlib import Path

import pytest

from training.phases import duration, phase

from .runs import train


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (245.4, "4 min 5 s"),
        (3599.6, "1 h 0 min"),
        (7400, "2 h 3 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """A time is spelt in the units that are read at a glance."""
    assert duration(seconds) == text


def test_phase_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It has a beginning and no end; its error is told elsewhere."""
    caplog.set_level("INFO")
    with pytest.raises(ValueError, match="broken"), phase("reading"):
        raise ValueError("broken")
    assert [record.getMessage() for record in caplog.records] == ["reading ..."]


def test_every_phase_has_a_line(encoder: Path, easy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each phase of a training has a line when it begins and one with its time, and the last is the total."""
    caplog.set_level("INFO")
    arguments = ("--label_columns", "label", "--num_train_epochs", "1", "--baselines")
    assert train(encoder, easy, tmp_path / "out", *arguments) == 0
    lines = [record.getMessage() for record in caplog.records]
    begun = [line.removesuffix(" ...") for line in lines if line.endswith(" ...")]
    expected = ["reading the data", "loading the encoder", "tokenizing", "head start", "training", "final evaluation"]
    assert begun[:6] == expected
    assert {"baselines", "TF-IDF, ridge", "report"} < set(begun)
    for name in begun:
        assert len([line for line in lines if re.fullmatch(rf"{name}: [\d.]+ s", line)]) == 1
    assert [line for line in lines if line.startswith("total: ")]
