"""Short trainings on easy rows, for tests of what comes of them."""

import csv
from pathlib import Path
from typing import Any

from training.__main__ import main

WORDS = {"late": "the train was late again", "fine": "everything went well today", "loud": "too much noise at night"}

CLEANING = ("--cleaning", r"drop:(?i)\bdoctor:")


def easy_rows(count: int = 40) -> list[dict[str, Any]]:
    """Rows of three labels that a word tells apart; no text comes twice."""
    return [{"text": f"{text} {index}", "label": label} for index in range(count) for label, text in WORDS.items()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def command(encoder: Path, data: Path, output: Path, *arguments: str) -> list[str]:
    """Returns the arguments of a brief training."""
    fixed = ["--model_name_or_path", str(encoder), "--max_length", "32", "--learning_rate", "5e-3"]
    paths = ["--train_file", str(data), "--output_dir", str(output), "--text_columns", "text"]
    return [*paths, *fixed, "--num_train_epochs", "8", *arguments]


def train(encoder: Path, data: Path, output: Path, *arguments: str) -> int:
    """Trains briefly; returns the exit status."""
    return main(command(encoder, data, output, *arguments))
