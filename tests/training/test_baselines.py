"""The simple models: that they are fitted, on odd data, too."""

import numpy as np
import pytest

from training.baselines import judge_baselines
from training.data import LabelledData, Part


def dataset(texts: list[str], targets: np.ndarray) -> LabelledData:
    """A data set whose parts are alike."""
    part = Part(tuple(texts), targets, np.arange(len(texts)), tuple(texts))
    task = "multi_label" if targets.ndim == 2 else "single_label"
    return LabelledData(task, ("a", "b", "c"), "", (), part, part, part, {})


def test_single_label_in_chinese() -> None:
    """A character is a word; all four learn to tell three apart."""
    texts = [f"{'火水木'[index % 3]} {'日'}" for index in range(30)]
    found = judge_baselines(dataset(texts, np.arange(30) % 3), str, seed=0)
    assert len(found) == 4
    assert all(figures["accuracy"] == 1.0 for figures in found.values())


@pytest.mark.filterwarnings("error")
def test_multi_label_with_a_label_that_never_comes() -> None:
    """It is never given, wherever it stands, and does not stop the others."""
    texts = [f"{'late' if index % 2 else 'fine'} {'loud' if index % 3 else 'calm'}" for index in range(60)]
    targets = np.zeros((60, 3), np.float32)
    targets[:, 1], targets[:, 2] = np.arange(60) % 2, np.arange(60) % 3 > 0
    found = judge_baselines(dataset(texts, targets), str, seed=0)
    assert len(found) == 4
    assert all(figures["micro_f1"] > 0.95 for figures in found.values())


def test_texts_are_cleaned() -> None:
    """As the transformer's are: what it never sees is no help."""
    texts = [f"{'late' if index % 2 else 'fine'}" for index in range(40)]
    found = judge_baselines(dataset(texts, np.arange(40) % 2), lambda _: "same", seed=0)
    assert all(figures["accuracy"] <= 0.5 for figures in found.values())


def test_data_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """No baseline then, and a line on it."""
    assert judge_baselines(dataset(["!!"] * 9, np.arange(9) % 3), str, seed=0) == {}
    assert "TF-IDF, ridge: not possible on this data" in caplog.text
