"""`training.json`: reads what a checkpoint was trained on, and finds those texts again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..arguments import DataArguments
from ..errors import DataError
from .dataset import LabelledData, load_data

RECORD = "training.json"
SCHEMA_MAJOR = 2
PATHS = ("train_file", "validation_file", "test_file", "label_names_file")


def read_record(checkpoint: str) -> dict[str, Any]:
    """Reads a checkpoint's record.

    Raises:
        DataError: There is none, it is not one of training's, or another version of Litmus wrote it.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        raise DataError(f"{checkpoint} has no {RECORD}; expected a checkpoint folder that `python -m training` wrote")
    try:
        record = json.loads(path.read_text("utf-8"))
        check_schema(record, checkpoint)
        record["data_arguments"] = asdict(DataArguments(**record["data_arguments"]))
        record["data"]["sha256"], set(record["data"]["files"])
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not a record that `python -m training` wrote; train again") from error
    return dict(record)


def check_schema(record: Mapping[str, Any], checkpoint: str) -> None:
    """Refuses the record of a version of Litmus whose fields may mean something else; without one it is ours.

    Raises:
        DataError: The major version is another.
    """
    version = record.get("schema_version", f"{SCHEMA_MAJOR}.0")
    if not isinstance(version, str) or version.partition(".")[0] != str(SCHEMA_MAJOR):
        raise DataError(
            f"{checkpoint}/{RECORD}: expected schema_version {SCHEMA_MAJOR}.x, found {version!r:.80}; "
            "train again with this version of Litmus, or install the version that wrote it"
        )


def without_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data arguments that matter wherever the files lie; the fingerprint speaks for their content."""
    return {name: value for name, value in arguments.items() if name not in PATHS}


def check_start(option: str, checkpoint: str, data: LabelledData, arguments: DataArguments) -> None:
    """Refuses to start from a checkpoint that read its texts otherwise, or one of the same files otherwise split.

    What has no record is not one of training's, and of others nobody knows.

    Raises:
        DataError: It may know the test part; or its record cannot be read.
    """
    if not (Path(checkpoint) / RECORD).is_file():
        return
    record = read_record(checkpoint)
    now, before = _reading(arguments), _reading(DataArguments(**record["data_arguments"]))
    if now["cleaning"] != before["cleaning"]:  # its tokenizer goes on cleaning, and duplicates have to be found so
        raise DataError(f"{option} {checkpoint} was trained with another --cleaning; pass what {RECORD} there has")
    others = [f"--{name}" for name in now if now[name] != before.get(name, now[name])]
    if record["data"]["sha256"] != data.sha256:
        others.append("set of files")
    if set(record["data"]["files"]) & set(data.files) and others:
        raise DataError(
            f"{option} {checkpoint} was trained on this data with another {', another '.join(others)}, so it may know "
            f"the test part; pass what {RECORD} there has"
        )


def _reading(arguments: DataArguments) -> dict[str, Any]:
    """Returns what rows and split depend on: parts that come as files are not cut."""
    test, validation = arguments.test_file is not None, arguments.validation_file is not None
    unused = {"test_size": test, "validation_size": validation, "split_seed": test and validation}
    return {name: value for name, value in without_paths(asdict(arguments)).items() if not unused.get(name)}


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
