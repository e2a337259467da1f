"""Bootstrap confidence intervals of the main metric, and of the difference to the best baseline.

The test rows are resampled with replacement, and the metric is computed on each sample, for model and baseline on the
same rows. The middle 95 % of the values are the interval (percentile bootstrap, Efron 1979). It covers the choice of
test rows, not the random seed of the training.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Integers, Targets
from ..data.dataset import LabelledData
from ..decisions.metrics import METRICS, label_flags, quality
from .baselines import Baseline, best_baseline

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
MIN_ROWS = 20  # with fewer, resampling says too little
BLOCK_CELLS = 5_000_000

Metrics = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Interval:
    """A metric on the test split with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Formats value and interval for people."""
        return f"{self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Lead:
    """The model compared with the baseline that is best on the validation split.

    Attributes:
        baseline: Name of the baseline.
        setting: N-grams and regularization of the baseline.
        figure: The baseline's main metric on the test split.
        difference: The model's main metric minus the baseline's, on the same samples of rows.
        rows: Number of rows in the test split.
    """

    baseline: str
    setting: str
    figure: Interval
    difference: Interval
    rows: int

    @property
    def winner(self) -> str | None:
        """`model`, `baseline`, or None if the interval includes zero or there are too few rows."""
        if self.rows < MIN_ROWS or self.difference.low <= 0 <= self.difference.high:
            return None
        return "model" if self.difference.low > 0 else "baseline"


@dataclass(frozen=True)
class Comparison:
    """The model compared with baselines and with trainings with other seeds.

    Attributes:
        metric: Name of the main metric.
        model: The main metric of the model on the test split.
        baselines: As returned by `judge_baselines`; may be empty.
        lead: The comparison with the best baseline; None without baselines.
        seeds: Metrics of every split by seed; the model's own seed comes first.
    """

    metric: str
    model: Interval
    baselines: Mapping[str, Baseline]
    lead: Lead | None
    seeds: Mapping[int, Metrics]

    def to_record(self) -> dict[str, Any]:
        """Returns the fields of `training.json`."""
        judged = {
            name: {"setting": found.setting, "validation": found.validation, "test": found.test, "labels": found.labels}
            for name, found in self.baselines.items()
        }
        lead = None if self.lead is None else {**asdict(self.lead), "winner": self.lead.winner}
        return {
            "baselines": judged,
            "comparison": {"metric": self.metric, "model": asdict(self.model), "lead": lead},
            "seeds": self.seeds,
            "spread": spread(self.seeds),
        }


def compare(
    decided: Integers, baselines: Mapping[str, Baseline], seeds: Mapping[int, Metrics], data: LabelledData
) -> Comparison:
    """Compares the model with the baseline that is best on the validation split.

    Args:
        decided: The model's predictions on the test split, as returned by `learning.decide`.
        baselines: As returned by `judge_baselines`; may be empty.
        seeds: Metrics of every split by seed; the model's own seed comes first.
        data: The data set with its splits.
    """
    metric, targets, task = METRICS[data.task][0], data.test.targets, data.task
    best = best_baseline(baselines, metric)
    predicted = {"model": decided} | ({} if best is None else {best: baselines[best].predicted})
    draws = bootstrap(predicted, targets, task, len(data.labels))
    values = {name: quality(items, targets, task)[metric] for name, items in predicted.items()}
    lead = None
    if best is not None:
        difference = _interval(values["model"] - values[best], draws["model"] - draws[best])
        figure = _interval(values[best], draws[best])
        lead = Lead(best, baselines[best].setting, figure, difference, len(targets))
    return Comparison(metric, _interval(values["model"], draws["model"]), baselines, lead, seeds)


def spread(seeds: Mapping[int, Metrics]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the mean and the standard deviation of every metric of the test and validation splits.

    Args:
        seeds: Metrics of every split by seed.

    Returns:
        Split -> metric -> `mean` and `standard_deviation` (of the sample, N - 1); empty for fewer than two seeds.
    """
    if len(seeds) < 2:
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for split in ("validation", "test"):
        runs = [metrics[split] for metrics in seeds.values()]
        values = {name: [run[name] for run in runs] for name in runs[0]}
        found[split] = {
            name: {"mean": float(np.mean(items)), "standard_deviation": float(np.std(items, ddof=1))}
            for name, items in values.items()
        }
    return found


def bootstrap(predicted: Mapping[str, Integers], targets: Targets, task: Task, labels: int) -> dict[str, Doubles]:
    """Computes the main metric on `RESAMPLES` samples of the rows: macro-F1, for multi-label micro-F1.

    Rows with the same targets and predictions are interchangeable, so their counts are drawn from a multinomial
    distribution. This is equivalent to drawing rows.

    Args:
        predicted: Predictions by classifier, as returned by `learning.decide`; all get the same samples.
        targets: As returned by `labels.encode`.
        task: `single_label` or `multi_label`.
        labels: Number of labels.

    Returns:
        (RESAMPLES,) float64 by classifier, the same in every run.
    """
    columns = np.column_stack([np.asarray(targets, np.int64), *predicted.values()])
    _, first, counts = np.unique(columns, axis=0, return_index=True, return_counts=True)
    truth = _sparse(targets[first], task, labels)
    flags = {who: _sparse(items[first], task, labels) for who, items in predicted.items()}
    random, found = np.random.default_rng(0), {who: np.empty(RESAMPLES) for who in predicted}
    step = max(1, BLOCK_CELLS // len(counts))
    for start in range(0, RESAMPLES, step):
        block = slice(start, min(start + step, RESAMPLES))
        drawn = random.multinomial(len(targets), counts / len(targets), size=block.stop - start)
        for who, given in flags.items():
            right, total = drawn @ truth.multiply(given).tocsr(), drawn @ (truth + given)
            found[who][block] = _macro_f1(right, total) if task == "single_label" else _micro_f1(right, total)
    return found


def _sparse(decided: Targets, task: Task, labels: int) -> csr_matrix:
    return csr_matrix(label_flags(decided, task, labels).astype(np.int64))


def _macro_f1(right: Integers, total: Integers) -> Doubles:
    """Averages F1 over the labels that occur in a sample, as `metrics.quality` does.

    Args:
        right: (samples, labels) int64 counts of true positives.
        total: (samples, labels) int64 counts of rows with the label plus rows predicted to have it.
    """
    f1 = 2 * right / np.maximum(total, 1)
    return np.asarray(f1.sum(axis=1) / (total > 0).sum(axis=1))


def _micro_f1(right: Integers, total: Integers) -> Doubles:
    return np.asarray(2 * right.sum(axis=1) / np.maximum(total.sum(axis=1), 1))


def _interval(value: float, draws: Doubles) -> Interval:
    low, high = np.percentile(draws, PERCENTILES)
    return Interval(value, float(low), float(high))
