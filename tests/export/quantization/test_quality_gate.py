"""The quality gate: its figures, its limits, and the search for a scheme that passes."""

from typing import Any

import numpy as np
import pytest

from export.quantization.int8 import Scheme
from export.quantization.quality_gate import QualityGate, compare
from export.quantization.scheme_search import find_scheme, layer_sensitivity
from export.sources.calibration_data import LabelledTexts
from training.decisions.learning import Decisions

LABELS = ("calm", "glad", "sad")


def logits(decided: list[int]) -> np.ndarray:
    """Returns one-hot logits with these predictions."""
    return np.eye(3, dtype=np.float32)[decided]


def test_single_label_figures() -> None:
    """Figures have the label agreement, the drop of accuracy, and each label's F1 with its change."""
    rows = LabelledTexts((), np.array([0, 0, 1, 2]))
    figures = compare(
        logits([0, 0, 1, 2]), logits([0, 1, 1, 2]), rows, task="single_label", labels=LABELS, decisions=Decisions()
    )
    assert figures["rows"] == 4
    assert figures["agreement"] == 0.75
    assert figures["metric"] == "accuracy"
    assert figures["metric_drop"] == 0.25
    assert figures["fp32_metrics"]["accuracy"] == 1
    assert figures["labels"]["calm"] == {"f1": pytest.approx(2 / 3), "change": pytest.approx(-1 / 3)}
    assert figures["labels"]["sad"] == {"f1": 1.0, "change": 0.0}
    assert figures["max_logit_difference"] == 1
    assert figures["mean_logit_difference"] == pytest.approx(2 / 12)


def test_multi_label_figures() -> None:
    """A multi-label row agrees if its whole label set does; the metric is micro-F1."""
    reference = np.array([[1, -1, 1], [1, 1, -1]], np.float32)
    found = np.array([[1, -1, -1], [1, 1, -1]], np.float32)
    rows = LabelledTexts((), np.array([[1, 0, 1], [1, 1, 0]]))
    figures = compare(reference, found, rows, task="multi_label", labels=LABELS, decisions=Decisions())
    assert figures["agreement"] == 0.5
    assert figures["metric"] == "micro_f1"
    assert figures["metric_drop"] == pytest.approx(1 - 6 / 7)
    assert figures["labels"]["sad"] == {"f1": 0.0, "change": -1.0}


def test_without_targets_there_is_agreement_alone() -> None:
    """Texts without targets give label agreement but no metric."""
    figures = compare(
        logits([0, 1]),
        logits([0, 1]),
        LabelledTexts((), None),
        task="single_label",
        labels=LABELS,
        decisions=Decisions(),
    )
    assert figures["agreement"] == 1
    assert "metric" not in figures
    assert QualityGate().breaches(figures) == []


def test_abstaining_is_a_decision() -> None:
    """A row that only one graph labels does not agree; accuracy covers all rows."""
    reference = np.array([[2, 0, 0], [9, 0, 0], [9, 0, 0]], np.float32)
    found = np.array([[1, 0, 0], [9, 0, 0], [9, 0, 0]], np.float32)
    rows = LabelledTexts((), np.array([0, 0, 0]))
    figures = compare(
        reference, found, rows, task="single_label", labels=LABELS, decisions=Decisions(abstain_below=0.7)
    )
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert figures["metric_drop"] == 0


def test_abstaining_uses_calibrated_scores() -> None:
    """The abstention threshold applies to scores after temperature scaling."""
    reference, found = np.array([[2, 0, 0]], np.float32), np.array([[1, 0, 0]], np.float32)
    decisions = Decisions(temperature=10, abstain_below=0.7)
    figures = compare(
        reference, found, LabelledTexts((), None), task="single_label", labels=LABELS, decisions=decisions
    )
    assert figures["agreement"] == 1


@pytest.mark.parametrize(
    ("agreement", "drop", "breaches"),
    [
        (0.99, 0.005, []),
        (0.989, 0.0, ["agreement 0.9890 is below 0.99"]),
        (1.0, 0.006, ["accuracy drops by 0.0060, more than 0.005"]),
        (1.0, -0.2, []),
    ],
)
def test_limits(agreement: float, drop: float, breaches: list[str]) -> None:
    """Figures at the limits pass, and a gain is no drop."""
    figures = {"agreement": agreement, "metric": "accuracy", "metric_drop": drop}
    assert QualityGate(max_metric_drop=0.005, min_agreement=0.99).breaches(figures) == breaches


class Bench:
    """Stands for int8 graphs: each quantized layer adds its error, and an error of 0.01 costs 1 % of agreement."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs

    def judge(self, scheme: Scheme) -> dict[str, Any]:
        """Returns the figures of a scheme."""
        error = sum(cost for name, cost in self.costs.items() if name not in scheme.excluded)
        error *= 1.5 if scheme.ranges == "mean" else 1
        return {"agreement": 1 - error, "mean_logit_difference": error}


SCHEMES = [Scheme(ranges="mean"), Scheme(ranges="widest")]


def test_search_takes_the_nearer_ranges() -> None:
    """The search takes the scheme with the least logit error and stops if it passes."""
    bench = Bench({"a": 0.001, "b": 0.002})
    result = find_scheme(SCHEMES, ["a", "b"], bench.judge, bench.judge, QualityGate(), most_excluded=1)
    assert result.scheme == Scheme(ranges="widest")
    assert result.sensitivity == {}


def test_search_prefers_a_scheme_that_passes() -> None:
    """A scheme that passes is preferred to one with a smaller logit error that does not."""
    bench = Bench({"a": 0.001})

    def judge(scheme: Scheme) -> dict[str, Any]:
        return bench.judge(scheme) | {"agreement": 1.0 if scheme.ranges == "mean" else 0.5}

    result = find_scheme(SCHEMES, ["a", "b", "c"], judge, judge, QualityGate(), most_excluded=1)
    assert result.scheme == Scheme(ranges="mean")


def test_search_keeps_no_layer_in_fp32_without_gain() -> None:
    """A layer whose fp32 does not lower the error stays int8."""
    bench = Bench({"a": 0.03, "b": -0.001} | {f"c{index}": 0 for index in range(7)})
    result = find_scheme(
        SCHEMES, list(bench.costs), bench.judge, bench.judge, QualityGate(min_agreement=1.1), most_excluded=3
    )
    assert result.scheme.excluded == {"a"}


def test_search_keeps_the_most_sensitive_layers_in_fp32() -> None:
    """The most sensitive layers stay fp32 one after another until the scheme passes."""
    costs = {"a": 0.001, "b": 0.03, "c": 0.02} | {f"d{index}": 0.0005 for index in range(6)}
    bench = Bench(costs)
    result = find_scheme(SCHEMES, list(costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert result.scheme.excluded == {"b", "c"}
    assert list(result.sensitivity)[:2] == ["b", "c"]
    assert QualityGate().breaches(result.figures) == []


def test_search_stops_at_the_allowed_number() -> None:
    """The search stops at the allowed number of fp32 layers, with a scheme that fails."""
    costs = {f"l{index}": 0.02 for index in range(9)}
    bench = Bench(costs)
    result = find_scheme(SCHEMES, list(costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert len(result.scheme.excluded) == 3
    assert QualityGate().breaches(result.figures)


def test_search_counts_named_layers() -> None:
    """Layers named on the command line count towards the allowed number."""
    bench = Bench({f"l{index}": 0.02 for index in range(9)})
    schemes = [Scheme(excluded=frozenset({"l7", "l8"}))]
    result = find_scheme(schemes, list(bench.costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert result.scheme.excluded == {"l0", "l7", "l8"}


def test_search_adds_no_layer_beyond_the_allowed_number() -> None:
    """No layer is added if the named ones already exceed the allowed number."""
    bench = Bench({f"l{index}": 0.02 for index in range(9)})
    schemes = [Scheme(excluded=frozenset({"l7", "l8"}))]
    result = find_scheme(schemes, list(bench.costs), bench.judge, bench.judge, QualityGate(), most_excluded=1)
    assert result.scheme.excluded == {"l7", "l8"}


def test_sensitivity_is_a_share() -> None:
    """The sensitivity of a layer is its share of the whole error, the most sensitive first."""
    bench = Bench({"a": 0.01, "b": 0.03})
    shares = layer_sensitivity(Scheme(), ["a", "b"], bench.judge)
    assert shares == {"b": pytest.approx(0.75), "a": pytest.approx(0.25)}
    assert list(shares) == ["b", "a"]
