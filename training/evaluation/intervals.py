"""Confidence intervals of metrics on held-out rows. Needs neither the model nor PyTorch.

For the bootstrap, rows are resampled with replacement, and the metric is computed on each sample, for all classifiers
on the same rows. The middle 95 % of the values are the interval (percentile bootstrap, Efron 1979). It covers the
choice of rows, not the random seed of the training.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import norm

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Integers, Targets
from ..decisions.metrics import METRICS, label_flags

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
BLOCK_CELLS = 5_000_000
NORMAL_95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Formats value and interval for people."""
        return f"{self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f})"

    @property
    def range(self) -> str:
        """The interval without the value."""
        return f"{self.low:.4f} to {self.high:.4f}"


def interval(value: float, draws: Doubles) -> Interval:
    """Returns a figure with the percentile interval of its bootstrap draws; draws that are NaN are left out."""
    low, high = np.nanpercentile(draws, PERCENTILES)
    return Interval(value, float(low), float(high))


def wilson(successes: int, rows: int) -> Interval:
    """Returns a fraction of rows with its Wilson score interval (Wilson 1927), which also holds for few rows.

    Without rows, the fraction is NaN and the interval is 0 to 1.
    """
    if not rows:
        return Interval(float("nan"), 0.0, 1.0)
    share, spread = successes / rows, NORMAL_95**2 / rows
    centre = (share + spread / 2) / (1 + spread)
    half = NORMAL_95 / (1 + spread) * np.sqrt(share * (1 - share) / rows + spread / rows / 4)
    return Interval(share, float(max(0.0, centre - half)), float(min(1.0, centre + half)))


def bootstrap(
    predicted: Mapping[str, Integers],
    targets: Targets,
    task: Task,
    labels: int,
    seed: int = 0,
    metric: str | None = None,
) -> dict[str, Doubles]:
    """Computes a metric on `RESAMPLES` samples of the rows.

    Rows with the same targets and predictions are interchangeable, so their counts are drawn from a multinomial
    distribution. This is equivalent to drawing rows.

    Args:
        predicted: Predictions by classifier, as returned by `learning.decide`; all get the same samples.
        targets: As returned by `labels.encode`.
        task: `single_label` or `multi_label`.
        labels: Number of labels.
        seed: Seed of the draws.
        metric: `macro_f1`, `micro_f1` or `weighted_f1`; by default the main metric of the task.

    Returns:
        (RESAMPLES,) float64 by classifier, the same in every run.
    """
    columns = np.column_stack([np.asarray(targets, np.int64), *predicted.values()])
    _, first, counts = np.unique(columns, axis=0, return_index=True, return_counts=True)
    truth = _sparse(targets[first], task, labels)
    flags = {who: _sparse(items[first], task, labels) for who, items in predicted.items()}
    random, found = np.random.default_rng(seed), {who: np.empty(RESAMPLES) for who in predicted}
    step = max(1, BLOCK_CELLS // len(counts))
    for start in range(0, RESAMPLES, step):
        block = slice(start, min(start + step, RESAMPLES))
        drawn = random.multinomial(len(targets), counts / len(targets), size=block.stop - start)
        for who, given in flags.items():
            right, total = drawn @ truth.multiply(given).tocsr(), drawn @ (truth + given)
            found[who][block] = _f1(metric or METRICS[task][0], task, right, total, drawn @ truth)
    return found


def _sparse(decided: Targets, task: Task, labels: int) -> csr_matrix:
    return csr_matrix(label_flags(decided, task, labels).astype(np.int64))


def _f1(metric: str, task: Task, right: Integers, total: Integers, true: Integers) -> Doubles:
    """Averages F1 as `metrics.quality` does.

    Args:
        metric: As for `bootstrap`.
        task: `single_label` or `multi_label`.
        right: (samples, labels) int64 counts of true positives.
        total: (samples, labels) int64 counts of rows with the label plus rows predicted to have it.
        true: (samples, labels) int64 counts of rows with the label.
    """
    if metric == "micro_f1":
        return np.asarray(2 * right.sum(axis=1) / np.maximum(total.sum(axis=1), 1))
    f1 = 2 * right / np.maximum(total, 1)
    if metric == "weighted_f1":
        return np.asarray((f1 * true).sum(axis=1) / np.maximum(true.sum(axis=1), 1))
    occurring = (total > 0).sum(axis=1) if task == "single_label" else f1.shape[1]
    return np.asarray(f1.sum(axis=1) / occurring)
