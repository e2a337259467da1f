"""What several test files of jobs share."""

from pathlib import Path

import pytest

from .jobs import TEXTS, write_rows


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A JSON Lines file of six texts with ids."""
    return write_rows(tmp_path / "notes.jsonl", TEXTS)
