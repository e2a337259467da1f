"""Ratios with intervals, and the words that the report makes of them."""

import numpy as np
import pytest

from benchmarks.report.ratios import Ratio, process_noise, ratio
from benchmarks.report.verdict import verdict

from .reports import latency_report

SIZES = {"litmus": 25.0, "checkpoint": 100.0}


def test_interval_covers_the_ratio() -> None:
    """The 95 % interval contains the true ratio in about 95 of 100 runs."""
    inside = 0
    for seed in range(100):
        found = ratio(
            latency_report({"pytorch-fp32": 3.0}, noise=0.1, control=0.0, seed=seed), "pytorch-fp32", "8 tokens"
        )
        inside += found.low <= 3 <= found.high
        assert found.low < found.value < found.high
    assert 85 <= inside <= 100


def test_control_widens_the_interval() -> None:
    """The interval includes the difference between two processes of the same contender."""
    narrow, wide = (
        ratio(latency_report({"pytorch-fp32": 3.0}, control=control), "pytorch-fp32", "8 tokens")
        for control in (0.0, 0.1)
    )
    assert wide.high / wide.value == pytest.approx(np.exp(1.96 * 0.1), rel=0.01)
    assert wide.high > narrow.high
    assert process_noise(latency_report({}, control=0.1)) == pytest.approx(0.1)
    assert process_noise(latency_report({}) | {"control": {}}) == 0


def test_ratio_and_its_inverse() -> None:
    """The inverse of a ratio exchanges the ends of the interval."""
    found = Ratio(0.5, 0.4, 0.8)
    assert found.clear
    assert (found.inverse.value, found.inverse.low, found.inverse.high) == (2, 1.25, 2.5)
    assert not Ratio(1.1, 0.9, 1.3).clear


def test_fastest() -> None:
    """If nobody is faster, the verdict has the lead over PyTorch and over the next contender."""
    text = verdict(latency_report({"pytorch-fp32": 4.0, "optimum-int8": 1.5}), SIZES)
    assert text.startswith(
        "Litmus int8 is 4.0 times (95 % interval 3.9 to 4.1) as fast as PyTorch fp32, one text at a time, "
    )
    assert "with the same labels on 100 % of 114 test rows, at a quarter of the size." in text
    assert "One text at a time, Litmus is the fastest: 1.5" in text
    assert "In batches of 32, Litmus is the fastest: 1.5" in text


def test_nothing_to_compare() -> None:
    """A report on Litmus alone says so."""
    assert verdict(latency_report({}), SIZES) == "Only Litmus could be measured, so there is nothing to compare."


def test_faster_contender_is_named() -> None:
    """A contender that is faster is named with its lead, and with what it costs in labels."""
    report = latency_report({"pytorch-fp32": 4.0, "openvino-int8": 0.8})
    assert "OpenVINO int8 is 1.25 times (95 % interval 1.2" in verdict(report, SIZES)
    report["results"]["openvino-int8"]["label_agreement"] = 0.96
    assert "as fast as Litmus, in batches of 32, but changes the label of 4 % of the test rows." in verdict(
        report, SIZES
    )


def test_too_close_to_tell() -> None:
    """Contenders whose interval includes 1 are not ranked."""
    text = verdict(latency_report({"pytorch-fp32": 4.0, "optimum-int8": 1.02, "openvino-int8": 0.98}, noise=0.1), SIZES)
    assert "One text at a time, OpenVINO int8 and Litmus are too close to tell." in text


def test_noisy_machine() -> None:
    """On a noisy machine the verdict says so first, and small differences have no winner."""
    text = verdict(latency_report({"pytorch-fp32": 1.2, "optimum-int8": 1.15}, control=0.2), SIZES)
    assert text.startswith("This machine was too noisy for small differences: two processes of the same classifier")
    assert "Litmus int8 and PyTorch fp32 are too close to tell, one text at a time" in text
    assert "is the fastest" not in text


def test_changed_labels_are_told() -> None:
    """If the artifact changes labels, the verdict has the metric of both."""
    report = latency_report({"pytorch-fp32": 4.0})
    report["results"]["litmus"] |= {"label_agreement": 0.95, "figures": {"accuracy": 0.85, "macro_f1": 0.8}}
    assert "same labels on 95 % of 114 test rows (accuracy 0.8500 instead of 0.9000)" in verdict(report, SIZES)
