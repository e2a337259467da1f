"""Every metric of an evaluation, by scikit-learn where it has it."""

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from runtime.artifact.manifest import Manifest
from training.arrays import Doubles, Integers, Targets
from training.decisions.metrics import label_flags
from training.decisions.temperature import (
    calibration_error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from training.evaluation.intervals import Interval, bootstrap, interval

from .scoring import Scored

F1 = ("weighted_f1", "macro_f1", "micro_f1")


def figures(scored: Scored, targets: Targets, manifest: Manifest) -> dict[str, float]:
    """Returns all metrics of a variant, weighted F1 first.

    Args:
        scored: The predictions.
        targets: As returned by `labels.encode`.
        manifest: The artifact's, for task and temperature.

    Returns:
        Values by name, as in `metrics.TITLES`. `accuracy` is for single-label, `exact_match` for multi-label. A value
        that the rows do not determine, such as the ROC-AUC of one class, is left out.
    """
    task, decided = manifest.task, scored.decided
    found = {name: float(f1_score(targets, decided, average=name[:-3], zero_division=0)) for name in F1}
    for average in ("macro", "micro"):
        found[f"{average}_precision"] = float(precision_score(targets, decided, average=average, zero_division=0))
        found[f"{average}_recall"] = float(recall_score(targets, decided, average=average, zero_division=0))
    name = "accuracy" if task == "single_label" else "exact_match"
    found[name] = float(accuracy_score(targets, decided))
    flags = label_flags(targets, task, len(manifest.labels))
    areas = roc_areas(scored.scores, flags)
    if areas:
        found["roc_auc"] = float(np.mean(list(areas.values())))
    found["brier"] = brier(scored.scores, targets, manifest)
    found["ece"] = expected_calibration_error(reliability(scored.logits, targets, task, manifest.temperature))
    found["ece_by_chance"] = calibration_error_by_chance(scored.logits, task, manifest.temperature)
    found["nll"] = negative_log_likelihood(scored.logits, targets, task, manifest.temperature)
    return found


def intervals(decided: Integers, targets: Targets, manifest: Manifest) -> dict[str, Interval]:
    """Returns weighted, macro and micro F1 with their bootstrap intervals."""
    found = {}
    for name in F1:
        value = float(f1_score(targets, decided, average=name[:-3], zero_division=0))
        draws = bootstrap({"": decided}, targets, manifest.task, len(manifest.labels), metric=name)[""]
        found[name] = interval(value, draws)
    return found


def roc_areas(scores: Doubles, flags: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> Mapping[int, float]:
    """Returns the ROC-AUC of every label that some rows have and others do not, by index; one label against the rest.

    Args:
        scores: (rows, labels) float64.
        flags: (rows, labels) bool, whether a row has a label.
    """
    mixed = np.flatnonzero(flags.any(axis=0) & ~flags.all(axis=0))
    return {int(label): float(roc_auc_score(flags[:, label], scores[:, label])) for label in mixed}


def brier(scores: Doubles, targets: Targets, manifest: Manifest) -> float:
    """Returns the Brier score: for single-label the sum over labels, for multi-label their mean; 0 is perfect.

    With two labels, scikit-learn takes half of the sum, which is Brier's score of a binary outcome.
    """
    if manifest.task == "multi_label":
        return float(np.mean((scores - targets) ** 2))
    flags = label_flags(targets, manifest.task, len(manifest.labels))
    return (
        float(brier_score_loss(flags[:, 1], scores[:, 1]))
        if flags.shape[1] == 2
        else float(np.mean(np.sum((scores - flags) ** 2, axis=1)))
    )
