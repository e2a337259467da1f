"""Rows whose label is probably wrong, by confident learning (Northcutt et al. 2021, arXiv:1911.00068; cleanlab)."""

import warnings
from dataclasses import dataclass

import numpy as np

from runtime.artifact.manifest import Manifest
from training.arrays import Doubles, Targets
from training.decisions.metrics import label_flags

from .extras import needs_extra

RANK = "self_confidence"


@dataclass(frozen=True)
class LabelError:
    """A row whose label the model contradicts more confidently than it does for other rows of that label.

    Attributes:
        row: Position among the evaluated rows.
        given: The row's labels in the file.
        suggested: The labels that the model assigns.
        score: The model's score for the label in the file; for multi-label the mean over labels of the score that each
            is as in the file.
    """

    row: int
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    score: float


def label_errors(scores: Doubles, decided: Targets, targets: Targets, manifest: Manifest) -> list[LabelError]:
    """Finds likely label errors, the most likely first.

    Args:
        scores: (rows, labels) float64 of rows that the model was not trained on.
        decided: Predicted labels as returned by `learning.decide`.
        targets: As returned by `labels.encode`.
        manifest: The artifact's.

    Raises:
        DependencyError: cleanlab is not installed.
    """
    with needs_extra():
        from cleanlab import filter as single_label  # noqa: PLC0415 - the extra is needed only here
        from cleanlab.multilabel_classification import filter as multi_label  # noqa: PLC0415 - as above
    task, names = manifest.task, manifest.labels
    true, given = (label_flags(items, task, len(names)) for items in (targets, decided))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare labels, which the report warns of itself
        try:
            if task == "multi_label":
                sets = [list(np.flatnonzero(row)) for row in true]
                ranked = multi_label.find_label_issues(sets, scores, return_indices_ranked_by=RANK, n_jobs=1)
            else:
                given_labels = np.asarray(targets, np.int64)
                ranked = single_label.find_label_issues(given_labels, scores, return_indices_ranked_by=RANK, n_jobs=1)
        except ValueError:  # a label that all rows have, or none: there is nothing to compare
            return []
    confidence = (
        np.where(true, scores, 1 - scores).mean(axis=1) if task == "multi_label" else (scores * true).sum(axis=1)
    )

    def named(row: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> tuple[str, ...]:
        return tuple(names[index] for index in np.flatnonzero(row))

    contradicted = [int(row) for row in ranked if (true[row] != given[row]).any()]
    return [LabelError(row, named(true[row]), named(given[row]), float(confidence[row])) for row in contradicted]
