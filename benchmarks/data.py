"""Finds the texts a checkpoint was trained and tested on again, from what `training.json` recorded."""

import json
from pathlib import Path

from runtime import ArtifactError, Classifier
from training.arguments import DataArguments
from training.checkpoint import RECORD
from training.data import LabelledData, load_data
from training.errors import DataError


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
    data = load_data(arguments)
    if data.sha256 != sha256:
        raise DataError(f"the data set of {checkpoint} has changed since the training; train again")
    return data


def check_labels(classifier: Classifier, data: LabelledData, model: str) -> None:
    """Makes sure that an artifact and a data set speak of the same labels in the same order.

    Raises:
        ArtifactError: They do not, so their figures would mean nothing.
    """
    if classifier.labels != data.labels:
        raise ArtifactError(f"{model} has other labels than the checkpoint's data set; export this checkpoint again")
