"""Progress: lines in the log, and bars on a terminal."""

import io
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
    """A time is formatted in units for people."""
    assert duration(seconds) == text


def test_phase_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A phase that fails has a line at its start and none at its end."""
    caplog.set_level("INFO")
    with pytest.raises(ValueError, match="broken"), phase("reading"):
        raise ValueError("broken")
    assert [record.getMessage() for record in caplog.records] == ["reading ..."]


@pytest.mark.slow
def test_every_phase_has_a_line(encoder: Path, easy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each phase has a line at its start and one with its time, and the last line is the total."""
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


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """A terminal is one."""
        return True


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """On a terminal a phase draws a bar with the time left, erases it, and logs only its time."""
    terminal = Terminal()
    caplog.set_level("INFO")
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("training.phases.REDRAW_S", 0)
    with phase("reading", 4) as running:
        running.advance()
        running.note = "second half"
        running.advance(3)
    empty, quarter, full, end = terminal.getvalue().split("\r")
    assert empty == f"reading [{'.' * 20}]   0%\033[K"
    assert re.fullmatch(r"reading \[#{5}\.{15}\]  25%, 0:00:\d\d left\033\[K", quarter)
    assert full == f"reading, second half [{'#' * 20}] 100%, 0:00:00 left\033[K"
    assert end == "\033[K"
    assert [record.getMessage() for record in caplog.records] == ["reading: 0.0 s"]


@pytest.mark.slow
def test_every_epoch_has_a_line(encoder: Path, easy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each epoch has one line with losses, metric and time, and nothing else of the training is printed."""
    caplog.set_level("INFO")
    arguments = ("--label_columns", "label", "--num_train_epochs", "2")
    assert train(encoder, easy, tmp_path / "out", *arguments) == 0
    lines = [record.getMessage() for record in caplog.records]
    start, end = lines.index("training ..."), lines.index("final evaluation ...")
    figures = r"training loss [\d.]+, validation loss [\d.]+, macro_f1 [\d.]+, [\d.]+ s"
    first, second, last = lines[start + 1 : end]
    assert re.fullmatch(rf"epoch 1 of 2: {figures}", first)
    assert re.fullmatch(rf"epoch 2 of 2: {figures}", second)
    assert last.startswith("training: ")
