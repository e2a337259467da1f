"""Runs jobs and reads what they wrote."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
TEXTS = [f"the train number {number} was late" for number in range(6)]


def command(artifact: Path, *arguments: object) -> list[str]:
    """Returns the command line of `python -m runtime.predict`."""
    return [
        sys.executable,
        "-m",
        "runtime.predict",
        "--model",
        str(artifact),
        "--provider",
        "cpu",
        *map(str, arguments),
    ]


def score(artifact: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Runs a job to its end."""
    return subprocess.run(command(artifact, *arguments), capture_output=True, text=True, cwd=ROOT, check=False)


def lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def predictions(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows of all parts in JSON Lines, in order."""
    return [row for part in sorted(folder.glob("part-*.jsonl")) for row in lines(part)]


def parts(folder: Path) -> Mapping[str, bytes]:
    """Returns the parts and rejects of a job, by name."""
    return {path.name: path.read_bytes() for path in [*folder.glob("part-*"), folder / "rejects.jsonl"]}


def write_rows(path: Path, texts: Sequence[str]) -> Path:
    """Writes texts with ids as JSON Lines."""
    path.write_text("".join(json.dumps({"id": row, "text": text}) + "\n" for row, text in enumerate(texts)), "utf-8")
    return path
