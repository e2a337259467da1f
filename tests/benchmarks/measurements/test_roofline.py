"""The arithmetic of operators, and the report that compares it with the ceiling."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.measurements import roofline
from benchmarks.measurements.roofline import operation_count


def event(name: str, inputs: list[list[int]], output: list[int]) -> dict[str, Any]:
    """Returns an operator as onnxruntime's profile has it."""
    shapes = {"input_type_shape": [{"float": shape} for shape in inputs], "output_type_shape": [{"float": output}]}
    return {"args": {"op_name": name, **shapes}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (event("MatMul", [[2, 10, 4]], [2, 10, 8]), 2 * 2 * 10 * 4 * 8),
        (event("MatMulIntegerToFloat", [[1, 10, 4], [1]], [1, 10, 8]), 2 * 10 * 4 * 8),
        (event("Gemm", [[1, 4], [8]], [1, 8]), 2 * 4 * 8),
        (event("MultiHeadAttention", [[1, 1, 4], [1, 10, 4], [1, 10, 4]], [1, 1, 4]), 2 * 2 * 10 * 4),
        (event("QAttention", [[1, 10, 4], [12]], [1, 10, 4]), 2 * 10 * 4 * 12 + 2 * 2 * 10 * 10 * 4),
        (event("Add", [[1, 10, 4]], [1, 10, 4]), 0),
    ],
)
def test_operations(found: dict[str, Any], expected: int) -> None:
    """Matrix products and attention count two operations per multiplication with its addition."""
    assert operation_count(found) == expected


@pytest.mark.slow
def test_variants_do_the_same_arithmetic(trained: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 and int8 need almost the same operations, more for longer texts, and the table has every row."""
    monkeypatch.setattr(roofline, "ceilings_gops", ceilings_gops)
    report = roofline.measure(trained[1], threads=1)
    counts = {name: [row["giga_operations"] for row in rows] for name, rows in report["results"].items()}
    assert set(counts) == {"fp32", "int8"}
    assert counts["int8"] == pytest.approx(counts["fp32"], rel=0.1)
    assert counts["fp32"] == sorted(counts["fp32"])
    assert roofline.markdown(report).count("\n| int8 |") == len(counts["int8"])
    assert Path(trained[1]).is_dir()


def ceilings_gops(threads: int) -> dict[str, float]:
    """Stands in for the measurement, which takes 16 seconds; a process of its own imports it."""
    return {"fp32": 100.0, "int8": 100.0 * threads}
