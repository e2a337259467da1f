"""Metrics by group of rows, and whether groups differ beyond chance.

Point figures come from fairlearn's MetricFrame. A group's accuracy has a Wilson interval, its F1 a bootstrap interval.
A permutation test says whether groups differ: the group names are shuffled over the rows, and the observed difference
is compared with those of the shuffled groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from runtime.artifact.manifest import Manifest
from training.arrays import Doubles, Integers, Targets
from training.decisions.metrics import METRICS, label_flags, quality
from training.evaluation.intervals import Interval, bootstrap, interval, wilson

from .extras import needs_extra

SMALL = 20  # rows; groups with fewer are marked and take no part in differences
PERMUTATIONS = 4999
ROUNDING = 1e-12
SIGNIFICANT = 0.01  # chance that an evaluation of equal groups names any difference, over all its tests

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """One value of a slice column.

    Attributes:
        name: The value.
        rows: Number of rows.
        accuracy: Share of rows whose labels are all correct, with its Wilson interval.
        f1: Main F1 of the task, with its bootstrap interval.
        small: There are fewer than `SMALL` rows.
    """

    name: str
    rows: int
    accuracy: Interval
    f1: Interval
    small: bool


@dataclass(frozen=True)
class Difference:
    """The largest difference between two groups.

    Attributes:
        name: What is compared.
        value: The difference; for one label against the rest, of the label where it is largest.
        label: That label; None for accuracy.
        by_chance: The difference that 95 % of shuffled groups stay below.
        p_value: Share of shuffled groups whose difference is at least as large.
        significant: Whether it is beyond chance, after correction for all tests of the evaluation (Holm 1979).
    """

    name: str
    value: float
    label: str | None
    by_chance: float
    p_value: float
    significant: bool = False


@dataclass(frozen=True)
class Slice:
    """The groups of one column, the worst accuracy first, and their differences.

    Attributes:
        column: Name of the column.
        groups: One per value.
        differences: Accuracy, demographic parity and equalized odds; empty with fewer than two groups of `SMALL` rows.
    """

    column: str
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]

    @property
    def worst(self) -> Group | None:
        """The group with the lowest accuracy among those that are not small."""
        return next((group for group in self.groups if not group.small), None)


def slices(
    columns: Mapping[str, Sequence[str]], decided: Integers, targets: Targets, manifest: Manifest
) -> list[Slice]:
    """Computes the metrics of every group.

    Args:
        columns: The value of every row, by column.
        decided: As returned by `learning.decide`.
        targets: As returned by `labels.encode`.
        manifest: The artifact's.

    Raises:
        DependencyError: fairlearn is not installed.
    """
    found = [_slice(name, np.asarray(values, object), decided, targets, manifest) for name, values in columns.items()]
    return _corrected(found)


def rate_gaps(groups: Integers, count: int, counted: Doubles, labels: int) -> dict[str, Doubles]:
    """Returns the largest difference of rates between groups.

    The same as fairlearn's `demographic_parity_difference` and `equalized_odds_difference` of one label against the
    rest, for all labels at once. A rate that a group does not have, because no row has the label, is left out.

    Args:
        groups: (rows,) int64 group of every row.
        count: Number of groups.
        counted: From `countable`.
        labels: Number of labels.

    Returns:
        `accuracy`: (1,) float64. `demographic parity` and `equalized odds`: (labels,) float64.
    """
    member = (groups == np.arange(count)[:, None]).astype(np.float64)  # (groups, rows)
    sums = member @ counted
    rows, right = sums[:, :1], sums[:, 1:2]
    predicted, true, both = (sums[:, 2 + place * labels : 2 + (place + 1) * labels] for place in range(3))
    odds = np.maximum(_gap(both, true), _gap(predicted - both, rows - true))
    return {"accuracy": _gap(right, rows), "demographic parity": _gap(predicted, rows), "equalized odds": odds}


def countable(predicted: Flags, true: Flags) -> Doubles:
    """Returns (rows, 2 + 3 labels) float64: what `rate_gaps` adds up by group.

    Args:
        predicted: (rows, labels) bool.
        true: (rows, labels) bool.
    """
    right = (predicted == true).all(axis=1)
    return np.column_stack([np.ones(len(true)), right, predicted, true, predicted & true]).astype(np.float64)


def _gap(given: Doubles, of: Doubles) -> Doubles:
    """Returns the difference between the highest and the lowest rate of the groups that have one."""
    rates = np.divide(given, of, out=np.full(np.broadcast_shapes(given.shape, of.shape), np.nan), where=of > 0)
    highest, lowest = (np.where(np.isnan(rates), edge, rates) for edge in (-np.inf, np.inf))
    spread = highest.max(axis=0) - lowest.min(axis=0)
    return np.where(np.isfinite(spread), spread, 0.0)


def _slice(
    column: str, values: npt.NDArray[np.object_], decided: Integers, targets: Targets, manifest: Manifest
) -> Slice:
    with needs_extra():
        from fairlearn.metrics import MetricFrame, count  # noqa: PLC0415 - the extra is needed only here
    task, labels = manifest.task, len(manifest.labels)
    predicted, true = (label_flags(items, task, labels) for items in (decided, targets))
    right = (predicted == true).all(axis=1)
    frame = MetricFrame(
        metrics={"rows": count, "correct": lambda _, given: int(given.sum())},
        y_true=right,
        y_pred=right,
        sensitive_features=values,
    )
    groups = []
    for name, figures in frame.by_group.iterrows():
        inside, rows = values == name, int(figures["rows"])
        value = quality(decided[inside], targets[inside], task)[METRICS[task][0]]
        draws = bootstrap({"": decided[inside]}, targets[inside], task, labels)[""]
        groups.append(
            Group(str(name), rows, wilson(int(figures["correct"]), rows), interval(value, draws), rows < SMALL)
        )
    groups.sort(key=lambda group: (group.accuracy.value, group.name))
    large = [group.name for group in groups if not group.small]
    if len(large) < 2:
        return Slice(column, tuple(groups), ())
    places = {name: place for place, name in enumerate(large)}
    codes = np.array([places.get(value, -1) for value in values], np.int64)
    return Slice(column, tuple(groups), _differences(codes, len(large), predicted, true, manifest.labels))


def _differences(
    codes: Integers, count: int, predicted: Flags, true: Flags, labels: Sequence[str]
) -> tuple[Difference, ...]:
    """Returns the differences between groups, with the p-values of a permutation test.

    Args:
        codes: (rows,) int64 group of every row; negative for rows that take no part.
        count: Number of groups.
        predicted: (rows, labels) bool.
        true: (rows, labels) bool.
        labels: Names of the labels.
    """
    kept = codes >= 0
    codes, counted = codes[kept], countable(predicted[kept], true[kept])
    observed = rate_gaps(codes, count, counted, len(labels))
    rng = np.random.default_rng(0)
    draws = [rate_gaps(rng.permutation(codes), count, counted, len(labels)) for _ in range(PERMUTATIONS)]
    found = []
    for name, values in observed.items():
        shuffled, value = np.array([draw[name].max() for draw in draws]), float(values.max())
        p_value = (1 + int((shuffled >= value - ROUNDING).sum())) / (1 + PERMUTATIONS)
        label = None if name == "accuracy" else labels[int(values.argmax())]
        found.append(Difference(name, value, label, float(np.quantile(shuffled, 0.95)), p_value))
    return tuple(found)


def _corrected(found: list[Slice]) -> list[Slice]:
    """Marks the differences that are significant after Holm's correction over all of them."""
    ranked = sorted(item.p_value for entry in found for item in entry.differences)
    limit = -1.0
    for place, p_value in enumerate(ranked):
        if p_value > SIGNIFICANT / (len(ranked) - place):
            break
        limit = p_value
    return [
        replace(
            entry, differences=tuple(replace(item, significant=item.p_value <= limit) for item in entry.differences)
        )
        for entry in found
    ]
