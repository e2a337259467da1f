"""Compares two artifacts on the same rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from runtime.artifact.manifest import Manifest
from training.arrays import Integers, Targets
from training.decisions.metrics import METRICS, label_flags, quality
from training.evaluation.classification import label_quality
from training.evaluation.intervals import Interval, bootstrap, interval

SIGNIFICANT = 0.05
MIN_ROWS = 20  # with fewer, resampling says too little


@dataclass(frozen=True)
class LabelChange:
    """What changes for one label, from the other artifact to this one.

    Attributes:
        label: Its name.
        rows: Rows that have the label.
        gained: Rows whose decision on this label became correct.
        lost: Rows whose decision on this label became wrong.
        f1_before: F1 of the other artifact.
        f1_after: F1 of this artifact.
    """

    label: str
    rows: int
    gained: int
    lost: int
    f1_before: float
    f1_after: float


@dataclass(frozen=True)
class Comparison:
    """This artifact compared with another one.

    Attributes:
        metric: Name of the main metric.
        rows: Number of rows.
        before: The metric of the other artifact.
        difference: The metric of this artifact minus that of the other, on the same samples of rows.
        gained: Rows that only this artifact predicts correctly.
        lost: Rows that only the other artifact predicts correctly.
        p_value: Of McNemar's exact test that both are equally often correct (McNemar 1947).
        labels: Changes by label, most changed rows first.
    """

    metric: str
    rows: int
    before: float
    difference: Interval
    gained: int
    lost: int
    p_value: float
    labels: tuple[LabelChange, ...]

    @property
    def verdict(self) -> Literal["better", "worse", "no clear difference"]:
        """Whether this artifact is better: its metric's interval excludes zero, or McNemar's test says so.

        If the two contradict each other, or there are fewer than `MIN_ROWS` rows, there is no clear difference.
        """
        if self.rows < MIN_ROWS:
            return "no clear difference"
        by_metric = (self.difference.low > 0) - (self.difference.high < 0)
        by_rows = np.sign(self.gained - self.lost) if self.p_value < SIGNIFICANT else 0
        balance = by_metric + by_rows
        return "no clear difference" if balance == 0 else "better" if balance > 0 else "worse"


def compare(decided: Integers, before: Integers, targets: Targets, manifest: Manifest) -> Comparison:
    """Compares the predictions of two artifacts.

    Args:
        decided: This artifact's, as returned by `learning.decide`.
        before: The other artifact's, in the order of this artifact's labels.
        targets: As returned by `labels.encode`.
        manifest: This artifact's.
    """
    task, names, metric = manifest.task, manifest.labels, METRICS[manifest.task][0]
    new, old, true = (label_flags(items, task, len(names)) for items in (decided, before, targets))
    right, was_right = (new == true).all(axis=1), (old == true).all(axis=1)
    gained, lost = int((right & ~was_right).sum()), int((was_right & ~right).sum())
    draws = bootstrap({"new": decided, "old": before}, targets, task, len(names))
    value, other = (quality(items, targets, task)[metric] for items in (decided, before))
    after, earlier = (label_quality(items, targets, task, len(names)) for items in (decided, before))
    changes = [
        LabelChange(
            name,
            after[index].rows,
            int(((new == true) & (old != true))[:, index].sum()),
            int(((old == true) & (new != true))[:, index].sum()),
            earlier[index].f1,
            after[index].f1,
        )
        for index, name in enumerate(names)
    ]
    changes.sort(key=lambda change: (-(change.gained + change.lost), change.label))
    return Comparison(
        metric,
        len(targets),
        other,
        interval(value - other, draws["new"] - draws["old"]),
        gained,
        lost,
        float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
        tuple(changes),
    )
