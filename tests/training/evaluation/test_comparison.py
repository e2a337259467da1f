"""Bootstrap intervals, the baseline that a model is compared with, and the spread over seeds."""

from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training.data.dataset import LabelledData, Split
from training.decisions.metrics import METRICS, quality
from training.evaluation.baselines import Baseline
from training.evaluation.classification import LabelQuality
from training.evaluation.comparison import Lead, compare, spread
from training.evaluation.intervals import PERCENTILES, RESAMPLES, Interval, bootstrap

LABELS = 5


def rows(task: str, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns targets, mostly correct predictions, and less often correct ones; the last label is rare."""
    random = np.random.default_rng(0)
    if task == "single_label":
        targets = np.minimum(random.geometric(0.4, size=count), LABELS) - 1
        other = random.integers(LABELS, size=(2, count))
        good, bad = (
            np.where(random.random(count) < share, targets, wrong)
            for share, wrong in zip((0.8, 0.6), other, strict=True)
        )
        return targets, good, bad
    targets = (random.random((count, LABELS)) < 0.2).astype(np.float32)
    good, bad = (np.where(random.random(targets.shape) < share, targets, 1 - targets) for share in (0.9, 0.8))
    return targets, good.astype(np.int64), bad.astype(np.int64)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_bootstrap_is_that_of_drawn_rows(task: str) -> None:
    """Drawing counts of equal rows gives the same interval as drawing the rows themselves."""
    targets, good, bad = rows(task)
    found = bootstrap({"good": good, "bad": bad}, targets, task, LABELS)
    random, average, drawn = np.random.default_rng(1), METRICS[task][0].removesuffix("_f1"), []
    for _ in range(300):
        chosen = random.integers(len(targets), size=len(targets))
        figures = [f1_score(targets[chosen], items[chosen], average=average) for items in (good, bad)]
        drawn.append(figures[0] - figures[1])
    expected = np.percentile(drawn, PERCENTILES)
    difference = found["good"] - found["bad"]
    assert difference.shape == (RESAMPLES,)
    assert np.percentile(difference, PERCENTILES) == pytest.approx(expected, abs=0.02)
    assert difference.mean() == pytest.approx(np.mean(drawn), abs=0.01)


def test_draws_are_paired() -> None:
    """Two classifiers with the same predictions differ on no sample."""
    targets, good, _ = rows("single_label")
    found = bootstrap({"one": good, "other": good.copy()}, targets, "single_label", LABELS)
    assert (found["one"] == found["other"]).all()


def test_labels_that_a_draw_leaves_out() -> None:
    """A perfect classifier has a macro-F1 of 1 also on samples in which a label is missing."""
    targets = np.array([0] * 19 + [4])
    assert (bootstrap({"perfect": targets}, targets, "single_label", LABELS)["perfect"] == 1).all()


def test_large_blocks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of many rows are drawn in several blocks, and every sample has a value."""
    monkeypatch.setattr("training.evaluation.intervals.BLOCK_CELLS", 1000)
    targets, good, _ = rows("multi_label")
    found = bootstrap({"good": good}, targets, "multi_label", LABELS)["good"]
    assert ((found > 0.3) & (found < 1)).all()


def dataset(targets: np.ndarray) -> LabelledData:
    """Returns a data set of single-label rows."""
    split = Split(("t",) * len(targets), targets, np.arange(len(targets)), ())
    return LabelledData("single_label", tuple("abcde"), "", (), split, split, split, {})


def test_best_baseline_on_the_validation_split() -> None:
    """The model is compared with the best baseline on the validation split, not on the test split."""
    targets, good, bad = rows("single_label")
    baselines = {
        "lucky": Baseline("words", {"macro_f1": 0.7}, {"macro_f1": 0.9}, good),
        "sound": Baseline("words", {"macro_f1": 0.8}, {"macro_f1": 0.6}, bad),
    }
    lead = compare(good, baselines, {}, dataset(targets)).lead
    assert lead is not None
    assert (lead.baseline, lead.winner) == ("sound", "model")
    value = quality(good, targets, "single_label")["macro_f1"] - quality(bad, targets, "single_label")["macro_f1"]
    assert lead.difference.value == pytest.approx(value)
    assert lead.difference.low < value < lead.difference.high


def test_baselines_that_are_equal_on_the_validation_split() -> None:
    """Of equal baselines, the one that is best on the test split is compared, which never favours the model."""
    targets, good, bad = rows("single_label")
    baselines = {
        "weak": Baseline("words", {"macro_f1": 0.8}, {"macro_f1": 0.6}, bad),
        "strong": Baseline("words", {"macro_f1": 0.8}, {"macro_f1": 0.9}, good),
    }
    lead = compare(good, baselines, {}, dataset(targets)).lead
    assert lead is not None
    assert lead.baseline == "strong"


def test_record_of_a_baseline() -> None:
    """`training.json` has the metrics of a baseline, by split and by label."""
    targets, good, _ = rows("single_label")
    labels = {"a": LabelQuality(0.5, 0.25, 1 / 3, 8, 4)}
    baselines = {"x": Baseline("words", {"macro_f1": 0.7}, {"macro_f1": 0.9}, good, labels)}
    found = compare(good, baselines, {}, dataset(targets)).to_record()["baselines"]["x"]
    assert found == {
        "setting": "words",
        "validation": {"macro_f1": 0.7},
        "test": {"macro_f1": 0.9},
        "labels": {"a": asdict(labels["a"])},
    }


def test_comparison_is_the_same_in_every_run() -> None:
    """The samples have a fixed seed, so two comparisons are equal."""
    targets, good, bad = rows("single_label")
    baselines = {"x": Baseline("words", {"macro_f1": 0.7}, {"macro_f1": 0.9}, bad)}
    one, other = (compare(good, baselines, {}, dataset(targets)) for _ in range(2))
    assert (one.model, one.lead) == (other.model, other.lead)


@pytest.mark.parametrize(
    ("low", "high", "rows", "winner"),
    [(0.1, 0.2, 100, "model"), (-0.2, -0.1, 100, "baseline"), (0, 0.2, 100, None), (0, 0, 100, None), (1, 1, 19, None)],
)
def test_winner(low: float, high: float, rows: int, winner: str | None) -> None:
    """There is a winner if the interval of the difference excludes zero and there are enough rows."""
    difference = Interval((low + high) / 2, low, high)
    assert Lead("x", "words", difference, difference, rows).winner == winner


def test_spread() -> None:
    """The spread has mean and sample standard deviation over the seeds for each split; one seed has none."""
    seeds = {
        seed: {name: {"accuracy": 0.8 + step / 10} for name in ("train", "validation", "test")}
        for step, seed in enumerate((42, 43, 44))
    }
    found = spread(seeds)["test"]["accuracy"]
    assert found == pytest.approx({"mean": 0.9, "standard_deviation": 0.1})
    assert spread({42: seeds[42]}) == {}
