"""pytest-benchmark suite for `predict`: `make bench` saves its times and shows them beside those of the run before.

No test asserts a time; `test_guard.py` asserts ratios. Compare figures only with figures of the same machine.
"""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from runtime import Classifier, load


def test_load(benchmark: BenchmarkFixture, artifact: Path) -> None:
    """Loading a folder, with every hash checked."""
    assert benchmark(load, artifact, provider="cpu").labels


@pytest.mark.parametrize("words", [6, 30, 126, 254])
def test_predict_length(benchmark: BenchmarkFixture, classifier: Classifier, words: int) -> None:
    """Predicting one text of this many one-token words."""
    prediction = benchmark(classifier.predict, " ".join(["the"] * words))
    assert prediction.n_tokens == words + 2


def test_predict_real_text(benchmark: BenchmarkFixture, classifier: Classifier, texts: tuple[str, ...]) -> None:
    """Predicting one report of the embedded data set."""
    assert benchmark(classifier.predict, texts[0]).label


def test_predict_many(benchmark: BenchmarkFixture, classifier: Classifier, texts: tuple[str, ...]) -> None:
    """Predicting thirty-two reports at once."""
    assert len(benchmark(classifier.predict_many, texts[:32])) == 32


def test_tokenize(benchmark: BenchmarkFixture, classifier: Classifier, texts: tuple[str, ...]) -> None:
    """Tokenizing the text of `test_predict_real_text`."""
    assert benchmark(classifier._tokenizer.encode, texts[0])  # noqa: SLF001 - its share is what is measured
