"""`files` compares jobs with the same texts in memory."""

import csv
import json
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which only Linux has")
def test_files(int8_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has rows per second, CPU time and memory of every contender, and the memory of two sizes."""
    file, output = tmp_path / "notes.csv", tmp_path / "files.json"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["note"], *([f"train {number} was late"] for number in range(50))])
    numbers = ["--rows", "300", "--rounds", "2", "--memory_rows", "100"]
    texts = ["--texts_file", str(file), "--text_column", "note"]
    assert main(["files", "--model", str(int8_artifact), *texts, *numbers, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    assert list(report["results"]) == ["predict_many", "tokenizer_and_session", "jsonl", "parquet", "workers"]
    for runs in report["results"].values():
        assert len(runs) == 2
        assert all(run[key] > 0 for run in runs for key in ("rows_per_s", "cpu_us_per_row", "peak_mb"))
    assert [item["rows"] for item in report["memory"]] == [100, 1000]
    said = capsys.readouterr().out
    assert "| CSV to JSON Lines, `--workers 2` |" in said
    assert str(tmp_path) not in output.read_text()
