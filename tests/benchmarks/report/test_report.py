"""The page of the report, and the command that measures or reads what it is made of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.report.page import Measurements, document
from training.reporting.document import to_html, to_markdown

from .reports import MACHINE, latency_report


def measurements(**changes: Any) -> Measurements:
    """Returns measurements with known figures."""
    row = {
        "tokens": 8,
        "giga_operations": 0.5,
        "median_ms": 5.0,
        "gops": 100.0,
        "time_share": {"MatMul": 0.75, "Add": 0.25},
    }
    throughput = {
        "settings": {"texts": 40, "tokens": 800, "batch": 32, "padding": 0.25},
        "results": {"padded": {"texts_per_s": 50.0, "speedup": 1.0}, "litmus": {"texts_per_s": 100.0, "speedup": 2.0}},
    }
    roofline = {
        "machine": MACHINE,
        "ceilings_gops": {"fp32": 200.0, "int8": 400.0},
        "results": {"int8": [row, row | {"tokens": 32}]},
    }
    values = {
        "latency": latency_report({"pytorch-fp32": 4.0, "litmus-control": 1.01, "openvino-int8": 0.8}),
        "throughput": throughput,
        "footprint": None,
        "roofline": roofline,
        "service": None,
        "sizes_mb": {"litmus": 25.0, "checkpoint": 100.0},
        "date": "2026-11-29",
        "hourly_price": None,
    }
    return Measurements(**values | changes)  # type: ignore[arg-type]


def test_page_is_self_contained() -> None:
    """The HTML page loads nothing, and has every section of the Markdown report."""
    found = document(measurements(), "artifact")
    page, text = to_html(found), to_markdown(found)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") == text.count("](report/") == 5
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Speed and quality", "Latency", "Throughput", "Memory and start", "Arithmetic", "Method", "Machine and versions"
    ]  # fmt: skip
    assert all(f"<h2>{title}</h2>" in page for title in titles)
    assert page.index('class="verdict"') < page.index("<h1>")
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 0


def test_control_is_no_contender() -> None:
    """The control is in no table; the method says what it showed."""
    text = to_markdown(document(measurements(), "artifact"))
    assert "control |" not in text
    assert "differed by 1.0 %" in text


def test_cost_of_a_million_texts() -> None:
    """The cost is the price of the hours that a million texts take at the fastest batch size."""
    text = to_markdown(document(measurements(hourly_price=3.6), "artifact"))
    per_s = max(
        item["texts_per_s"]
        for name, item in measurements().latency["results"]["litmus"]["workloads"].items()
        if "tokens" not in name
    )
    assert f"| Litmus int8 | {per_s:.1f} | 32 | {1000 / per_s:.3f} |" in text
    assert "## Cost" not in to_markdown(document(measurements(), "artifact"))


def test_arithmetic_has_its_share_of_the_ceiling() -> None:
    """The roofline compares every variant with the ceiling of its precision."""
    assert "| Litmus int8 | 8 | 0.50 | 5.00 | 100 | 25 % | MatMul 75 %, Add 25 % |" in to_markdown(
        document(measurements(), "artifact")
    )


def test_contender_that_failed_is_told() -> None:
    """A contender without results is named with its reason."""
    report = latency_report({"pytorch-fp32": 4.0}) | {"failures": {"pipeline": "pipeline: its process ended"}}
    assert "- pipeline: its process ended" in to_markdown(document(measurements(latency=report), "artifact"))


@pytest.mark.slow
def test_report_is_measured_once(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command measures and writes the page; run again, it reads what it measured, unless a setting has changed."""
    checkpoint, artifact = trained
    options = ["--model", artifact, "--checkpoint", checkpoint, "--output_dir", str(tmp_path / "out"), "--texts", "4"]
    few = [*options, "--contenders", "litmus", "litmus-control", "pytorch-fp32", "--lengths", "8", "--batch_sizes", "2"]
    assert main(["report", *few, "--rounds", "2"]) == 0
    first = capsys.readouterr()
    assert first.out.splitlines()[0] == (tmp_path / "out/report.md").read_text("utf-8").splitlines()[0].replace(
        "\\", ""
    )
    content = (tmp_path / "out/latency.json").read_text("utf-8")
    assert str(tmp_path) not in content + (tmp_path / "out/report.html").read_text("utf-8")
    assert json.loads(content)["settings"]["model"] == "artifact"
    assert main(["report", *few, "--rounds", "2", "--hourly-price", "1"]) == 0
    assert capsys.readouterr().err.count("read from") == 4
    assert (tmp_path / "out/latency.json").read_text("utf-8") == content
    assert "## Cost" in (tmp_path / "out/report.md").read_text("utf-8")
    assert main(["report", *few, "--rounds", "3"]) == 0
    again = capsys.readouterr().err
    assert again.count("read from") == 3
    assert "measuring again" in again
    assert (
        len(
            json.loads((tmp_path / "out/latency.json").read_text())["results"]["litmus"]["workloads"]["8 tokens"][
                "rounds_ms"
            ]
        )
        == 3
    )


@pytest.mark.slow
def test_report_needs_litmus(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report without measurements of Litmus is one line."""
    checkpoint, artifact = trained
    options = ["--model", artifact, "--checkpoint", checkpoint, "--output_dir", str(tmp_path / "out"), "--texts", "2"]
    assert main(["report", *options, "--contenders", "pytorch-fp32", "--lengths", "8", "--rounds", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: a report needs measurements of litmus")


@pytest.mark.parametrize("price", ["0", "-1", "nan", "inf", "x"])
def test_wrong_price(price: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A price that is not above 0 is a wrong call."""
    with pytest.raises(SystemExit, match="2"):
        main(["report", "--model", "a", "--checkpoint", "b", f"--hourly-price={price}"])
    assert "expected a price above 0" in capsys.readouterr().err
