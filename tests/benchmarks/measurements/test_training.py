"""`training` trains one epoch on the same rows in three ways."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from benchmarks.__main__ import main
from benchmarks.measurements import training
from training.arguments import EncoderArguments
from training.model.encoder import load_tokenizer

pytestmark = pytest.mark.slow


def test_training(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each way trains, and each speedup is the ratio of rows per second to the notebook's."""
    output = tmp_path / "report.json"
    arguments = ["--checkpoint", trained[0], "--rows", "8", "--rounds", "1", "--output", str(output)]
    assert main(["training", *arguments]) == 0
    report = json.loads(output.read_text())
    assert report["settings"]["rows"] == 8
    results = report["results"]
    assert list(results) == ["notebook", "padded", "litmus"]
    base = results["notebook"]["rows_per_second"]
    table = capsys.readouterr().out
    for name, result in results.items():
        assert result["speedup"] == pytest.approx(result["rows_per_second"] / base)
        assert f"| {name} | {result['rows_per_second']:.1f} |" in table


@pytest.mark.parametrize("way", ["notebook", "litmus"])
def test_texts_are_cleaned(ragged: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Each way applies the cleaning steps of the checkpoint's own training."""
    seen = []

    def spy(arguments: EncoderArguments, cleaning: Sequence[str] = ()) -> PreTrainedTokenizerFast:
        seen.extend(cleaning)
        return load_tokenizer(arguments, cleaning)

    monkeypatch.setattr(training, "load_tokenizer", spy)
    assert training.epoch(ragged[0], way, 8) > 0
    assert set(seen) == {"squeeze_spaces"}
