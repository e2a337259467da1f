"""Progress of an export: bars on a terminal, lines elsewhere, and no messages of libraries in between."""

import io
import logging
import sys
import warnings

import pytest
from transformers.utils import logging as transformers_logging

from export.console import log_progress, phase, quiet


class Terminal(io.StringIO):
    """Stands for standard error on a terminal."""

    def isatty(self) -> bool:
        """Returns True."""
        return True


@pytest.fixture(autouse=True)
def _bars_are_enabled() -> None:
    """Enables transformers' bars, which `python -m training` disables for its whole process."""
    transformers_logging.enable_progress_bar()


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replaces standard error, within the test because pytest replaces it before."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar counts steps, and ends at 100 % if the phase needs fewer steps than expected."""
    terminal = open_terminal(monkeypatch)
    with phase("search", steps=2, line="searching ...") as progress:
        assert list(progress.track("ab")) == ["a", "b"]
        progress.expect(10)
        progress.advance()
    frames = [frame.strip() for frame in terminal.getvalue().split("\r")]
    assert "0% |" in frames[1]
    assert "left" in frames[1]
    assert "100% |" in frames[-1]
    assert "3/3" in frames[-1]
    assert "left" not in frames[-1]
    assert "searching" not in terminal.getvalue()


def test_bar_without_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase without steps shows its elapsed time alone."""
    terminal = open_terminal(monkeypatch)
    with phase("export graph"):
        pass
    assert terminal.getvalue().split("\r")[-1].split() == ["export", "graph", "00:00"]


def test_line_between_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line stands alone, after the bar of a finished phase."""
    terminal = open_terminal(monkeypatch)
    with phase("parity", steps=1) as progress:
        progress.advance()
    log_progress("  result")
    assert terminal.getvalue().endswith("  result\n")


def test_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a phase is one line, or none."""
    with phase("calibrate", steps=9, line="calibrating ...") as progress:
        progress.advance()
        progress.expect(2)
    with phase("load"):
        pass
    assert capsys.readouterr().err == "calibrating ...\n"


def test_interrupted_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted phase leaves its bar as it was and ends the line."""
    terminal = open_terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt), phase("search", steps=2) as progress:
        progress.advance()
        raise KeyboardInterrupt
    assert "1/2" in terminal.getvalue().split("\r")[-1]
    assert terminal.getvalue().endswith("\n")


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings, logs and bars are silent inside, and as before outside."""
    logger, verbosity = logging.getLogger("onnx_ir"), transformers_logging.get_verbosity()
    with quiet():
        warnings.warn("shape is a guess", stacklevel=1)
        logger.warning("shape is a guess")
        transformers_logging.get_logger("transformers.x").warning("some weights are new")
        assert not transformers_logging.is_progress_bar_enabled()
    assert capsys.readouterr().err == ""
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled()
    with pytest.warns(UserWarning, match="guess"):
        warnings.warn("shape is a guess", stacklevel=1)


def test_quiet_lets_errors_through() -> None:
    """An exception passes, and the settings are restored."""
    with pytest.raises(ValueError, match="damaged"), quiet():
        message = "damaged"
        raise ValueError(message)
    assert transformers_logging.is_progress_bar_enabled()
