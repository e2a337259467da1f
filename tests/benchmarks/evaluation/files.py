"""Runs `python -m benchmarks evaluate` on small files."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.__main__ import main
from training.data.record import training_data

COLUMNS = ("--text_columns", "text", "--label_columns", "label")


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def held_out(checkpoint: str) -> list[dict[str, Any]]:
    """Returns the test split of a single-label checkpoint."""
    data = training_data(checkpoint)
    return [
        {"id": str(row), "text": text, "label": data.labels[target]}
        for row, (text, target) in enumerate(zip(data.test.texts, data.test.targets, strict=True))
    ]


def evaluate(model: str | Path, data: Path, output: Path, *options: str, columns: Sequence[str] = COLUMNS) -> int:
    """Runs the command; returns its exit status."""
    paths = ["--model", str(model), "--data", str(data), "--output_dir", str(output)]
    return main(["evaluate", *paths, *columns, *options])
