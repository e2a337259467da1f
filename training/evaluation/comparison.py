"""Compares a model with the best baseline and over several seeds, with confidence intervals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..arrays import Integers
from ..data.dataset import LabelledData
from ..decisions.metrics import METRICS, quality
from .baselines import Baseline, best_baseline
from .intervals import Interval, bootstrap, interval

MIN_ROWS = 20  # with fewer, resampling says too little

Metrics = Mapping[str, Mapping[str, float]]


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
            name: {
                "setting": found.setting,
                "validation": found.validation,
                "test": found.test,
                "labels": {label: asdict(item) for label, item in found.labels.items()},
            }
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
        difference = interval(values["model"] - values[best], draws["model"] - draws[best])
        figure = interval(values[best], draws[best])
        lead = Lead(best, baselines[best].setting, figure, difference, len(targets))
    return Comparison(metric, interval(values["model"], draws["model"]), baselines, lead, seeds)


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
