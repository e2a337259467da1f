"""The quality gate: its figures, its budget, and what the search does outside it."""

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
    """One-hot logits that decide so."""
    return np.eye(3, dtype=np.float32)[decided]


def test_single_label_figures() -> None:
    """Agreement is of decisions, the drop of accuracy against the truth, and each label has its change."""
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
    """A row agrees if its whole label set does; the metric is micro-F1."""
    reference = np.array([[1, -1, 1], [1, 1, -1]], np.float32)
    found = np.array([[1, -1, -1], [1, 1, -1]], np.float32)
    rows = LabelledTexts((), np.array([[1, 0, 1], [1, 1, 0]]))
    figures = compare(reference, found, rows, task="multi_label", labels=LABELS, decisions=Decisions())
    assert figures["agreement"] == 0.5
    assert figures["metric"] == "micro_f1"
    assert figures["metric_drop"] == pytest.approx(1 - 6 / 7)
    assert figures["labels"]["sad"] == {"f1": 0.0, "change": -1.0}


def test_without_targets_there_is_agreement_alone() -> None:
    """Texts without labels still say whether decisions change."""
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
    """A row that gets a label from one graph and none from the other is no agreement; accuracy is that of all rows."""
    reference = np.array([[2, 0, 0], [9, 0, 0], [9, 0, 0]], np.float32)
    found = np.array([[1, 0, 0], [9, 0, 0], [9, 0, 0]], np.float32)
    rows = LabelledTexts((), np.array([0, 0, 0]))
    figures = compare(
        reference, found, rows, task="single_label", labels=LABELS, decisions=Decisions(abstain_below=0.7)
    )
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert figures["metric_drop"] == 0


def test_abstaining_goes_by_calibrated_scores() -> None:
    """The level is one of scores after the temperature."""
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
def test_budget(agreement: float, drop: float, breaches: list[str]) -> None:
    """The limits themselves are inside; a gain is no drop."""
    figures = {"agreement": agreement, "metric": "accuracy", "metric_drop": drop}
    assert QualityGate(max_metric_drop=0.005, min_agreement=0.99).breaches(figures) == breaches


class Bench:
    """Stands for graphs: each layer in int8 costs an error of its own, and every 0.01 of it a per cent of agreement."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs

    def judge(self, scheme: Scheme) -> dict[str, Any]:
        """Adds up."""
        error = sum(cost for name, cost in self.costs.items() if name not in scheme.excluded)
        error *= 1.5 if scheme.ranges == "mean" else 1
        return {"agreement": 1 - error, "mean_logit_difference": error}


SCHEMES = [Scheme(ranges="mean"), Scheme(ranges="widest")]


def test_search_takes_the_nearer_ranges() -> None:
    """And asks no further if those are inside the budget."""
    bench = Bench({"a": 0.001, "b": 0.002})
    found = find_scheme(SCHEMES, ["a", "b"], bench.judge, bench.judge, QualityGate(), most_excluded=1)
    assert found.scheme == Scheme(ranges="widest")
    assert found.sensitivity == {}


def test_search_prefers_what_is_inside_the_budget() -> None:
    """Ranges that change fewer decisions, though their logits are farther, save a layer from fp32."""
    bench = Bench({"a": 0.001})

    def judge(scheme: Scheme) -> dict[str, Any]:
        return bench.judge(scheme) | {"agreement": 1.0 if scheme.ranges == "mean" else 0.5}

    found = find_scheme(SCHEMES, ["a", "b", "c"], judge, judge, QualityGate(), most_excluded=1)
    assert found.scheme == Scheme(ranges="mean")


def test_search_leaves_no_layer_out_for_nothing() -> None:
    """A layer whose being left in fp32 makes things worse, or no better, stays int8."""
    bench = Bench({"a": 0.03, "b": -0.001} | {f"c{index}": 0 for index in range(7)})
    found = find_scheme(
        SCHEMES, list(bench.costs), bench.judge, bench.judge, QualityGate(min_agreement=1.1), most_excluded=3
    )
    assert found.scheme.excluded == {"a"}


def test_search_leaves_out_the_worst_layers() -> None:
    """One after another, until the budget holds."""
    costs = {"a": 0.001, "b": 0.03, "c": 0.02} | {f"d{index}": 0.0005 for index in range(6)}
    bench = Bench(costs)
    found = find_scheme(SCHEMES, list(costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert found.scheme.excluded == {"b", "c"}
    assert list(found.sensitivity)[:2] == ["b", "c"]
    assert QualityGate().breaches(found.figures) == []


def test_search_gives_up_after_as_many_as_allowed() -> None:
    """int8 that is mostly fp32 is not worth its file; what was found is outside the budget and says so."""
    costs = {f"l{index}": 0.02 for index in range(9)}
    bench = Bench(costs)
    found = find_scheme(SCHEMES, list(costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert len(found.scheme.excluded) == 3
    assert QualityGate().breaches(found.figures)


def test_search_counts_layers_that_were_left_out_before() -> None:
    """Those named on the command line are among the layers that may stay fp32."""
    bench = Bench({f"l{index}": 0.02 for index in range(9)})
    schemes = [Scheme(excluded=frozenset({"l7", "l8"}))]
    found = find_scheme(schemes, list(bench.costs), bench.judge, bench.judge, QualityGate(), most_excluded=3)
    assert found.scheme.excluded == {"l0", "l7", "l8"}


def test_search_leaves_out_no_more_than_were_before() -> None:
    """Also where they are more than may be left."""
    bench = Bench({f"l{index}": 0.02 for index in range(9)})
    schemes = [Scheme(excluded=frozenset({"l7", "l8"}))]
    found = find_scheme(schemes, list(bench.costs), bench.judge, bench.judge, QualityGate(), most_excluded=1)
    assert found.scheme.excluded == {"l7", "l8"}


def test_blame_is_a_share() -> None:
    """Of the whole error, worst first."""
    bench = Bench({"a": 0.01, "b": 0.03})
    shares = layer_sensitivity(Scheme(), ["a", "b"], bench.judge)
    assert shares == {"b": pytest.approx(0.75), "a": pytest.approx(0.25)}
    assert list(shares) == ["b", "a"]
