"""The tables of a latency report."""

from typing import Any

import pytest

from benchmarks.measurements.latency_tables import markdown


@pytest.fixture
def report() -> dict[str, Any]:
    """A latency report of PyTorch and of a contender that is prepared, on real texts and on one length."""

    def result(factor: float, **others: Any) -> dict[str, Any]:
        workloads = {"real texts": (1, 20.0), "batches of 8 test texts": (8, 80.0), "32 tokens": (1, 10.0)}
        figures = {
            name: {
                "texts": texts,
                "median_ms": ms / factor,
                "p95_ms": 2 * ms / factor,
                "texts_per_s": 1000 * texts / ms * factor,
                "speedup": factor,
            }
            for name, (texts, ms) in workloads.items()
        }
        return {"workloads": figures, "figures": {"accuracy": 0.9, "macro_f1": 0.8}, "start_s": 4.25, **others}

    memory_mb = {"resident": 480.4, "peak": 512.0}
    return {
        "machine": {
            "cpu": "Some CPU",
            "cpu_flags": ["avx2"],
            "threads": 2,
            "versions": {"onnxruntime": "1.31.1", "torch": "2.13.0"},
        },
        "settings": {"rounds": 7, "rows": 114},
        "results": {
            "pytorch-fp32": result(1, prepare_s=None, memory_mb=None),
            "openvino-int8": result(2, prepare_s=12.34, memory_mb=memory_mb, label_agreement=0.98765),
        },
        "litmus_speedup": {},
        "control": {},
        "overhead": {"overhead_us": 50.0, "predict_us": 2050.0, "bare_us": 2000.0, "tokens": 30, "calls": 1500},
        "failures": {"pipeline": "pipeline: its process ended"},
    }


def test_single_texts_and_batches_are_two_tables(report: dict[str, Any]) -> None:
    """Latencies are of single texts, throughputs of real texts by batch size, and both have the speedup."""
    lines = markdown(report).splitlines()
    assert "| contender | real texts | 32 tokens |" in lines
    assert "| openvino-int8 | 10.00 (20.00) **2.0x** | 5.00 (10.00) **2.0x** |" in lines
    assert "| contender | 1 | 8 |" in lines
    assert "| openvino-int8 | 100.0 **2.0x** | 200.0 **2.0x** |" in lines
    assert lines[-1] == "pipeline: its process ended"


def test_quality_start_and_memory(report: dict[str, Any]) -> None:
    """A cell is empty for a contender that is not prepared, has no baseline to agree with, or runs without /proc."""
    lines = markdown(report).splitlines()
    assert (
        "| contender | accuracy | macro F1 | label agreement | prepare, s | start, s | memory, MB | peak, MB |" in lines
    )
    assert "| openvino-int8 | 0.9000 | 0.8000 | 98.77% | 12.3 | 4.25 | 480 | 512 |" in lines
    assert "| pytorch-fp32 | 0.9000 | 0.8000 |  |  | 4.25 |  |  |" in lines


def test_without_batches_there_is_no_throughput(report: dict[str, Any]) -> None:
    """Real texts one at a time are not shown a second time."""
    for result in report["results"].values():
        del result["workloads"]["batches of 8 test texts"]
    assert "Throughput" not in markdown(report)


@pytest.mark.parametrize("ratios", [{"real texts": 1.05, "32 tokens": 1.1}, {"real texts": 1.05, "32 tokens": 1 / 1.1}])
def test_control_shows_the_largest_difference(report: dict[str, Any], ratios: dict[str, float]) -> None:
    """The line about the control has the largest difference in either direction, and is missing without a control."""
    line = "The same contender twice differs by up to 10.0%: smaller differences mean nothing here."
    assert line in markdown(report | {"control": ratios}).splitlines()
    assert "The same contender" not in markdown(report)


def test_report_without_results(report: dict[str, Any]) -> None:
    """If every contender failed, the reasons are shown."""
    assert markdown(report | {"results": {}}).endswith("pipeline: its process ended\n")
