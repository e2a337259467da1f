"""The record of a training: which checkpoints a training may start from."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.arguments import DataArguments
from training.data.dataset import load_data
from training.data.record import check_start
from training.errors import DataError

EMBEDDED = DataArguments(dataset="wisconsin")


def write_record(folder: Path, arguments: dict[str, Any], **data: Any) -> Path:
    """Writes the record of a training on the embedded data."""
    content = {"sha256": load_data(EMBEDDED).sha256, "files": load_data(EMBEDDED).files, **data}
    (folder / "training.json").write_text(json.dumps({"data_arguments": arguments, "data": content}))
    return folder


def test_start_with_another_label_order(tmp_path: Path) -> None:
    """A training may start from a checkpoint with another order of labels, because the splits are the same."""
    folder = str(write_record(tmp_path, {"dataset": "wisconsin", "label_order": ["benign", "malignant"]}))
    check_start("--model_name_or_path", folder, load_data(EMBEDDED), EMBEDDED)
    write_record(tmp_path, {"dataset": "wisconsin", "split_seed": 7})
    with pytest.raises(DataError, match="another --split_seed"):
        check_start("--model_name_or_path", folder, load_data(EMBEDDED), EMBEDDED)
