"""Parts of an evaluation: likely label errors, drift, comparison, bag of words, abstaining."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.abstention import area_under_coverage
from benchmarks.evaluation.comparison import compare
from benchmarks.evaluation.drift import label_drift, length_drift
from benchmarks.evaluation.evaluation import _in_order
from benchmarks.evaluation.label_errors import label_errors
from benchmarks.evaluation.simplicity import bag_of_words
from runtime import Classifier, load
from runtime.artifact.manifest import Manifest
from training.arrays import Doubles, Integers
from training.output.checkpoint import length_rows

LABELS = 3


@pytest.fixture
def manifest(classifier: Classifier) -> Manifest:
    """The manifest of an artifact with three labels."""
    return classifier.manifest


def confident(targets: Integers, random: np.random.Generator) -> Doubles:
    """Returns scores that favour the true label."""
    scores = random.random((len(targets), LABELS)) * 0.2
    scores[np.arange(len(targets)), targets] += 0.8
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def test_planted_label_errors_are_found(manifest: Manifest) -> None:
    """Rows whose label was changed are found, first of all; correct rows hardly ever."""
    random = np.random.default_rng(0)
    true = random.integers(LABELS, size=300)
    scores, given = confident(true, random), true.copy()
    planted = set(range(0, 300, 30))
    for row in planted:
        given[row] = (true[row] + 1) % LABELS
    found = label_errors(scores, scores.argmax(axis=1), given, manifest)
    rows = {item.row for item in found}
    assert len(rows & planted) >= 0.8 * len(planted)
    assert len(rows - planted) <= 2
    first = found[0]
    assert first.suggested == (manifest.labels[true[first.row]],)
    assert first.score == pytest.approx(scores[first.row, given[first.row]])


def test_correct_labels_have_no_errors(manifest: Manifest) -> None:
    """Nothing is found if the model agrees with every label."""
    random = np.random.default_rng(0)
    true = random.integers(LABELS, size=100)
    scores = confident(true, random)
    assert label_errors(scores, scores.argmax(axis=1), true, manifest) == []


def recorded(manifest: Manifest) -> Manifest:
    """Returns a manifest with the distributions of a training split."""
    rows = dict(zip(manifest.labels, (100, 200, 700), strict=True))
    return replace(manifest, training_data={"label_rows": rows, "length_rows": {"10": 500, "20": 400, "32": 100}})


def test_label_drift(manifest: Manifest) -> None:
    """A sample of the training distribution shows no drift, another distribution does."""
    random = np.random.default_rng(0)
    same = label_drift(random.choice(LABELS, size=300, p=[0.1, 0.2, 0.7]), recorded(manifest))
    other = label_drift(random.choice(LABELS, size=300, p=[0.7, 0.2, 0.1]), recorded(manifest))
    assert same is not None
    assert other is not None
    assert same.verdict == "no drift beyond chance"
    assert other.verdict == "strong drift"
    shares = np.array([other.training, other.evaluated]) / [[1000], [300]]
    assert other.index == pytest.approx(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def test_length_drift(manifest: Manifest) -> None:
    """Lengths are counted in the groups of the training split, whose upper bounds are inclusive."""
    found = length_drift(np.array([10] * 5 + [11] * 4 + [32]), recorded(manifest))
    assert found is not None
    assert list(found.evaluated) == [5, 4, 1]
    assert list(found.groups) == ["1 to 10 tokens", "11 to 20 tokens", "21 to 32 tokens"]
    assert found.index == pytest.approx(0)


def test_drift_is_unknown_without_a_record(manifest: Manifest) -> None:
    """An artifact that does not record the distributions has no drift."""
    bare = replace(manifest, training_data={})
    assert label_drift(np.zeros(5, np.int64), bare) is None
    assert length_drift(np.full(5, 7), bare) is None


def test_recorded_lengths() -> None:
    """Training records about ten groups of texts, with upper bounds that include their texts."""
    lengths = np.concatenate([np.arange(1, 101), np.full(50, 100)])
    found = length_rows(lengths, 100)
    assert sum(found.values()) == 150
    assert list(found)[-1] == 100
    assert found[min(found)] == (lengths <= min(found)).sum()
    assert length_rows(np.array([5, 5, 5]), 32) == {5: 3, 32: 0}


def test_comparison_counts_changes(manifest: Manifest) -> None:
    """Gained and lost rows are counted in all and by label, and a clear gain is better."""
    random = np.random.default_rng(0)
    targets = random.integers(LABELS, size=200)
    before = np.where(random.random(200) < 0.6, targets, (targets + 1) % LABELS)
    now = np.where(random.random(200) < 0.9, targets, (targets + 1) % LABELS)
    found = compare(now, before, targets, manifest)
    assert (found.gained, found.lost) == (
        ((now == targets) & (before != targets)).sum(),
        ((now != targets) & (before == targets)).sum(),
    )
    assert found.verdict == "better"
    assert compare(before, now, targets, manifest).verdict == "worse"
    first = found.labels[0]
    place = manifest.labels.index(first.label)
    right, was = ((items == place) == (targets == place) for items in (now, before))
    assert (first.gained, first.lost) == ((right & ~was).sum(), (was & ~right).sum())


def test_few_rows_show_no_difference(manifest: Manifest) -> None:
    """On fewer than 20 rows no artifact is better, not even if all rows are gained."""
    targets = np.arange(10) % LABELS
    assert compare(targets, (targets + 1) % LABELS, targets, manifest).verdict == "no clear difference"


def test_label_that_every_row_has(multi_label_artifact: Path) -> None:
    """Label errors need rows that differ: with one set of labels on all rows, none are found."""
    found = load(multi_label_artifact, provider="cpu").manifest
    targets = np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (30, 1))
    scores = np.random.default_rng(0).random((30, 4))
    assert label_errors(scores, (scores > 0.5).astype(np.int64), targets, found) == []


def test_decisions_in_another_order_of_labels() -> None:
    """Predictions of an artifact with another order of labels are put into this one's."""
    other, mine = ("b", "c", "a"), ("a", "b", "c")
    places = np.array([other.index(label) for label in mine])
    assert [mine[index] for index in _in_order(np.array([0, 1, 2]), places)] == list(other)
    assert _in_order(np.array([[1, 0, 0]]), places).tolist() == [[0, 1, 0]]


def test_bag_of_words_on_simple_texts(manifest: Manifest) -> None:
    """Texts whose label is a word are too simple; texts whose label no word gives away are not."""
    random = np.random.default_rng(0)
    targets = random.integers(LABELS, size=150)
    simple = tuple(f"{['late', 'fine', 'loud'][target]} {n}" for n, target in enumerate(targets))
    hard = tuple(" ".join(random.choice(["late", "fine", "loud"], size=5)) for _ in targets)
    model = np.where(random.random(150) < 0.95, targets, 0)
    found, other = bag_of_words(simple, targets, model, manifest), bag_of_words(hard, targets, model, manifest)
    assert found is not None
    assert other is not None
    assert found.too_simple
    assert found.value > 0.95
    assert not other.too_simple
    assert other.value < 0.6


def test_bag_of_words_needs_rows(manifest: Manifest) -> None:
    """Few rows, or rows of one label, are not compared with a bag of words."""
    targets = np.arange(30) % LABELS
    assert bag_of_words(("late",) * 30, targets, targets, manifest) is None
    same = np.zeros(100, np.int64)
    assert bag_of_words(("late",) * 100, same, same, manifest) is None


def test_area_under_coverage() -> None:
    """The area is the mean precision over all coverages."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert area_under_coverage(scores, np.array([0, 0, 0])) == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert area_under_coverage(scores, np.array([0, 1, 0])) == 1
