"""From logits to labels, as the manifest's decision fields say."""

import dataclasses
import math
from pathlib import Path

import pytest

from runtime import InferenceError
from runtime.artifact.manifest import Manifest, Task
from runtime.decision.policy import aggregate, scores, select_labels


@pytest.fixture
def manifest(artifact: Path) -> Manifest:
    """A single-label manifest with the labels calm, glad and sad."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


def test_softmax_with_temperature(manifest: Manifest) -> None:
    """Single-label scores are the softmax of the logits divided by the temperature."""
    logits = [math.log(1), math.log(4), math.log(16)]
    assert scores(logits, manifest) == pytest.approx([1 / 21, 4 / 21, 16 / 21])
    halved = dataclasses.replace(manifest, temperature=2.0)
    assert scores(logits, halved) == pytest.approx([1 / 7, 2 / 7, 4 / 7])


def test_sigmoid_with_temperature(manifest: Manifest) -> None:
    """Multi-label scores are independent sigmoids, without overflow and without loss of small scores."""
    multi_label = dataclasses.replace(manifest, task="multi_label", thresholds=(0.5,) * 3, temperature=2.0)
    assert scores([2 * math.log(3), 0, -2 * math.log(3)], multi_label) == pytest.approx([0.75, 0.5, 0.25])
    assert scores([1e38, -1e38, -80], multi_label) == pytest.approx([1, 0, math.exp(-40)], rel=1e-9)
    assert scores([3e38, -3e38, 0], manifest) == [1, 0, 0]


def test_abstain_below(manifest: Manifest) -> None:
    """A score at `abstain_below` is enough for a label, a lower one is not; without it there is always a label."""
    careful = dataclasses.replace(manifest, abstain_below=0.6)
    assert select_labels([0.3, 0.6, 0.1], careful) == ("glad",)
    assert select_labels([0.3, 0.59, 0.11], careful) == ()
    assert select_labels([0.3, 0.36, 0.34], manifest) == ("glad",)


def test_threshold_per_label(manifest: Manifest) -> None:
    """A label is assigned if its score reaches its own threshold; the labels are sorted by score."""
    multi_label = dataclasses.replace(manifest, task="multi_label", thresholds=(0.9, 0.2, 0.5))
    assert select_labels([0.8, 0.2, 0.5], multi_label) == ("sad", "glad")
    assert select_labels([0.0, 0.1, 0.4], multi_label) == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_logits(manifest: Manifest, bad: float) -> None:
    """One NaN or infinite logit among good ones raises InferenceError."""
    with pytest.raises(InferenceError, match="NaN or infinite"):
        scores([0, bad, 2], manifest)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_aggregation_of_windows(manifest: Manifest, task: Task) -> None:
    """Windows are combined by mean or maximum; single-label maxima are normalized to sum to one."""
    rows = [[0.5, 0.25, 0.25], [0.25, 0.75, 0.0]]
    assert aggregate(rows, "mean", task) == [0.375, 0.5, 0.125]
    highest = [1 / 3, 1 / 2, 1 / 6] if task == "single_label" else [0.5, 0.75, 0.25]
    assert aggregate(rows, "max", task) == pytest.approx(highest)
