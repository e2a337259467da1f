"""`footprint` measures fresh processes of the runtime, and its figures show growth and idle work."""

import json
import mmap
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.harness import footprint_worker, isolated
from benchmarks.harness.environments import ROOT
from runtime import Classifier, Prediction, load

from ...models import MAX_LENGTH

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which only Linux has")
TICK_S = 0.02
PREDICT = Classifier.predict


@linux
def test_footprint(int8_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has every figure, and the figures are consistent."""
    output = tmp_path / "footprint.json"
    numbers = ["--calls", "50", "--repeats", "2"]
    assert main(["footprint", "--model", str(int8_artifact), "--output", str(output), *numbers]) == 0
    report = json.loads(output.read_text())
    assert report["variant"] == "int8"
    start, memory, idle = report["start"], report["memory"], report["idle_cpu_s"]
    assert list(idle) == ["latency", "shared"]
    for seconds in (start["outside_s"], start["inside_s"], *idle.values()):
        assert 0 <= seconds["min"] <= seconds["median"] <= seconds["max"]
    assert 0.01 < start["inside_s"]["min"] <= start["outside_s"]["min"] + TICK_S
    assert 10 < start["peak_mb"] < 500
    assert 10 < memory["after_first_calls_mb"] <= memory["peak_mb"] + 1
    assert memory["after_calls_mb"] <= memory["peak_mb"] + 1
    assert memory["growth_mb"] == pytest.approx(memory["after_calls_mb"] - memory["after_first_calls_mb"])
    assert memory["tokens"] == [3, MAX_LENGTH]
    assert (
        "| memory growth in 50 more calls | +" in (table := capsys.readouterr().out)
        or "| memory growth in 50 more calls | -" in table
    )
    assert f"| CPU time in the second after a call, profile shared | {idle['shared']['median']:.3f} (" in table


def test_processes_import_the_runtime_alone() -> None:
    """The measured processes import the runtime and none of the training stack, as a service does."""
    code = (
        "import sys, benchmarks.harness.footprint_worker, benchmarks.measurements.overhead\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    line = [sys.executable, "-c", code]
    loaded = set(subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())
    assert {"runtime", "onnxruntime"} <= loaded
    assert not loaded & {"torch", "transformers", "sklearn", "training", "export", "onnx", "cpuinfo"}


@linux
def test_time_since_start_is_of_the_whole_life() -> None:
    """The time since start includes what a process does before its first import."""
    code = (
        "import time; time.sleep(0.3)\n"
        "from benchmarks.harness.footprint_worker import since_start_s; print(since_start_s())"
    )
    start = time.perf_counter()
    line = [sys.executable, "-c", code]
    inside_s = float(subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert 0.3 <= inside_s <= time.perf_counter() - start + TICK_S


@linux
def test_start_ends_with_the_label(
    artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read after the label has been printed."""
    monkeypatch.setattr(footprint_worker, "since_start_s", lambda: capsys.readouterr().out)
    expected = load(artifact, provider="cpu").predict(footprint_worker.FIRST_TEXT).label
    assert footprint_worker.first_prediction(str(artifact))["inside_s"] == f"{expected}\n"


@linux
def test_growth_is_noticed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that keeps 200 kB per call is reported to grow by about 20 MB in a hundred calls."""
    kept: list[mmap.mmap] = []

    def leak(classifier: Classifier, text: str) -> Prediction:
        kept.append(mmap.mmap(-1, 200_000))  # not from what earlier tests gave back
        kept[-1].write(b"x" * 200_000)
        return PREDICT(classifier, text)

    monkeypatch.setattr(Classifier, "predict", leak)
    found = footprint_worker.memory_growth(str(artifact), calls=100)
    assert 18 < found["last"]["resident_mb"] - found["first"]["resident_mb"] < 40


@linux
def test_lengths_are_random_and_the_same_again(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lengths cover one word to the maximum, are the same in every run, and no text is truncated."""
    seen: list[Prediction] = []

    def spy(classifier: Classifier, text: str) -> Prediction:
        seen.append(PREDICT(classifier, text))
        return seen[-1]

    monkeypatch.setattr(Classifier, "predict", spy)
    footprint_worker.memory_growth(str(artifact), calls=400)
    first, seen = [prediction.n_tokens for prediction in seen[2:]], []
    footprint_worker.memory_growth(str(artifact), calls=400)
    assert first == [prediction.n_tokens for prediction in seen[2:]]
    assert len(first) == footprint_worker.FIRST_CALLS + 400
    assert set(first) == set(range(3, MAX_LENGTH + 1))
    assert not any(prediction.truncated for prediction in seen[2:])


@pytest.mark.parametrize("profile", ["latency", "shared"])
def test_cpu_time_after_a_call_is_noticed(artifact: Path, monkeypatch: pytest.MonkeyPatch, profile: Any) -> None:
    """A thread that computes for 0.2 s after each call is measured, and the requested profile is used."""

    def compute() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    def predict(classifier: Classifier, text: str) -> Prediction:
        profiles.add(classifier.info()["load_options"]["profile"])
        thread = threading.Thread(target=compute)
        thread.start()
        threads.append(thread)
        return PREDICT(classifier, text)

    profiles: set[str] = set()
    threads: list[threading.Thread] = []
    monkeypatch.setattr(footprint_worker, "IDLE_CALLS", 1)
    monkeypatch.setattr(Classifier, "predict", predict)
    cpu_s = footprint_worker.idle_cpu_s(str(artifact), profile)
    for thread in threads:
        thread.join()
    assert 0.1 < cpu_s < 1
    assert profiles == {profile}


def test_a_process_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """A failed process shows its own message, and the error names the function and the exit status."""
    with pytest.raises(BenchmarkError, match=r"first_prediction: its process failed \(exit status 1\)"):
        isolated.run_in_subprocess(footprint_worker.first_prediction, model="/absent")
    assert "no artifact at /absent" in capfd.readouterr().err


@linux
def test_no_artifact(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing artifact is an error of one line and exit status 1."""
    assert main(["footprint", "--model", "absent"]) == 1
    assert capsys.readouterr().err.startswith("error: no artifact at absent")


def test_elsewhere_than_on_linux(
    artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a platform without /proc the error names the platform and Linux."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["footprint", "--model", str(artifact)]) == 1
    assert capsys.readouterr().err == "error: footprint needs /proc, which darwin does not have; run it on Linux\n"
