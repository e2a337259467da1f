"""Temperature, thresholds and abstaining: what is learned, on cases that can be checked on paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from training.decisions.learning import Decisions, best_threshold, decide, learn, learn_thresholds
from training.decisions.temperature import (
    Bin,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    scores,
)

TASKS = ("single_label", "multi_label")


def drawn(task: str, temperature: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Draws labels from the scores of random logits, and returns the logits as an overconfident model would."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(rows, 4)).astype(np.float32) * 2
    found = scores(logits, task, 1.0)
    if task == "single_label":
        targets = (found.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    else:
        targets = (random.random(found.shape) < found).astype(np.float32)
    return logits * np.float32(temperature), targets


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_temperature_is_found(task: str, temperature: float) -> None:
    """The temperature that sharpened the scores is found again, and the calibration error decreases."""
    logits, targets = drawn(task, temperature)
    found = fit_temperature(logits, targets, task)
    assert found == pytest.approx(temperature, rel=0.1)
    before, after = (expected_calibration_error(reliability(logits, targets, task, t)) for t in (1.0, found))
    assert after < 0.03 < before


@pytest.mark.parametrize("task", TASKS)
def test_no_other_temperature_is_more_likely(task: str) -> None:
    """No temperature of a grid has a higher likelihood."""
    logits, targets = drawn(task, 2.0)
    found = fit_temperature(logits, targets, task)
    least = negative_log_likelihood(logits, targets, task, found)
    assert all(
        negative_log_likelihood(logits, targets, task, found * factor) >= least for factor in (0.5, 0.95, 1.05, 2)
    )


def test_calibration_error_by_hand() -> None:
    """The calibration error weights distances by rows."""
    assert expected_calibration_error([Bin(1, 0.9, 0.5), Bin(3, 0.4, 0.6)]) == pytest.approx(0.25 * 0.4 + 0.75 * 0.2)


@pytest.mark.parametrize("task", TASKS)
def test_calibration_error_by_chance(task: str) -> None:
    """Perfect scores show the error by chance, which decreases with the rows; sharpened scores show more."""
    few, many = (drawn(task, 1.0, rows) for rows in (100, 10000))
    by_chance = [calibration_error_by_chance(logits, task, 1.0) for logits, _ in (few, many)]
    assert by_chance[0] > 3 * by_chance[1] > 0
    found = expected_calibration_error(reliability(*many, task, 1.0))
    assert found == pytest.approx(by_chance[1], abs=0.006)
    assert expected_calibration_error(reliability(*many, task, 0.5)) > 3 * by_chance[1]


def test_reliability_by_hand() -> None:
    """A bin has the mean score of the predicted labels and their accuracy; a score of one is in the last bin."""
    logits = np.array([[0, 0], [0, 0], [100, 0]], np.float32)
    bins = reliability(logits, np.array([0, 1, 0]), "single_label", 1.0)
    assert bins == [Bin(2, 0.5, 0.5), Bin(1, 1.0, 1.0)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=12))
def test_best_threshold_has_the_best_f1(rows: list[tuple[float, bool]]) -> None:
    """No other threshold has a higher F1, also with equal scores."""
    found, targets = np.array([score for score, _ in rows]), np.array([right for _, right in rows])

    def f1(threshold: float) -> float:
        return float(f1_score(targets, found >= threshold, zero_division=0))

    assert f1(best_threshold(found, targets)) == pytest.approx(max(f1(score) for score in (0, *found, 1)))


def test_threshold_is_half_way() -> None:
    """The threshold lies half-way between the last score inside and the first outside."""
    assert best_threshold(np.array([0.9, 0.6, 0.2]), np.array([1, 1, 0])) == pytest.approx(0.4)
    assert best_threshold(np.array([0.9, 0.6]), np.array([0, 0])) == 0.5


def test_rare_labels_share_a_threshold() -> None:
    """A label with ten positive rows has its own threshold, one with nine gets the common threshold."""
    found = np.tile(np.linspace(0.02, 0.98, 100)[:, None], (1, 4))
    targets = np.zeros((100, 4), np.float32)
    for label, positives in enumerate((60, 10, 9, 0)):
        targets[100 - positives :, label] = 1
    common = best_threshold(found.ravel(), targets.ravel())
    thresholds = learn_thresholds(found, targets)
    assert thresholds[0] == best_threshold(found[:, 0], targets[:, 0])
    assert thresholds[1] == best_threshold(found[:, 1], targets[:, 1]) != common
    assert thresholds[2:] == (common, common)


def test_thresholds_are_those_of_calibrated_scores() -> None:
    """Thresholds apply to the scores after the learned temperature."""
    logits, targets = drawn("multi_label", 3.0)
    decisions = learn(logits, targets, "multi_label", target_precision=None)
    found = scores(logits, "multi_label", decisions.temperature)
    assert decisions.thresholds == learn_thresholds(found, targets)
    assert (decide(logits, "multi_label", decisions) == (found >= decisions.thresholds)).all()


def test_abstaining_keeps_the_precision() -> None:
    """The labels above the abstention threshold have the target precision, and a lower level would miss it."""
    logits, targets = drawn("single_label", 1.0)
    decisions = learn(logits, targets, "single_label", target_precision=0.9)
    best, right = scores(logits, "single_label", decisions.temperature).max(axis=1), logits.argmax(axis=1) == targets
    assert decisions.abstain_below is not None
    assert right[best >= decisions.abstain_below].mean() >= 0.9
    assert right[best >= decisions.abstain_below - 0.02].mean() < 0.9
    assert 0.1 < (best >= decisions.abstain_below).mean() < 0.9


def test_abstaining_is_not_needed() -> None:
    """The abstention threshold is 0 if all labels are correct."""
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    assert learn(logits, np.arange(30) % 3, "single_label", target_precision=0.9).abstain_below == 0.0


def test_precision_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    """A precision that no score reaches gives a warning and no abstention threshold."""
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    targets = np.arange(1, 31) % 3
    assert learn(logits, targets, "single_label", target_precision=0.9).abstain_below is None
    logits[0] *= 9  # one lucky row is no evidence
    targets[0] = 0
    assert learn(logits, targets, "single_label", target_precision=0.9).abstain_below is None
    assert "no abstaining: no score that 10 validation rows reach has a precision of 90.0 %" in caplog.text


def test_temperature_of_a_split_without_mistakes() -> None:
    """Without wrong predictions, the temperature stays moderate."""
    logits = 6 * np.eye(3, dtype=np.float32)[np.arange(57) % 3]
    assert 0.3 < fit_temperature(logits, np.arange(57) % 3, "single_label") < 1


def test_sharper_scores_need_more_evidence_than_softer_ones() -> None:
    """A temperature below 1 needs more rows than one above 1, because the epoch was chosen on the same rows."""
    few, many = drawn("single_label", 0.5, 30), drawn("single_label", 0.5, 4000)
    assert 0.6 < fit_temperature(*few, "single_label") < 0.95
    assert fit_temperature(*many, "single_label") == pytest.approx(0.5, rel=0.1)
    softer = drawn("single_label", 2.0, 30)
    assert fit_temperature(*softer, "single_label") > 1.5


def test_record_of_decisions() -> None:
    """Decision parameters are read as they were written; an empty record gives the defaults."""
    assert Decisions.from_record({"decisions": {"temperature": 2, "thresholds": [0.1, 0.2]}}) == Decisions(
        2, (0.1, 0.2)
    )
    assert Decisions.from_record({}) == Decisions()


@pytest.mark.parametrize(
    "content",
    [{"temperature": 0}, {"temperature": "hot"}, {"thresholds": [2]}, {"thresholds": 3}, {"abstain_below": -1}, [1]],
)
def test_damaged_record_of_decisions(content: object) -> None:
    """A record with invalid decision parameters is rejected."""
    with pytest.raises(ValueError, match=r"expected|could not convert"):
        Decisions.from_record({"decisions": content})
