"""Metrics by group, and the differences between groups."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from benchmarks.evaluation.slices import SMALL, countable, rate_gaps, slices
from runtime.artifact.manifest import Manifest
from training.arrays import Integers

LABELS = 3
ROWS = 400


@pytest.fixture
def manifest(classifier: "object") -> Manifest:
    """The manifest of an artifact with three labels."""
    return classifier.manifest  # type: ignore[attr-defined, no-any-return]


def predictions(random: np.random.Generator, accuracy: float = 0.85, rows: int = ROWS) -> tuple[Integers, Integers]:
    """Returns true and predicted labels."""
    targets = random.integers(LABELS, size=rows)
    return targets, np.where(random.random(rows) < accuracy, targets, random.integers(LABELS, size=rows))


def test_gaps_are_those_of_fairlearn() -> None:
    """Demographic parity and equalized odds of every label against the rest are fairlearn's differences."""
    random = np.random.default_rng(0)
    targets, decided = predictions(random)
    groups = random.integers(4, size=ROWS)
    true, given = (np.eye(LABELS, dtype=bool)[items] for items in (targets, decided))
    found = rate_gaps(groups, 4, countable(given, true), LABELS)
    for label in range(LABELS):
        pair = true[:, label], given[:, label]
        parity = demographic_parity_difference(*pair, sensitive_features=groups)
        odds = equalized_odds_difference(*pair, sensitive_features=groups)
        assert found["demographic parity"][label] == pytest.approx(parity)
        assert found["equalized odds"][label] == pytest.approx(odds)
    rates = [(targets == decided)[groups == group].mean() for group in range(4)]
    assert found["accuracy"][0] == pytest.approx(max(rates) - min(rates))


def test_planted_bias_is_found(manifest: Manifest) -> None:
    """A group whose rows are often wrong is the worst, and its difference is beyond chance."""
    random = np.random.default_rng(1)
    targets, decided = predictions(random, 0.9)
    site = np.where(random.random(ROWS) < 0.25, "south", "north")
    wrong = (site == "south") & (random.random(ROWS) < 0.4)
    decided = np.where(wrong, (targets + 1) % LABELS, decided)
    (found,) = slices({"site": list(site)}, decided, targets, manifest)
    assert found.worst is not None
    assert found.worst.name == "south"
    assert found.worst.accuracy.value == pytest.approx((decided == targets)[site == "south"].mean())
    assert {gap.name: gap.significant for gap in found.differences}["accuracy"]


@pytest.mark.parametrize("draw", range(20))
def test_random_groups_do_not_differ(manifest: Manifest, draw: int) -> None:
    """Groups that were drawn at random are never said to differ."""
    random = np.random.default_rng(draw)
    targets, decided = predictions(random)
    site = random.choice(["a", "b", "c", "d"], size=ROWS, p=[0.4, 0.3, 0.2, 0.1])
    (found,) = slices({"site": list(site)}, decided, targets, manifest)
    assert len(found.differences) == 3
    assert not any(gap.significant for gap in found.differences)


def test_small_groups_are_marked(manifest: Manifest) -> None:
    """A group with few rows is shown and marked, and takes no part in the differences."""
    random = np.random.default_rng(2)
    targets, decided = predictions(random)
    site = ["tiny"] * (SMALL - 1) + ["large"] * (ROWS - SMALL + 1)
    decided[: SMALL - 1] = (targets[: SMALL - 1] + 1) % LABELS
    (found,) = slices({"site": site}, decided, targets, manifest)
    assert [(group.name, group.small) for group in found.groups] == [("tiny", True), ("large", False)]
    assert found.differences == ()
    assert found.worst is not None
    assert found.worst.name == "large"
