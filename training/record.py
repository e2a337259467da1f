"""Finds the texts a checkpoint was trained and tested on again, from what its record says."""

import json
from pathlib import Path

from .arguments import DataArguments
from .data import LabelledData, load_data
from .errors import DataError

RECORD = "training.json"


def training_data(checkpoint: str) -> LabelledData:
    """Reads the checkpoint's data set again and splits it the same way.

    Raises:
        DataError: The checkpoint has no record, or the data set is gone or has changed.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        raise DataError(f"{checkpoint} has no {RECORD}; expected a checkpoint folder that `python -m training` wrote")
    try:
        record = json.loads(path.read_text("utf-8"))
        arguments, sha256 = DataArguments(**record["arguments"]), record["data"]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a record that `python -m training` wrote; train again") from error
    try:
        data = load_data(arguments)
    except TypeError as error:  # a number where a name belongs, or the like
        raise DataError(f"{path} is not a record that `python -m training` wrote; train again") from error
    if data.sha256 != sha256:
        raise DataError(f"the data set of {checkpoint} has changed since the training; train again")
    return data
