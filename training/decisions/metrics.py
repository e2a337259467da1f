"""Metrics of a classifier: pure functions of decisions and targets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, precision_score, recall_score

from runtime.artifact.manifest import Task

from ..arrays import Integers, Targets

METRICS = {
    "single_label": ("macro_f1", "accuracy"),
    "multi_label": ("micro_f1", "macro_f1", "micro_precision", "micro_recall", "exact_match"),
}


def quality(decided: Integers, targets: Targets, task: Task) -> dict[str, float]:
    """Computes the metrics of a task.

    Args:
        decided: As returned by `learning.decide`.
        targets: As returned by `labels.encode`.
        task: Single-label: accuracy and macro-F1. Multi-label: micro-F1, macro-F1, micro precision and recall, and the
            fraction of rows whose labels are all correct.

    Returns:
        Values in [0, 1] by name.
    """
    if task == "single_label":
        figures = {
            "accuracy": accuracy_score(targets, decided),
            "macro_f1": f1_score(targets, decided, average="macro", zero_division=0),
        }
    else:
        figures = {
            "micro_f1": f1_score(targets, decided, average="micro", zero_division=0),
            "macro_f1": f1_score(targets, decided, average="macro", zero_division=0),
            "micro_precision": precision_score(targets, decided, average="micro", zero_division=0),
            "micro_recall": recall_score(targets, decided, average="micro", zero_division=0),
            "exact_match": accuracy_score(targets, decided),
        }
    return {name: float(value) for name, value in figures.items()}


def label_quality(decided: Integers, targets: Targets, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Computes `precision`, `recall` and `f1` of each label; 0 where a fraction has no rows.

    Args:
        decided: As returned by `learning.decide`.
        targets: As returned by `labels.encode`.
        labels: Names in the order of the targets.
    """
    figures = precision_recall_fscore_support(
        targets, decided, labels=range(len(labels)), average=None, zero_division=0
    )[:3]
    names = ("precision", "recall", "f1")
    return {
        label: dict(zip(names, map(float, values), strict=True))
        for label, *values in zip(labels, *figures, strict=True)
    }


def agreement(first: Integers, second: Integers) -> float:
    """Returns the fraction of rows with the same decision; multi-label rows agree if all their labels do.

    Args:
        first: As returned by `learning.decide`; a row that abstains may have an index of its own.
        second: As `first`.
    """
    same = first == second
    return float((same if same.ndim == 1 else same.all(axis=1)).mean())


def label_flags(decided: Targets, task: Task, labels: int) -> npt.NDArray[np.bool_]:
    """Returns targets or decisions as (rows, labels) bool: whether a row has a label."""
    return np.asarray(decided > 0 if task == "multi_label" else np.eye(labels, dtype=bool)[decided])
