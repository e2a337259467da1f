"""`training.json`: reads what a checkpoint was trained on, and finds those texts again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .arguments import DataArguments
from .data import LabelledData, load_data
from .errors import DataError

RECORD = "training.json"
PATHS = ("train_file", "validation_file", "test_file", "label_names_file")


def read_record(checkpoint: str) -> dict[str, Any]:
    """Reads a checkpoint's record.

    Raises:
        DataError: There is none, or it is not one of training's.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        raise DataError(f"{checkpoint} has no {RECORD}; expected a checkpoint folder that `python -m training` wrote")
    try:
        record = json.loads(path.read_text("utf-8"))
        DataArguments(**record["data_arguments"])
        record["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is not a record that `python -m training` wrote; train again") from error
    return dict(record)


def without_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data arguments that matter wherever the files lie; the fingerprint speaks for their content."""
    return {name: value for name, value in arguments.items() if name not in PATHS}


def check_split(option: str, checkpoint: str, data: LabelledData, arguments: DataArguments) -> None:
    """Refuses to start from a checkpoint that learned from other rows of the same files; others have no such record.

    Raises:
        DataError: It may know the test part.
    """
    try:
        record = read_record(checkpoint)
    except DataError:
        return
    now, before = without_paths(asdict(arguments)), without_paths(asdict(DataArguments(**record["data_arguments"])))
    if record["data"]["sha256"] == data.sha256 and now != before:
        names = ", ".join(sorted(name for name in now if now[name] != before[name]))
        raise DataError(
            f"{option} {checkpoint} was trained on another split of this data ({names}), and may know the test part; "
            f"{RECORD} there has its arguments"
        )


def training_data(checkpoint: str) -> LabelledData:
    """Reads the checkpoint's data set again and splits it the same way.

    Raises:
        DataError: The checkpoint has no record, or the data set is gone or has changed.
    """
    record = read_record(checkpoint)
    try:
        data = load_data(DataArguments(**record["data_arguments"]))
    except TypeError as error:  # a number where a name belongs, or the like
        raise DataError(
            f"{checkpoint}/{RECORD} is not a record that `python -m training` wrote; train again"
        ) from error
    if data.sha256 != record["data"]["sha256"]:
        raise DataError(f"the data set of {checkpoint} has changed since the training; train again")
    return data
