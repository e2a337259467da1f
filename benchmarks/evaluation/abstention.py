"""Abstaining: coverage against precision, and texts that belong to no label."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from training.arrays import Doubles, Targets
from training.evaluation.classification import SelectivePrediction
from training.evaluation.intervals import Interval, wilson

from .scoring import Scored


@dataclass(frozen=True)
class OutOfScope:
    """How texts that belong to no label are told from the others by the best score.

    Attributes:
        rows: Number of such texts.
        auroc: Chance that an evaluated text has a higher best score than an out-of-scope text.
        abstained: Share of the out-of-scope texts that get no label, with its Wilson interval.
        abstained_in_scope: The same for the evaluated texts.
    """

    rows: int
    auroc: float
    abstained: Interval
    abstained_in_scope: Interval


def area_under_coverage(scores: Doubles, targets: Targets) -> float:
    """Returns the mean precision over all coverages, the most confident rows first: 1 is perfect.

    One minus it is the area under the risk-coverage curve (Geifman and El-Yaniv 2017).

    Args:
        scores: (rows, labels) float64 of a single-label classifier.
        targets: (rows,) label indices.
    """
    order = np.argsort(-scores.max(axis=1), kind="stable")
    right = scores.argmax(axis=1)[order] == targets[order]
    return float(np.mean(np.cumsum(right) / np.arange(1, len(right) + 1)))


def selective(scored: Scored, targets: Targets) -> SelectivePrediction:
    """Returns coverage and precision of a single-label classifier with the artifact's abstention threshold."""
    given = ~scored.abstained
    right = scored.decided == targets
    return SelectivePrediction(float(given.mean()), float(right[given].mean()) if given.any() else 0.0)


def out_of_scope(inside: Scored, outside: Scored) -> OutOfScope:
    """Compares evaluated texts with texts that belong to no label.

    Args:
        inside: The predictions of the evaluated texts.
        outside: The predictions of the out-of-scope texts.
    """
    best = np.concatenate([inside.scores.max(axis=1), outside.scores.max(axis=1)])
    in_scope = np.repeat([True, False], [len(inside.scores), len(outside.scores)])

    def unlabelled(scored: Scored) -> Interval:
        labelled = ~scored.abstained if scored.decided.ndim == 1 else scored.decided.any(axis=1)
        return wilson(len(scored.scores) - int(np.sum(labelled)), len(scored.scores))

    return OutOfScope(
        len(outside.scores), float(roc_auc_score(in_scope, best)), unlabelled(outside), unlabelled(inside)
    )
