"""`training`: the same rows, one epoch, three ways."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main


@pytest.mark.slow
def test_training(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each way trains in a process of its own, and the ratios are those of the medians."""
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
        assert result["times_faster"] == pytest.approx(result["rows_per_second"] / base)
        assert f"| {name} | {result['rows_per_second']:.1f} |" in table
