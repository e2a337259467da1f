"""What turns scores into labels: temperature, thresholds, and the score below which no label is given.

All three are learned on the validation part and kept in `training.json`, from where the export takes them.
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

MIN_POSITIVES = 10  # a label with fewer rows on both sides shares the common threshold
DEFAULT_THRESHOLD = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decisions:
    """How to decide.

    Attributes:
        temperature: Divides the logits.
        thresholds: Multi-label: a label is given where its score reaches its threshold; None for single-label.
        abstain_below: Single-label: no label is given where the best score is lower; None: one is always given.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    abstain_below: float | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Decisions":
        """Reads them from the `decisions` of a `training.json`; without any, the defaults.

        Raises:
            ValueError: The record's are not numbers in their ranges.
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
    """Decides every row, also those on which a single-label classifier would abstain.

    Args:
        logits: (rows, labels) float32.
        task: How the labels exclude each other.
        decisions: Without thresholds, a score of 0.5 gives a label.

    Returns:
        Single-label: (rows,) label indices. Multi-label: (rows, labels) of 0 and 1.
    """
    if task == "single_label":
        return np.asarray(logits.argmax(axis=1), np.int64)
    thresholds = DEFAULT_THRESHOLD if decisions.thresholds is None else np.array(decisions.thresholds)
    return np.asarray(scores(logits, task, decisions.temperature) >= thresholds, np.int64)


def learn(logits: Floats, targets: Targets, task: Task, *, target_precision: float | None) -> Decisions:
    """Learns how to decide, on rows that the model was not fitted on.

    Args:
        logits: (rows, labels) float32.
        targets: As `labels.encode` gives them.
        task: How the labels exclude each other.
        target_precision: Single-label: share of the labels given that shall be right, or None.
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
            "no score that %d validation rows reach is right %.1f %% of the time: no abstaining",
            MIN_POSITIVES,
            100 * target_precision,
        )
    return Decisions(temperature, abstain_below=level)


def learn_thresholds(found: Doubles, targets: Targets) -> tuple[float, ...]:
    """Finds each label's threshold with the best F1, half-way between two scores.

    A label with fewer than `MIN_POSITIVES` rows, or with as few without it, tells too little of its own: it gets the
    threshold with which all labels together have the best micro-F1.

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
    """Returns the threshold with the best F1, half-way between two scores; of equals the highest.

    Args:
        found: (rows,) scores from 0 to 1.
        targets: (rows,) of 0 and 1; without a positive one the answer is 0.5.
    """
    if not targets.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-found, kind="stable")
    ranked, right = found[order], np.cumsum(targets[order] > 0)
    f1 = 2 * right / (np.arange(1, len(found) + 1) + right[-1])
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))  # equal scores get the same label
    best = ends[f1[ends].argmax()]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def learn_abstain_level(found: Doubles, targets: Targets, target_precision: float) -> float | None:
    """Returns the lowest score from which on enough labels are right, or None; half-way to the next lower one.

    Fewer than `MIN_POSITIVES` rows may be right by luck, and tell nothing.

    Args:
        found: (rows, labels) float64 scores.
        targets: (rows,) label indices.
        target_precision: Share of the labels given that shall be right.
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
