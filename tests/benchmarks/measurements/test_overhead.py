"""The overhead of `predict` is measured against the same work done by hand."""

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import isolated
from benchmarks.measurements import overhead
from benchmarks.measurements.overhead import bare
from runtime import Classifier, Prediction, load


@pytest.mark.slow
@pytest.mark.parametrize("name", ["artifact", "multi_label_artifact"])
def test_bare_minimum_gives_the_same_logits(name: str, request: pytest.FixtureRequest) -> None:
    """The hand-written way gives the classifier's logits, with token types (BERT) and without (DistilBERT)."""
    classifier = load(request.getfixturevalue(name), provider="cpu")
    for text in ("late", "The train was late again, and nobody said why."):
        np.testing.assert_array_equal(bare(classifier)(text), classifier.logits([text]))


def test_overhead_is_the_difference(artifact: Path) -> None:
    """The overhead is the difference of two medians in microseconds, for a text of thirty tokens."""
    found, _ = isolated.run_in_subprocess(overhead.measure, model=str(artifact), threads=1, calls=20)
    assert found["overhead_us"] == pytest.approx(found["predict_us"] - found["bare_us"])
    assert 10 < found["bare_us"] < 1e6
    assert (found["tokens"], found["calls"]) == (30, 20)


def test_what_predict_does_more_is_noticed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `predict` that takes 3 ms longer has an overhead of at least 2900 us."""
    original = Classifier.predict

    def slow(classifier: Classifier, text: str) -> Prediction:
        time.sleep(0.003)
        return original(classifier, text)

    monkeypatch.setattr(Classifier, "predict", slow)
    assert 2900 < overhead.measure(str(artifact), 1, calls=20)["overhead_us"] < 100_000
