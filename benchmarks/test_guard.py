"""The regression guard: fails if Litmus's own code adds more than a limit to its tokenizer and session."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from runtime import Classifier

from .measurements import guard


def test_guard(benchmark: BenchmarkFixture, classifier: Classifier, texts: tuple[str, ...]) -> None:
    """Every way of predicting stays below its limit, compared with the same work by hand in the same process."""
    benchmark(classifier.predict, texts[0])
    if benchmark.disabled:
        pytest.skip("nothing is measured with --benchmark-disable")
    measured = guard.measure(classifier)
    benchmark.extra_info.update({name: found.ratio for name, found in measured.items()})
    slow = [f"{name} {found.ratio:.3f} (limit {found.limit})" for name, found in measured.items() if not found.passed]
    assert not slow, f"times as long as tokenizer and session by hand: {', '.join(slow)}"
