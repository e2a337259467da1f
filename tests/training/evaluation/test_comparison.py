"""Bootstrap intervals, the baseline that a model is compared with, and the spread over seeds."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training.data.dataset import LabelledData, Split
from training.decisions.metrics import METRICS, quality
from training.evaluation.baselines import Baseline
from training.evaluation.comparison import PERCENTILES, RESAMPLES, Interval, Lead, bootstrap, compare, spread

LABELS = 5


def rows(task: str, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, predictions that are mostly right, and predictions that are so less often; the last label is rare."""
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
    """Drawing how often each kind of row comes gives the interval that drawing the rows themselves gives."""
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
    """A classifier that predicts the same as another differs from it on no draw."""
    targets, good, _ = rows("single_label")
    found = bootstrap({"one": good, "other": good.copy()}, targets, "single_label", LABELS)
    assert (found["one"] == found["other"]).all()


def test_labels_that_a_draw_leaves_out() -> None:
    """A label of one row is missing from a third of the draws, and a perfect classifier is perfect on those as well."""
    targets = np.array([0] * 19 + [4])
    assert (bootstrap({"perfect": targets}, targets, "single_label", LABELS)["perfect"] == 1).all()


def test_large_blocks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many kinds of rows are drawn in several blocks, and there is a value for each draw."""
    monkeypatch.setattr("training.evaluation.comparison.BLOCK_CELLS", 1000)
    targets, good, _ = rows("multi_label")
    found = bootstrap({"good": good}, targets, "multi_label", LABELS)["good"]
    assert ((found > 0.3) & (found < 1)).all()


def dataset(targets: np.ndarray) -> LabelledData:
    """A data set of single-label rows."""
    part = Split(("t",) * len(targets), targets, np.arange(len(targets)), ())
    return LabelledData("single_label", tuple("abcde"), "", (), part, part, part, {})


def test_best_baseline_on_the_validation_split() -> None:
    """The model is compared with the baseline that is best there, though another is better on the test split."""
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
    """The model is compared with the one that does best on the test split, which is never in its favour."""
    targets, good, bad = rows("single_label")
    baselines = {
        "weak": Baseline("words", {"macro_f1": 0.8}, {"macro_f1": 0.6}, bad),
        "strong": Baseline("words", {"macro_f1": 0.8}, {"macro_f1": 0.9}, good),
    }
    lead = compare(good, baselines, {}, dataset(targets)).lead
    assert lead is not None
    assert lead.baseline == "strong"


def test_comparison_is_the_same_in_every_run() -> None:
    """The draws have a seed of their own."""
    targets, good, bad = rows("single_label")
    baselines = {"x": Baseline("words", {"macro_f1": 0.7}, {"macro_f1": 0.9}, bad)}
    one, other = (compare(good, baselines, {}, dataset(targets)) for _ in range(2))
    assert (one.model, one.lead) == (other.model, other.lead)


@pytest.mark.parametrize(
    ("low", "high", "rows", "winner"),
    [(0.1, 0.2, 100, "model"), (-0.2, -0.1, 100, "baseline"), (0, 0.2, 100, None), (0, 0, 100, None), (1, 1, 19, None)],
)
def test_winner(low: float, high: float, rows: int, winner: str | None) -> None:
    """There is one where the interval of the difference leaves zero out, on enough rows."""
    difference = Interval((low + high) / 2, low, high)
    assert Lead("x", "words", difference, difference, rows).winner == winner


def test_spread() -> None:
    """It has the mean of the seeds and the standard deviation of a sample, of each split; of one seed there is none."""
    seeds = {
        seed: {name: {"accuracy": 0.8 + step / 10} for name in ("train", "validation", "test")}
        for step, seed in enumerate((42, 43, 44))
    }
    found = spread(seeds)["test"]["accuracy"]
    assert found == pytest.approx({"mean": 0.9, "standard_deviation": 0.1})
    assert spread({42: seeds[42]}) == {}
