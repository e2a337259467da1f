"""The quality gate: compares a variant with the fp32 graph and limits what it may lose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from runtime.artifact.manifest import Task
from runtime.engine.session import Session
from runtime.scheduling.batching import BATCH_TOKENS, run_batches
from runtime.text.tokenizer import Tokenizer
from training.arrays import Floats
from training.decisions.learning import Decisions, decide
from training.decisions.metrics import agreement, quality
from training.decisions.temperature import scores

from ..sources.calibration_data import LabelledTexts

Figures = dict[str, Any]
ABSTAINED = -1
METRIC: dict[Task, str] = {"single_label": "accuracy", "multi_label": "micro_f1"}


@dataclass(frozen=True)
class QualityGate:
    """Limits on what a variant may lose against fp32.

    Attributes:
        max_metric_drop: Drop of accuracy (single-label) or micro-F1 (multi-label), 0 to 1.
        min_agreement: Share of rows with the same decision, 0 to 1.
    """

    max_metric_drop: float = 0.005
    min_agreement: float = 0.99

    def breaches(self, figures: Figures) -> list[str]:
        """Describes each limit that the figures of `compare` exceed; returns an empty list if they pass."""
        breaches = []
        if figures["agreement"] < self.min_agreement:
            breaches.append(f"agreement {figures['agreement']:.4f} is below {self.min_agreement}")
        if figures.get("metric_drop", 0.0) > self.max_metric_drop:
            breaches.append(
                f"{figures['metric']} drops by {figures['metric_drop']:.4f}, more than {self.max_metric_drop}"
            )
        return breaches


def logits_of(session: Session, tokenizer: Tokenizer, rows: LabelledTexts) -> Floats:
    """Returns the logits of texts, (rows, labels) float32, run in batches of similar length."""
    return run_batches(session, tokenizer, rows.texts, BATCH_TOKENS["cpu"])


def compare(
    reference: Floats, logits: Floats, rows: LabelledTexts, *, task: Task, labels: tuple[str, ...], decisions: Decisions
) -> Figures:
    """Compares a variant's logits with fp32's.

    Args:
        reference: (rows, labels) float32, of the fp32 graph.
        logits: As `reference`, of the variant.
        rows: The texts, with or without targets.
        task: The classifier's.
        labels: The label names.
        decisions: Thresholds, temperature and abstention threshold of the artifact.

    Returns:
        Figures ready for JSON: rows, label agreement (abstaining counts as a label), logit differences. With targets
        also the metrics of both graphs, the drop of the main one, and the F1 of each label with its change.
    """
    expected, decided = decide(reference, task, decisions), decide(logits, task, decisions)
    difference = np.abs(logits - reference)
    figures: Figures = {
        "rows": len(reference),
        "agreement": agreement(_predictions(reference, task, decisions), _predictions(logits, task, decisions)),
        "max_logit_difference": float(difference.max()),
        "mean_logit_difference": float(difference.mean()),
    }
    if rows.targets is None:
        return figures
    before, after = quality(expected, rows.targets, task), quality(decided, rows.targets, task)
    metric = METRIC[task]
    by_label = zip(labels, _f1(expected, rows, len(labels)), _f1(decided, rows, len(labels)), strict=True)
    return figures | {
        "metric": metric,
        "metric_drop": before[metric] - after[metric],
        "metrics": after,
        "fp32_metrics": before,
        "labels": {label: {"f1": new, "change": new - old} for label, old, new in by_label},
    }


def _predictions(logits: Floats, task: Task, decisions: Decisions) -> npt.NDArray[np.int64]:
    """Decides as the runtime does, which may abstain."""
    decided = decide(logits, task, decisions)
    if decisions.abstain_below is None:
        return decided
    confidence = scores(logits, task, decisions.temperature).max(axis=1)
    return np.where(confidence < decisions.abstain_below, ABSTAINED, decided)


def _f1(decided: npt.NDArray[np.int64], rows: LabelledTexts, labels: int) -> list[float]:
    scores = f1_score(rows.targets, decided, labels=list(range(labels)), average=None, zero_division=0)
    return [float(score) for score in scores]
