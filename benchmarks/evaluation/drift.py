"""Whether the evaluated rows are distributed as the training split was: by label and by length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency

from runtime.artifact.manifest import Manifest
from training.arrays import Integers, Targets
from training.decisions.metrics import label_flags

STRONG, MODERATE = 0.25, 0.1  # usual bounds of the population stability index
SIGNIFICANT = 0.001
MIN_SHARE = 1e-4


@dataclass(frozen=True)
class Drift:
    """Two distributions over the same groups.

    Attributes:
        groups: Names of the groups.
        training: Rows of the training split by group.
        evaluated: Evaluated rows by group.
        index: Population stability index: the sum of (p - q) ln(p / q); 0 for equal distributions.
        p_value: Of a chi-squared test that both are samples of one distribution.
    """

    groups: Sequence[str]
    training: Sequence[int]
    evaluated: Sequence[int]
    index: float
    p_value: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the rows are hardly a sample of the training distribution."""
        return self.p_value < SIGNIFICANT

    @property
    def verdict(self) -> str:
        """How far the distributions differ: not beyond chance, slightly, moderately or strongly."""
        if not self.beyond_chance:
            return "no drift beyond chance"
        if self.index < MODERATE:
            return "slight drift"
        return "moderate drift" if self.index < STRONG else "strong drift"


def label_drift(targets: Targets, manifest: Manifest) -> Drift | None:
    """Compares the labels with those of the training split; None if the artifact does not record them."""
    counts = manifest.training_data.get("label_rows")
    if not isinstance(counts, Mapping) or any(label not in counts for label in manifest.labels):
        return None
    found = label_flags(targets, manifest.task, len(manifest.labels)).sum(axis=0)
    return _drift(manifest.labels, [int(counts[label]) for label in manifest.labels], [int(count) for count in found])


def length_drift(tokens: Integers, manifest: Manifest) -> Drift | None:
    """Compares the tokens of the texts with those of the training split; None if the artifact does not record them.

    Args:
        tokens: (rows,) int64 tokens read.
        manifest: The artifact's. Its `length_rows` are the training texts by the upper bound of their length.
    """
    recorded = manifest.training_data.get("length_rows")
    if not isinstance(recorded, Mapping) or not recorded:
        return None
    bounds = [int(bound) for bound in recorded]
    places = np.searchsorted(bounds[:-1], tokens)
    found = np.bincount(places, minlength=len(bounds))
    lower = [0, *bounds[:-1]]
    names = [f"{low + 1} to {high} tokens" for low, high in zip(lower, bounds, strict=True)]
    return _drift(names, [int(count) for count in recorded.values()], [int(count) for count in found])


def _drift(groups: Sequence[str], training: Sequence[int], evaluated: Sequence[int]) -> Drift | None:
    table = np.array([training, evaluated])
    table = table[:, table.sum(axis=0) > 0]
    if not (table.sum(axis=1) > 0).all():
        return None
    shares = np.maximum(table / table.sum(axis=1, keepdims=True), MIN_SHARE)
    index = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    p_value = float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
    return Drift(list(groups), list(training), list(evaluated), index, p_value)
