"""`throughput` runs the same texts through the same session and compares the logits."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.__main__ import main
from benchmarks.harness.runner import Contender
from benchmarks.measurements.throughput import _padding, _promises_same_logits
from runtime import Classifier, load
from training.data.record import training_data

pytestmark = pytest.mark.slow

NAMES = ["padded", "litmus", "litmus-stream", "pipeline"]


def throughput(trained: tuple[str, str], output: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs the command and returns its exit status and report."""
    checkpoint, artifact = trained
    where = ["--model", artifact, "--checkpoint", checkpoint, "--output", str(output)]
    status = main(["throughput", *where, "--rounds", "2", "--threads", "1", *arguments])
    return status, json.loads(output.read_text())


def test_throughput(ragged: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All ways run the same texts of the test split, and int8 logits are bit-identical in all batches."""
    status, report = throughput(ragged, tmp_path / "report.json", "--texts", "1000")
    table = capsys.readouterr().out
    assert status == 0
    texts = training_data(ragged[0]).test.texts
    tokens = sum(load(ragged[1], provider="cpu").predict(text).n_tokens for text in texts)
    assert report["settings"] | {"texts": 24, "texts_asked": 1000, "tokens": tokens} == report["settings"]
    assert "Throughput on 24 texts of the test split (1000 were requested), " in table
    assert 0.2 < report["settings"]["padding"] < 0.8
    assert report["variant"] == "int8"
    results = report["results"]
    assert list(results) == NAMES
    for name, result in results.items():
        assert re.search(rf"^\| {name} \| {result['texts_per_s']:.1f} \|", table, re.MULTILINE)
        assert result["runs"] == 2
        assert result["texts_per_s"] == pytest.approx(24 / result["median_s"])
        assert result["tokens_per_s"] == pytest.approx(tokens / result["median_s"])
        assert result["speedup"] == pytest.approx(results["padded"]["median_s"] / result["median_s"])
    for name in ("litmus", "litmus-stream"):
        assert results[name]["same_logits"]
        assert results[name]["max_logit_difference"] == 0
    assert report["failures"] == {}
    assert table.count("| bit-identical |") == 2


def test_other_logits_are_noticed(
    ragged: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Static int8 logits that differ from those of the padded batches make the benchmark fail."""
    original = Classifier.logits

    def logits(classifier: Classifier, texts: list[str]) -> npt.NDArray[np.float32]:
        return original(classifier, texts) + np.float32(0.25)

    monkeypatch.setattr(Classifier, "logits", logits)
    status, report = throughput(ragged, tmp_path / "report.json", "--texts", "5")
    assert status == 1
    assert report["settings"]["texts"] == 5
    for name in ("litmus", "litmus-stream"):
        assert not report["results"][name]["same_logits"]
        assert report["results"][name]["max_logit_difference"] == pytest.approx(0.25, abs=1e-5)
        assert report["failures"][name].startswith(f"{name}: static int8 must give the logits of `padded`")
        assert report["failures"][name].endswith("differ by up to 2.5e-01")
    table = capsys.readouterr().out
    assert table.count("| up to 2.5e-01 |") == 2
    assert "Throughput on 5 texts of the test split, " in table


def test_a_pipeline_that_dies(ragged: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline whose process ends is reported, and the other ways are measured."""
    original = Contender.time

    def die(contender: Contender, batches: list[list[str]]) -> list[float]:
        contender._process.kill()
        return original(contender, batches)

    monkeypatch.setattr(Contender, "time", die)
    status, report = throughput(ragged, tmp_path / "report.json", "--texts", "5")
    assert status == 1
    assert list(report["results"]) == NAMES[:-1]
    assert "pipeline (benchmarks.contenders.pipeline): its process ended" in report["failures"]["pipeline"]


def test_only_static_int8_promises_the_same_logits(trained: tuple[str, str]) -> None:
    """Static int8 logits must not depend on the batch; fp32 logits may, as fp32 sums in a different order."""
    promises = {
        name: _promises_same_logits(load(trained[1], provider="cpu", variant=name)) for name in ("int8", "fp32")
    }
    assert promises == {"int8": True, "fp32": False}


def test_padding_is_of_batches_of_32_in_the_given_order() -> None:
    """31 short texts padded to a long one count as padding, and a batch of one text has none."""
    assert _padding([1] * 31 + [11] + [5]) == pytest.approx(1 - (31 + 11 + 5) / (32 * 11 + 5))
