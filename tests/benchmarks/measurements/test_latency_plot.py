"""`plot` draws a latency report from the report's own figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.harness.catalog import CONTENDERS
from benchmarks.measurements.latency_plot import TITLES, draw

MEDIANS_MS = {"pytorch-fp32": (9.76, 67.23), "litmus": (2.0, 31.26), "openvino-int8": (2.86, 24.9)}


@pytest.fixture
def report() -> dict[str, Any]:
    """A latency report of three contenders at two lengths, on real texts and in batches."""
    versions = {"python": "3.11.7", "onnxruntime": "1.31.1", "torch": "2.13.0", "transformers": "5.23.0"}
    results = {}
    for name, (short, long) in MEDIANS_MS.items():
        medians = {"real texts": 3.3, "32 tokens": short, "512 tokens": long, "8 x 128": 99.0}
        results[name] = {
            "versions": {"openvino": "2026.4.1"} if name == "openvino-int8" else {},
            "workloads": {workload: {"median_ms": median_ms} for workload, median_ms in medians.items()},
        }
    return {
        "kind": "latency",
        "machine": {"cpu": "Some CPU", "cpu_flags": ["avx2", "amx_int8"], "threads": 2, "versions": versions},
        "settings": {"rounds": 5},
        "variant": "int8",
        "results": results,
    }


def panels(report: dict[str, Any]) -> list[Axes]:
    """Draws the report and returns the panels of the figure."""
    figure = draw(report)
    figure.canvas.draw()
    return figure.axes


def test_every_length_is_a_panel_and_every_contender_a_bar(report: dict[str, Any]) -> None:
    """The panels are the text lengths, and the bars are the contenders' medians with Litmus first."""
    short, long = panels(report)
    assert [axes.get_title() for axes in (short, long)] == ["32 tokens", "512 tokens"]
    assert [label.get_text() for label in short.get_yticklabels()] == ["Litmus int8", "PyTorch fp32", "OpenVINO int8"]
    widths = [bar.get_width() for bar in long.patches]
    assert widths == [31.26, 67.23, 24.9]
    bottom, top = long.get_ylim()
    assert bottom > top  # so that the first bar is on top
    assert long.get_xlim()[1] > max(widths)


def test_panels_fill_rows_of_three(report: dict[str, Any]) -> None:
    """Five lengths take two rows, and the sixth place stays empty."""
    for result in report["results"].values():
        result["workloads"] |= {f"{length} tokens": {"median_ms": 5.0} for length in (8, 128, 256)}
    axes = panels(report)
    assert [axis.get_title() for axis in axes if axis.axison] == [f"{n} tokens" for n in (32, 512, 8, 128, 256)]
    assert [(axis.get_subplotspec().rowspan.start, axis.axison) for axis in axes[2:]] == [
        (0, True),
        (1, True),
        (1, True),
        (1, False),
    ]


def test_bars_of_litmus_have_its_colour(report: dict[str, Any]) -> None:
    """Every variant of Litmus has one colour, and every other contender has another."""
    report["results"]["litmus-fp32"] = report["results"]["litmus"]
    colours = [bar.get_facecolor() for bar in panels(report)[0].patches]
    assert colours[0] == colours[1]
    assert colours[2] == colours[3] != colours[0]


def test_bars_show_the_speedup_of_litmus(report: dict[str, Any]) -> None:
    """Each bar shows its median and how much faster Litmus is, also where Litmus is slower."""
    short, long = panels(report)
    assert [label.get_text() for label in short.texts] == ["2.0 ms", "9.8 ms  (4.9x)", "2.9 ms  (1.4x)"]
    assert long.texts[2].get_text() == "24.9 ms  (0.80x)"


def test_control_is_not_drawn(report: dict[str, Any]) -> None:
    """The second process of the same contender has no bar."""
    report["results"]["litmus-control"] = report["results"]["litmus"]
    assert len(panels(report)[0].patches) == len(MEDIANS_MS)


def test_without_litmus_there_is_no_speedup(report: dict[str, Any]) -> None:
    """A contender that is missing is left out, and without Litmus the bars show only medians."""
    del report["results"]["litmus"]
    (short, _) = panels(report)
    assert [label.get_text() for label in short.texts] == ["9.8 ms", "2.9 ms"]


def test_caption_has_machine_and_versions(report: dict[str, Any]) -> None:
    """The caption gives the CPU, its flags, the threads, the rounds and the versions of Litmus and of the peers."""
    caption = draw(report).get_supxlabel()
    for text in ("Some CPU (avx2, amx_int8), 2 threads, 5 interleaved rounds", "torch 2.13.0", "openvino 2026.4.1"):
        assert text in caption


@pytest.mark.parametrize("content", ['{"kind": "latency"}', '{"kind": "latency", "results": []}', "[]"])
def test_file_that_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """A file without results is named in one line, and nothing is drawn."""
    (tmp_path / "other.json").write_text(content)
    paths = ["--latency", str(tmp_path / "other.json"), "--output", str(tmp_path / "plot.svg")]
    assert main(["plot", *paths]) == 1
    assert f"error: {tmp_path}/other.json is not a report; make one with" in capsys.readouterr().err
    assert not (tmp_path / "plot.svg").exists()


def test_report_without_fixed_lengths(report: dict[str, Any]) -> None:
    """A report on real texts alone has nothing to draw."""
    for result in report["results"].values():
        result["workloads"] = {"real texts": {"median_ms": 1.0}}
    with pytest.raises(BenchmarkError, match="no texts of a fixed length"):
        draw(report)


def test_report_without_results(report: dict[str, Any]) -> None:
    """A report in which every contender failed cannot be drawn."""
    with pytest.raises(BenchmarkError, match="no results to draw"):
        draw(report | {"results": {}})


def test_every_contender_has_a_title() -> None:
    """The figure names every contender of the catalog but the control, which it does not draw."""
    assert set(TITLES) == set(CONTENDERS) - {"litmus", "litmus-control"}


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_plot_writes_a_small_file(report: dict[str, Any], tmp_path: Path, suffix: str, start: bytes) -> None:
    """The command writes SVG or PNG by the suffix, below 60 KB, and the same file every time."""
    source = tmp_path / "latency.json"
    source.write_text(json.dumps(report))
    contents = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}{suffix}"
        assert main(["plot", "--latency", str(source), "--output", str(path)]) == 0
        contents.append(path.read_bytes())
    assert contents[0].startswith(start)
    assert len(contents[0]) < 60_000
    assert contents[0] == contents[1]


def test_plot_of_another_suffix(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name that ends in neither .svg nor .png is a usage error."""
    with pytest.raises(SystemExit, match="2"):
        main(["plot", "--latency", "latency.json", "--output", "latency.pdf"])
    assert "expected a file name that ends in .svg or .png" in capsys.readouterr().err
