"""The regression guard compares Litmus with the same work by hand."""

import time
from typing import Any

import numpy as np
import pytest

from benchmarks.measurements import guard
from benchmarks.measurements.guard import Guarded, bare_many
from runtime import Classifier
from runtime.engine.session import Session


def test_work_by_hand_is_the_same(classifier: Classifier) -> None:
    """The hand-written way gives the classifier's logits."""
    texts = [f"late {'again ' * (n % 7)}" for n in range(20)]
    np.testing.assert_allclose(bare_many(classifier)(texts), classifier.logits(texts), atol=1e-5)


def test_limit() -> None:
    """A ratio has to be below its limit."""
    assert Guarded(1.02, 1.03).passed
    assert not Guarded(1.03, 1.03).passed


@pytest.mark.slow
def test_slower_code_is_noticed(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """If our code takes nine times as long as the session, the ratio says so for every way, on a busy machine too."""
    run = Session.run

    def slow(session: Session, *arguments: Any) -> Any:
        start = time.perf_counter()
        found = run(session, *arguments)
        time.sleep(9 * (time.perf_counter() - start))
        return found

    monkeypatch.setattr(Session, "run", slow)
    assert all(not found.passed and found.ratio > 2 for found in guard.measure(classifier, calls=12).values())
