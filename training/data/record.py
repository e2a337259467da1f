"""`training.json`: reads a checkpoint's record, and loads its data set with the same splits."""

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
        DataError: There is no record, `python -m training` did not write it, or another version of Litmus did.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        raise DataError(f"{checkpoint} has no {RECORD}; expected a checkpoint folder written by `python -m training`")
    try:
        record = json.loads(path.read_text("utf-8"))
        check_schema(record, checkpoint)
        record["data_arguments"] = asdict(DataArguments(**record["data_arguments"]))
        record["data"]["sha256"], set(record["data"]["files"])
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} was not written by `python -m training`, or is damaged; train again") from error
    return dict(record)


def check_schema(record: Mapping[str, Any], checkpoint: str) -> None:
    """Rejects a record whose schema has another major version; a record without a version passes.

    Raises:
        DataError: The major version is not `SCHEMA_MAJOR`.
    """
    version = record.get("schema_version", f"{SCHEMA_MAJOR}.0")
    if not isinstance(version, str) or version.partition(".")[0] != str(SCHEMA_MAJOR):
        raise DataError(
            f"{checkpoint}/{RECORD}: expected schema_version {SCHEMA_MAJOR}.x, found {version!r:.80}; "
            "train again with this version of Litmus, or install the version that wrote it"
        )


def without_paths(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data arguments without the paths of files, whose content is compared by fingerprint."""
    return {name: value for name, value in arguments.items() if name not in PATHS}


def check_start(option: str, checkpoint: str, data: LabelledData, arguments: DataArguments) -> None:
    """Rejects a starting checkpoint whose cleaning differs, or that used the same files with other splits.

    Otherwise test texts could leak into the training. A checkpoint without a record passes: Litmus did not train it,
    and its training data is unknown.

    Raises:
        DataError: The checkpoint may have been trained on texts of the test split, its cleaning differs, or its record
            cannot be read.
    """
    if not (Path(checkpoint) / RECORD).is_file():
        return
    record = read_record(checkpoint)
    now, before = _reading(arguments), _reading(DataArguments(**record["data_arguments"]))
    if (
        now["cleaning"] != before["cleaning"]
    ):  # its tokenizer keeps cleaning, and duplicates must be detected in the same way
        raise DataError(f"{option} {checkpoint} was trained with another --cleaning; pass the one in its {RECORD}")
    others = [f"--{name}" for name in now if now[name] != before.get(name, now[name])]
    if record["data"]["sha256"] != data.sha256:
        others.append("set of files")
    if set(record["data"]["files"]) & set(data.files) and others:
        raise DataError(
            f"{option} {checkpoint} was trained on this data with another {', another '.join(others)}, so its "
            f"training may have included test texts; pass the arguments in its {RECORD}"
        )


def _reading(arguments: DataArguments) -> dict[str, Any]:
    """Returns the arguments that affect rows and splits; the size of a split with its own file does not."""
    test, validation = arguments.test_file is not None, arguments.validation_file is not None
    unused = {"test_size": test, "validation_size": validation, "split_seed": test and validation, "label_order": True}
    return {name: value for name, value in without_paths(asdict(arguments)).items() if not unused.get(name)}


def training_data(checkpoint: str) -> LabelledData:
    """Loads the checkpoint's data set with the same splits.

    Raises:
        DataError: The checkpoint has no usable record, or the data set is missing or has changed.
    """
    record = read_record(checkpoint)
    try:
        data = load_data(DataArguments(**record["data_arguments"]))
    except TypeError as error:  # an argument of another type
        raise DataError(
            f"{checkpoint}/{RECORD} was not written by `python -m training`, or is damaged; train again"
        ) from error
    if data.sha256 != record["data"]["sha256"]:
        raise DataError(f"the data set of {checkpoint} has changed since the training; train again")
    return data
