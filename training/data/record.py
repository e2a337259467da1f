"""`training.json`: reads a checkpoint's record, and loads its data set with the same splits.

Its paths are relative to the checkpoint, so that it does not name the folders of a machine.
"""

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..arguments import LATEST, Arguments, DataArguments
from ..errors import DataError
from .dataset import LabelledData, load_data

RECORD = "training.json"
SCHEMA_MAJOR = 2
PATHS = ("train_file", "validation_file", "test_file", "label_names_file")
ENCODERS = ("model_name_or_path", "teacher")


def with_relative_paths(arguments: Arguments) -> Arguments:
    """Returns the arguments with the paths of files and folders relative to the output folder.

    Packaged encoders and hub ids stay, as they are no folders.
    """
    folder = os.path.realpath(arguments.training.output_dir)

    def relative(path: str) -> str:
        return os.path.relpath(os.path.realpath(path), folder)

    data, encoder, training = copy.copy(arguments.data), copy.copy(arguments.encoder), copy.copy(arguments.training)
    for name in PATHS:
        if (path := getattr(data, name)) is not None:
            setattr(data, name, relative(path))
    for name in ENCODERS:
        if (path := getattr(encoder, name)) is not None and Path(path).exists():
            setattr(encoder, name, relative(path))
    if training.resume_from_checkpoint not in (None, LATEST):
        training.resume_from_checkpoint = relative(training.resume_from_checkpoint)
    return arguments._replace(data=data, encoder=encoder, training=training)


def read_record(checkpoint: str) -> dict[str, Any]:
    """Reads a checkpoint's record; its paths are absolute in the result.

    Raises:
        DataError: There is no record, `python -m training` did not write it, or another version of Litmus did.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        raise DataError(f"{checkpoint} has no {RECORD}; expected a checkpoint folder written by `python -m training`")
    try:
        record = json.loads(path.read_text("utf-8"))
        check_schema(record, checkpoint)
        arguments, encoder = asdict(DataArguments(**record["data_arguments"])), record.get("encoder_arguments", {})
        arguments |= {name: _resolved(checkpoint, arguments[name]) for name in PATHS if arguments[name] is not None}
        record["data_arguments"] = arguments
        for name in ENCODERS:
            if (encoder.get(name) or "").startswith(os.pardir):  # not a hub id, nor packaged
                encoder[name] = _resolved(checkpoint, encoder[name])
        record["data"]["sha256"], set(record["data"]["files"])
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} was not written by `python -m training`, or is damaged; train again") from error
    return dict(record)


def _resolved(checkpoint: str, path: str) -> str:
    """Returns the absolute path of a path in a record; records of earlier versions have absolute ones."""
    return os.path.normpath(Path(checkpoint).resolve() / path)


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
    for name in PATHS:
        path = record["data_arguments"][name]
        if path is not None and not Path(path).exists():
            raise DataError(
                f"--{name} of {checkpoint} is missing, expected {path}; put the file there, or write its path, "
                f"relative to the checkpoint, into data_arguments of {RECORD}"
            )
    try:
        data = load_data(DataArguments(**record["data_arguments"]))
    except TypeError as error:  # an argument of another type
        raise DataError(
            f"{checkpoint}/{RECORD} was not written by `python -m training`, or is damaged; train again"
        ) from error
    if data.sha256 != record["data"]["sha256"]:
        raise DataError(f"the data set of {checkpoint} has changed since the training; train again")
    return data
