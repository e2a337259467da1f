"""The runtime's label policy and training's decisions are two implementations of one rule."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.decision.policy import scores as runtime_scores
from runtime.decision.policy import select_labels
from training.decisions.learning import Decisions, decide
from training.decisions.temperature import scores

LABELS = ("a", "b", "c", "d")
TEMPERATURE = 2.0


def manifest(task: str, thresholds: tuple[float, ...] | None) -> Any:
    """The fields of a manifest that decide."""
    return SimpleNamespace(task=task, labels=LABELS, thresholds=thresholds, abstain_below=None, temperature=TEMPERATURE)


def logits() -> np.ndarray:
    """Random logits, rounded so that many rows have ties."""
    return np.random.default_rng(0).normal(size=(500, len(LABELS))).round(1).astype(np.float32)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_runtime_and_training_compute_the_same_scores(task: str) -> None:
    """The scores of the runtime and of training are equal on the same logits."""
    expected = scores(logits(), task, TEMPERATURE)
    found = [runtime_scores(row, manifest(task, None)) for row in logits().tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_runtime_and_training_select_the_same_label() -> None:
    """On single-label data both select the same label, and the first of several with the highest score."""
    rows = logits()
    ties = sum((row == row.max()).sum() > 1 for row in rows)
    assert ties > 10
    expected = decide(rows, "single_label", Decisions(TEMPERATURE))
    found = [
        select_labels(row, manifest("single_label", None)) for row in scores(rows, "single_label", TEMPERATURE).tolist()
    ]
    assert found == [(LABELS[index],) for index in expected]


def test_runtime_and_training_select_the_same_labels_at_thresholds() -> None:
    """On multi-label data both select the labels whose scores reach their thresholds, scores equal to one included."""
    rows = logits()
    found = scores(rows, "multi_label", TEMPERATURE)
    thresholds = tuple(float(np.sort(column)[250]) for column in found.T)
    assert ((found == thresholds).sum(axis=0) >= 1).all()
    expected = decide(rows, "multi_label", Decisions(TEMPERATURE, thresholds))
    selected = [set(select_labels(row, manifest("multi_label", thresholds))) for row in found.tolist()]
    assert selected == [{label for label, flag in zip(LABELS, flags, strict=True) if flag} for flags in expected]
