"""Draws a latency report: one panel per text length, one bar per contender, from the report's figures alone."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import BenchmarkError
from ..harness.catalog import CONTENDERS, CONTROL, LITMUS, LITMUS_FP32

DPI = 120
COLUMNS = 3  # panels in a row
OURS, OTHERS = "#0f766e", "#9ca3af"
VERSIONS = ("onnxruntime", "torch", "transformers")  # of Litmus's own environment
PEER_VERSIONS = ("optimum-onnx", "openvino", "nncf", "sentence-transformers")
TITLES = {
    LITMUS_FP32: "Litmus fp32",
    "pytorch-fp32": "PyTorch fp32",
    "pytorch-bf16": "PyTorch bf16",
    "pytorch-compile": "PyTorch compiled",
    "pipeline": "transformers pipeline",
    "optimum-fp32": "Optimum fp32",
    "optimum-int8": "Optimum int8",
    "optimum-int8-pipeline": "Optimum int8 pipeline",
    "openvino-fp32": "OpenVINO fp32",
    "openvino-bf16": "OpenVINO bf16",
    "openvino-int8": "OpenVINO int8",
    "sentence-transformers-onnx": "Sentence Transformers fp32",
    "sentence-transformers-int8": "Sentence Transformers int8",
}


def draw(report: Mapping[str, Any], chosen: Sequence[int] | None = None) -> Figure:
    """Returns the figure of a latency report.

    Args:
        report: From `latency.measure`. Contenders without results are left out, and so is the control.
        chosen: Lengths in tokens to draw; None for all.

    Raises:
        BenchmarkError: The report has no results, or none for texts of a fixed length.
    """
    results = report["results"]
    names = [name for name in CONTENDERS if name in results and name != CONTROL]
    if not names:
        raise BenchmarkError("the latency report has no results to draw; its `failures` say why")
    lengths = [workload for workload in results[names[0]]["workloads"] if workload.endswith(" tokens")]
    if chosen is not None:
        lengths = [workload for workload in lengths if int(workload.split()[0]) in chosen]
    if not lengths:
        raise BenchmarkError("the latency report has no texts of a fixed length to draw; measure again")
    rows, columns = math.ceil(len(lengths) / COLUMNS), min(COLUMNS, len(lengths))
    size = 9, 1 + rows * (0.3 + 0.34 * len(names))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, length in zip(panels, lengths, strict=False):
        _bars(axes, names, [results[name]["workloads"][length]["median_ms"] for name in names])
        axes.set_title(length, fontsize=10)
    for unused in panels[len(lengths) :]:
        unused.set_axis_off()
    panels[0].set_yticks(range(len(names)), [_title(name, report) for name in names])
    panels[0].invert_yaxis()
    figure.suptitle(_heading(names), fontsize=11)
    figure.supxlabel(_caption(report), fontsize=7, color="#4b5563")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format that the path's suffix names. The same figure gives the same file."""
    drawn = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    # Text stays text: drawn as paths, it would make the file five times as large.
    with mpl.rc_context({"svg.hashsalt": "litmus", "svg.fonttype": "none"}):
        figure.savefig(drawn, format=path.suffix[1:], metadata=metadata)
    path.write_bytes(drawn.getvalue())


def _bars(axes: Axes, names: Sequence[str], medians_ms: Sequence[float]) -> None:
    bars = axes.barh(
        range(len(names)), medians_ms, color=[OURS if name.startswith(LITMUS) else OTHERS for name in names]
    )
    litmus_ms = dict(zip(names, medians_ms, strict=True)).get(LITMUS)
    labels = [
        f"{median_ms:.1f} ms"
        if litmus_ms is None or name == LITMUS
        else f"{median_ms:.1f} ms  ({median_ms / litmus_ms:#.2g}x)"
        for name, median_ms in zip(names, medians_ms, strict=True)
    ]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_xlim(0, max(medians_ms) * 1.6)  # room for the labels
    axes.set_xticks([])
    axes.tick_params(left=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _title(name: str, report: Mapping[str, Any]) -> str:
    return f"Litmus {report['variant']}" if name == LITMUS else TITLES[name]


def _heading(names: Sequence[str]) -> str:
    speedup = "; in brackets, the speedup of Litmus" if LITMUS in names and len(names) > 1 else ""
    return f"Latency of one text, median, lower is better{speedup}"


def _caption(report: Mapping[str, Any]) -> str:
    """Returns the machine, the settings and the versions, in two lines."""
    machine, settings = report["machine"], report["settings"]
    installed = {name: machine["versions"][name] for name in VERSIONS}
    for result in report["results"].values():
        installed |= {name: result["versions"][name] for name in PEER_VERSIONS if name in result["versions"]}
    return (
        f"{machine['cpu']} ({', '.join(machine['cpu_flags'])}), {machine['threads']} threads, "
        f"{settings['rounds']} interleaved rounds\n"
        + ", ".join(f"{name} {version}" for name, version in installed.items())
    )
