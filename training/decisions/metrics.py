"""Metrics of a classifier: pure functions of decisions and targets."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from runtime.artifact.manifest import Task

from ..arrays import Integers, Targets

METRICS = {
    "single_label": ("macro_f1", "accuracy"),
    "multi_label": ("micro_f1", "macro_f1", "micro_precision", "micro_recall", "exact_match"),
}
TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "exact_match": "exact match",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "ece_uncalibrated": "ECE before temperature scaling",
    "ece_by_chance": "ECE of perfect scores",
    "nll": "negative log-likelihood",
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
