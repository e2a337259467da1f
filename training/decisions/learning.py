"""Learns the decision parameters: temperature, thresholds, and the score below which the classifier abstains.

All three are learned on the validation split and saved in `training.json`, where the export reads them.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Floats, Integers, Targets
from .temperature import fit_temperature, scores

MIN_POSITIVES = 10  # a label with fewer positive or negative rows gets the common threshold
DEFAULT_THRESHOLD = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decisions:
    """The decision parameters.

    Attributes:
        temperature: Divides the logits.
        thresholds: Multi-label: the minimum score of each label, 0 to 1; None for single-label.
        abstain_below: Single-label: the classifier abstains if the best score is lower; None if it never does.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    abstain_below: float | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Decisions":
        """Reads the parameters from the `decisions` of a `training.json`; the defaults if there are none.

        Raises:
            ValueError: A parameter is not a number in its range.
        """
        content = record.get("decisions") or {}
        try:
            thresholds, abstain = content.get("thresholds"), content.get("abstain_below")
            found = cls(
                float(content.get("temperature", 1.0)),
                None if thresholds is None else tuple(float(value) for value in thresholds),
                None if abstain is None else float(abstain),
            )
        except (TypeError, AttributeError) as error:
            raise ValueError("expected temperature, thresholds and abstain_below") from error
        inside = [0 <= value <= 1 for value in (*(found.thresholds or ()), found.abstain_below or 0)]
        if not (0 < found.temperature < np.inf and all(inside)):
            raise ValueError("expected a temperature above 0, thresholds and abstain_below from 0 to 1")
        return found


def decide(logits: Floats, task: Task, decisions: Decisions) -> Integers:
    """Predicts the labels of every row, including rows on which a single-label classifier would abstain.

    Args:
        logits: (rows, labels) float32.
        task: `single_label` or `multi_label`.
        decisions: The decision parameters; without thresholds, labels need a score of 0.5.

    Returns:
        Single-label: (rows,) int64 label indices. Multi-label: (rows, labels) int64 of 0 and 1.
    """
    if task == "single_label":
        return np.asarray(logits.argmax(axis=1), np.int64)
    thresholds = DEFAULT_THRESHOLD if decisions.thresholds is None else np.array(decisions.thresholds)
    return np.asarray(scores(logits, task, decisions.temperature) >= thresholds, np.int64)


def learn(logits: Floats, targets: Targets, task: Task, *, target_precision: float | None) -> Decisions:
    """Learns the decision parameters on rows that the model was not fitted on.

    Args:
        logits: (rows, labels) float32.
        targets: As returned by `labels.encode`.
        task: `single_label` or `multi_label`.
        target_precision: Single-label: the precision that the predicted labels should reach by abstaining, or None.
    """
    temperature = fit_temperature(logits, targets, task)
    found = scores(logits, task, temperature)
    if task == "multi_label":
        return Decisions(temperature, learn_thresholds(found, targets))
    if target_precision is None:
        return Decisions(temperature)
    level = learn_abstain_level(found, targets, target_precision)
    if level is None:
        logger.warning(
            "no abstaining: no score that %d validation rows reach has a precision of %.1f %%",
            MIN_POSITIVES,
            100 * target_precision,
        )
    return Decisions(temperature, abstain_below=level)


def learn_thresholds(found: Doubles, targets: Targets) -> tuple[float, ...]:
    """Finds the threshold of each label that maximizes its F1, half-way between two scores.

    A label with fewer than `MIN_POSITIVES` positive or negative rows gets the common threshold, which maximizes the
    micro-F1 of all labels together.

    Args:
        found: (rows, labels) float64 scores.
        targets: (rows, labels) of 0 and 1.
    """
    common = best_threshold(found.ravel(), targets.ravel())
    positives = targets.sum(axis=0)
    return tuple(
        best_threshold(found[:, label], targets[:, label])
        if MIN_POSITIVES <= positives[label] <= len(targets) - MIN_POSITIVES
        else common
        for label in range(found.shape[1])
    )


def best_threshold(found: Doubles, targets: npt.NDArray[Any]) -> float:
    """Returns the threshold that maximizes F1, half-way between two scores; of several, the highest.

    Args:
        found: (rows,) float64 scores from 0 to 1.
        targets: (rows,) of 0 and 1. Without a positive row the threshold is `DEFAULT_THRESHOLD`.
    """
    if not targets.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-found, kind="stable")
    ranked, right = found[order], np.cumsum(targets[order] > 0)
    f1 = 2 * right / (np.arange(1, len(found) + 1) + right[-1])
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))  # rows with equal scores get the same label
    best = ends[f1[ends].argmax()]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def learn_abstain_level(found: Doubles, targets: Targets, target_precision: float) -> float | None:
    """Returns the lowest score at which the predicted labels reach a precision, half-way to the next lower score.

    At least `MIN_POSITIVES` rows must reach the score; fewer may be correct by chance.

    Args:
        found: (rows, labels) float64 scores.
        targets: (rows,) label indices.
        target_precision: The precision to reach.

    Returns:
        From 0 to 1, or None if no score reaches the precision.
    """
    order = np.argsort(-found.max(axis=1), kind="stable")
    ranked = found.max(axis=1)[order]
    precision = np.cumsum(found.argmax(axis=1)[order] == targets[order]) / np.arange(1, len(order) + 1)
    ends = np.append(ranked[:-1] > ranked[1:], True)
    enough = np.flatnonzero(ends & (precision >= target_precision))
    enough = enough[enough + 1 >= MIN_POSITIVES]
    if not len(enough):
        return None
    last = enough[-1]
    return 0.0 if last + 1 == len(ranked) else float((ranked[last] + ranked[last + 1]) / 2)
