"""The simple models: that they are fitted, on odd data, too, with the class weights of the transformer."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from training.data.dataset import LabelledData, Split
from training.evaluation.baselines import _margins, _row_weights, judge_baselines
from training.evaluation.classification import LabelQuality
from training.model.loss import balanced_weights

HALVES = (slice(100), slice(100, 200))


def dataset(texts: list[str], targets: np.ndarray) -> LabelledData:
    """Returns a data set whose three splits are the same."""
    split = Split(tuple(texts), targets, np.arange(len(texts)), tuple(texts))
    task = "multi_label" if targets.ndim == 2 else "single_label"
    return LabelledData(task, ("a", "b", "c"), "", (), split, split, split, {})


def test_single_label_in_chinese() -> None:
    """All four baselines learn three labels from single Chinese characters."""
    texts = [f"{'火水木'[index % 3]} {'日'}" for index in range(30)]
    found = judge_baselines(dataset(texts, np.arange(30) % 3), str, balanced=False)
    assert len(found) == 4
    assert all(baseline.test["accuracy"] == 1.0 for baseline in found.values())


@pytest.mark.filterwarnings("error")
def test_multi_label_with_a_label_that_never_comes() -> None:
    """A label without rows is never predicted and does not affect the other labels."""
    texts = [f"{'late' if index % 2 else 'fine'} {'loud' if index % 3 else 'calm'}" for index in range(60)]
    targets = np.zeros((60, 3), np.float32)
    targets[:, 1], targets[:, 2] = np.arange(60) % 2, np.arange(60) % 3 > 0
    found = judge_baselines(dataset(texts, targets), str, balanced=False)
    assert len(found) == 4
    assert all(baseline.test["micro_f1"] > 0.95 for baseline in found.values())
    assert all(baseline.labels["a"] == LabelQuality(0.0, 0.0, 0.0, 0, 0) for baseline in found.values())
    assert all(baseline.labels["b"].f1 > 0.9 for baseline in found.values())


def test_metrics_of_labels_are_those_of_the_test_split() -> None:
    """Precision, recall and F1 of a label are those of the selected setting on the test split."""
    texts = ["late", "fine", "late", "fine", "loud"] * 10
    train = Split(tuple(texts), np.array([0, 1, 0, 1, 2] * 10), np.arange(50), ())
    # two of three texts that say "late" are labelled so, and two of the four that are labelled so say it
    test = Split(("late", "late", "late", "fine", "loud"), np.array([0, 0, 1, 0, 0]), np.arange(5), ())
    found = judge_baselines(
        LabelledData("single_label", ("a", "b", "c"), "", (), train, train, test, {}), str, balanced=False
    )
    assert found
    for baseline in found.values():
        assert astuple(baseline.labels["a"]) == pytest.approx((2 / 3, 0.5, 4 / 7, 4, 3))


def test_texts_are_cleaned() -> None:
    """Baselines read the cleaned texts only."""
    texts = [f"{'late' if index % 2 else 'fine'}" for index in range(40)]
    found = judge_baselines(dataset(texts, np.arange(40) % 2), lambda _: "same", balanced=False)
    assert all(baseline.test["accuracy"] <= 0.5 for baseline in found.values())


def test_data_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Texts without n-grams in common give no baselines, and a warning says so."""
    assert judge_baselines(dataset(list("!?.,;:-+*"), np.arange(9) % 3), str, balanced=False) == {}
    assert "no baselines: the texts have neither words nor characters in common" in caplog.text


def test_characters_tell_apart_what_words_do_not() -> None:
    """All baselines select character n-grams if only word endings distinguish the labels."""
    texts = [f"{chr(97 + index // 26)}{chr(97 + index % 26)}x{'ing' if index % 2 else 'ed'}" for index in range(200)]
    train, held = (Split(tuple(texts[half]), np.arange(100) % 2, np.arange(100), ()) for half in HALVES)
    reverse = replace(held, texts=held.texts[::-1], targets=held.targets[::-1])
    data = LabelledData("single_label", ("a", "b"), "", (), train, held, reverse, {})
    found = judge_baselines(data, str, balanced=False)
    assert all("character n-grams" in baseline.setting for baseline in found.values())
    assert all(baseline.test["accuracy"] == 1.0 for baseline in found.values())


def uneven(rows: int, seed: int) -> Split:
    """Returns rows of which a tenth has the rare label; of the rows with a hint, a third has it."""
    random = np.random.default_rng(seed)
    targets = (random.random(rows) < 0.1).astype(np.int64)
    texts = tuple("hint" if flag else "none" for flag in random.random(rows) < np.where(targets, 0.9, 0.2))
    return Split(texts, targets, np.arange(rows), texts)


def test_balanced_class_weights() -> None:
    """A rare label that a hint makes more likely, but not probable, is predicted with balanced class weights only."""
    data = LabelledData("single_label", ("often", "rarely"), "", (), *(uneven(400, seed) for seed in range(3)), {})
    plain, balanced = (judge_baselines(data, str, balanced=balanced) for balanced in (False, True))
    for name in plain.keys() - {"TF-IDF, naive Bayes"}:  # which leaves out how frequent labels are, weights or not
        assert not plain[name].predicted.any()
        assert balanced[name].predicted.sum() > 50


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_class_weights_are_those_of_the_loss(task: str) -> None:
    """The weights of the rows are those in the transformer's loss."""
    split = uneven(400, 0)
    rare, labels = split.targets > 0, ("often", "rarely") if task == "single_label" else ("rarely",)
    if task == "multi_label":
        split = replace(split, targets=split.targets[:, None].astype(np.float32))
    data = LabelledData(task, labels, "", (), split, split, split, {})
    expected = balanced_weights(split.targets, task, len(labels)).numpy()
    weights = _row_weights(data, balanced=True)[:, -1]
    assert weights[rare] == pytest.approx(expected[-1])
    assert weights[~rare] == pytest.approx(expected[0] if task == "single_label" else 1)
    assert (_row_weights(data, balanced=False) == 1).all()


def test_the_test_split_picks_nothing() -> None:
    """The setting is the best on the validation split, whatever is best on the test split."""
    split = dataset([f"{'late' if index % 2 else 'fine'} {index}" for index in range(40)], np.arange(40) % 2).train
    wrong = replace(split, targets=1 - split.targets)
    good = LabelledData("single_label", ("a", "b"), "", (), split, split, split, {})
    found, other = (judge_baselines(data, str, balanced=False) for data in (good, replace(good, test=wrong)))
    for name, baseline in found.items():
        assert other[name].setting == baseline.setting
        assert other[name].validation == baseline.validation
        assert other[name].test["accuracy"] == pytest.approx(1 - baseline.test["accuracy"])


def test_long_training_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are tried on some of the rows, and the selected one is fitted to all."""
    texts = [f"{'late' if index % 2 else 'fine'} {index}" for index in range(60)]
    data, rows = dataset(texts, np.arange(60) % 2), []
    monkeypatch.setattr("training.evaluation.baselines.MAX_TUNING_ROWS", 20)
    monkeypatch.setattr(
        "training.evaluation.baselines._margins", lambda *args: (rows.append(len(args[2])), _margins(*args))[1]
    )
    judge_baselines(data, str, balanced=False)
    assert rows == [*[20] * 5, 60] * 3 + [*[20] * 4, 60]
