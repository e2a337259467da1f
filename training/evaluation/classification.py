"""Figures of a classifier on held-out rows, from targets, predictions and scores alone. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Integers, Targets
from ..decisions.metrics import label_flags

CURVE_POINTS = 200
MAX_PAIRS = 20


@dataclass(frozen=True)
class LabelQuality:
    """Precision, recall and F1 of one label, and the number of rows that have it and that are predicted to have it."""

    precision: float
    recall: float
    f1: float
    rows: int
    predicted: int


@dataclass(frozen=True)
class SelectivePrediction:
    """Abstaining on the test split: the fraction of rows that get a label, and the precision of those labels."""

    coverage: float
    precision: float


@dataclass(frozen=True)
class Confusion:
    """Two labels that are confused on the test split: how many rows of the true label get the predicted one."""

    true: str
    predicted: str
    rows: int
    share: float


def label_quality(decided: Integers, targets: Targets, task: Task, labels: int) -> tuple[LabelQuality, ...]:
    """Returns the quality of every label, in their order.

    Args:
        decided: As returned by `learning.decide`.
        targets: As returned by `labels.encode`.
        task: `single_label` or `multi_label`.
        labels: Number of labels.
    """
    true, predicted = (label_flags(items, task, labels) for items in (targets, decided))
    precision, recall, f1, rows = precision_recall_fscore_support(true, predicted, average=None, zero_division=0)
    columns = zip(precision, recall, f1, rows, predicted.sum(axis=0), strict=True)
    return tuple(LabelQuality(float(p), float(r), float(f), int(n), int(given)) for p, r, f, n, given in columns)


def precision_recall(found: Doubles, targets: Targets, names: Sequence[str]) -> dict[str, Doubles]:
    """Returns a precision-recall curve for every label that some row has.

    Args:
        found: (rows, labels) float64 scores.
        targets: (rows, labels) of 0 and 1.
        names: Names of the labels.

    Returns:
        (points, 2) float64 recall and precision by label, about `CURVE_POINTS` points.
    """
    curves = {}
    for index, label in enumerate(names):
        if targets[:, index].any():
            precision, recall, _ = precision_recall_curve(targets[:, index], found[:, index])
            points = np.stack([recall, precision], axis=1)
            curves[label] = points[:: max(1, len(points) // CURVE_POINTS)]
    return curves


def coverage(found: Doubles, targets: Targets) -> Doubles:
    """Returns precision by coverage: what abstaining below each confidence would give.

    Args:
        found: (rows, labels) float64 scores of a single-label classifier.
        targets: (rows,) label indices.

    Returns:
        (points, 2) float64 coverage and precision at the confidence of every row, the highest first; at most
        `CURVE_POINTS` points.
    """
    confidence = found.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    rows = np.arange(1, len(order) + 1)
    precision = np.cumsum(found.argmax(axis=1)[order] == targets[order]) / rows
    ends = np.append(
        confidence[order][:-1] > confidence[order][1:], True
    )  # rows with equal confidence are covered together
    points = np.stack([rows / len(order), precision], axis=1)[ends]
    kept = np.unique(np.linspace(0, len(points) - 1, CURVE_POINTS).round().astype(int))
    return np.asarray(points[kept])


def most_confused(counts: Integers, names: Sequence[str]) -> tuple[Confusion, ...]:
    """Returns the most confused pairs of labels, at most `MAX_PAIRS`, by number of rows, then by share.

    Args:
        counts: (labels, labels) int64, one row per true label.
        names: Names of the labels.
    """
    wrong = counts - np.diag(np.diag(counts))
    shares = wrong / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda pair: (-wrong[pair], -shares[pair], pair))
    return tuple(
        Confusion(names[true], names[predicted], int(wrong[true, predicted]), float(shares[true, predicted]))
        for true, predicted in pairs[:MAX_PAIRS]
    )
