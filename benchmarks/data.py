"""Checks that an artifact and a data set belong together."""

from runtime import ArtifactError, Classifier
from training.data import LabelledData


def check_labels(classifier: Classifier, data: LabelledData, model: str) -> None:
    """Makes sure that an artifact and a data set speak of the same labels in the same order.

    Raises:
        ArtifactError: They do not, so their figures would mean nothing.
    """
    if classifier.labels != data.labels:
        raise ArtifactError(f"{model} has other labels than the checkpoint's data set; export this checkpoint again")
