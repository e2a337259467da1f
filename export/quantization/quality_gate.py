"""Compares a variant with the fp32 graph on rows, and says whether it may be shipped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from runtime.artifact.manifest import Task
from runtime.engine.session import Session
from runtime.scheduling.batching import BATCH_TOKENS, run_batches
from runtime.text.tokenizer import Tokenizer
from training.decisions.learning import Decisions, decide
from training.decisions.metrics import quality
from training.decisions.temperature import scores

from ..graph.layers import Floats
from ..sources.calibration_data import LabelledTexts

ABSTAINED = -1
METRIC: dict[Task, str] = {"single_label": "accuracy", "multi_label": "micro_f1"}


@dataclass(frozen=True)
class Budget:
    """What a variant may lose against fp32.

    Attributes:
        max_metric_drop: Of accuracy (single-label) or micro-F1 (multi-label).
        min_agreement: Share of rows with the very same decision.
    """

    max_metric_drop: float = 0.005
    min_agreement: float = 0.99

    def breaches(self, figures: dict[str, Any]) -> list[str]:
        """Returns what is outside, in words; nothing if the figures of `compare` are inside."""
        found = []
        if figures["agreement"] < self.min_agreement:
            found.append(f"agreement {figures['agreement']:.4f} is below {self.min_agreement}")
        if figures.get("metric_drop", 0.0) > self.max_metric_drop:
            found.append(f"{figures['metric']} drops by {figures['metric_drop']:.4f}, more than {self.max_metric_drop}")
        return found


def logits_of(session: Session, tokenizer: Tokenizer, rows: LabelledTexts) -> Floats:
    """Runs rows in batches of similar length: (rows, labels) float32, in their order."""
    return run_batches(session, tokenizer, rows.texts, BATCH_TOKENS["cpu"])


def compare(
    reference: Floats, found: Floats, rows: LabelledTexts, *, task: Task, labels: tuple[str, ...], decisions: Decisions
) -> dict[str, Any]:
    """Compares a variant's logits with fp32's.

    Args:
        reference: (rows, labels) float32, of the fp32 graph.
        found: As `reference`, of the variant.
        rows: What they are of.
        task: Of the classifier.
        labels: Their names.
        decisions: How it decides.

    Returns:
        Figures ready for JSON: rows, agreement (abstaining is a decision, too), differences of the logits; with targets
        also the task's metrics of both, the drop of the main one, and each label's F1 and its change.
    """
    expected, decided = decide(reference, task, decisions), decide(found, task, decisions)
    same = _predicted(reference, task, decisions) == _predicted(found, task, decisions)
    difference = np.abs(found - reference)
    figures: dict[str, Any] = {
        "rows": len(reference),
        "agreement": float(same.mean() if same.ndim == 1 else same.all(axis=1).mean()),
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


def _predicted(logits: Floats, task: Task, decisions: Decisions) -> npt.NDArray[np.int64]:
    """Decides as the runtime will, which may abstain."""
    decided = decide(logits, task, decisions)
    if decisions.abstain_below is None:
        return decided
    confidence = scores(logits, task, decisions.temperature).max(axis=1)
    return np.where(confidence < decisions.abstain_below, ABSTAINED, decided)


def _f1(decided: npt.NDArray[np.int64], rows: LabelledTexts, labels: int) -> list[float]:
    scores = f1_score(rows.targets, decided, labels=list(range(labels)), average=None, zero_division=0)
    return [float(score) for score in scores]
