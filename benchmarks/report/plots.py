"""The plots of the benchmark report; each draws one figure from the measurements."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, ScalarFormatter

from training.decisions.metrics import TITLES as METRICS
from training.reporting.svg import MUTED, OTHER, OURS, SERIES, styled

from ..harness.catalog import CONTENDERS, CONTROL, LITMUS
from ..measurements.latency_plot import TITLES

# One colour for each library; the green of the series is too close to that of Litmus.
FAMILIES = {
    "pytorch": SERIES[0],
    "optimum": SERIES[1],
    "openvino": SERIES[3],
    "pipeline": SERIES[4],
    "sentence-transformers": SERIES[5],
}
LINES = {"fp32": "-", "bf16": "--", "int8": ":"}
MARKERS = {"fp32": "o", "bf16": "s", "int8": "^"}


def title(name: str, variant: str) -> str:
    """Returns a contender's name for people; `litmus` has its variant."""
    return f"Litmus {variant}" if name == LITMUS else TITLES[name]


def shown(report: Mapping[str, Any]) -> list[str]:
    """Returns the contenders with results in the order of the catalog, without the control."""
    return [name for name in CONTENDERS if name in report["results"] and name != CONTROL]


@styled
def speed_and_quality(report: Mapping[str, Any]) -> Figure:
    """Draws the main metric of every contender by its median latency of one real text."""
    figure = Figure(figsize=(8, 4.6))
    axes = figure.subplots()
    metric = next(iter(next(iter(report["results"].values()))["figures"]))
    points = []
    for name in shown(report):
        result = report["results"][name]
        median_ms, value = _first(result)["median_ms"], result["figures"][metric]
        axes.plot(median_ms, value, linestyle="", markersize=9, **_look(name, report["variant"], line=False))
        points.append((median_ms, value))
    axes.set_xscale("log")
    _plain_ticks(axes, [median_ms for median_ms, _ in points])
    values = [value for _, value in points]
    margin = max(0.02, max(values) - min(values))
    axes.set_ylim(min(values) - margin, min(1.0, max(values) + margin) + 0.002)
    axes.set(xlabel="ms per text, one real text at a time (left is faster)", ylabel=METRICS[metric])
    axes.set_title(f"Speed and quality: {METRICS[metric]} on the test split by latency")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


@styled
def latency_by_length(report: Mapping[str, Any]) -> Figure:
    """Draws the median latency of one text by its number of tokens."""
    figure = Figure(figsize=(8, 4.6))
    axes = figure.subplots()
    names = [name for name in next(iter(report["results"].values()))["workloads"] if name.endswith(" tokens")]
    lengths = [int(name.split()[0]) for name in names]
    for name in shown(report):
        medians = [report["results"][name]["workloads"][workload]["median_ms"] for workload in names]
        axes.plot(lengths, medians, **_look(name, report["variant"]))
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="ms per text, median")
    axes.set_title("Latency of one text by length")
    _mark(axes, lengths)
    _plain_logarithms(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


@styled
def throughput_by_batch(report: Mapping[str, Any]) -> Figure:
    """Draws texts per second of real texts by batch size."""
    workloads = real_workloads(report)
    figure = Figure(figsize=(8, 4.2))
    axes = figure.subplots()
    sizes = list(workloads)
    for name in shown(report):
        rates = [report["results"][name]["workloads"][workload]["texts_per_s"] for workload in workloads.values()]
        axes.plot(sizes, rates, **_look(name, report["variant"]))
    axes.set(xscale="log", xlabel="texts per batch", ylabel="texts per second", ylim=(0, None))
    axes.set_title("Throughput on real texts by batch size")
    _mark(axes, sizes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


@styled
def memory_and_start(report: Mapping[str, Any]) -> Figure:
    """Draws peak memory and time to the first scores of every contender."""
    names = shown(report)
    figure = Figure(figsize=(9, 1 + 0.36 * len(names)))
    memory, start = figure.subplots(1, 2, sharey=True)
    peaks = [(report["results"][name]["memory_mb"] or {}).get("peak", 0) for name in names]
    starts = [report["results"][name]["start_s"] for name in names]
    colours = [OURS if name.startswith(LITMUS) else OTHER for name in names]
    for axes, values, form, heading in (
        (memory, peaks, "{:.0f} MB", "Peak memory"),
        (start, starts, "{:.1f} s", "Process start to first scores"),
    ):
        bars = axes.barh(range(len(names)), values, color=colours)
        axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
        axes.set_title(heading)
        axes.set_xlim(0, max(values) * 1.25 or 1)
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.tick_params(left=False)
        axes.spines[["bottom", "left"]].set_visible(False)
    memory.set_yticks(range(len(names)), [title(name, report["variant"]) for name in names])
    memory.invert_yaxis()
    return figure


@styled
def roofline(report: Mapping[str, Any]) -> Figure:
    """Draws the arithmetic that every variant achieves by length, below the ceilings of the machine."""
    figure = Figure(figsize=(8, 4.2))
    axes = figure.subplots()
    colours = dict(zip(("int8", "bf16", "fp32"), SERIES, strict=False))
    lengths = [row["tokens"] for row in next(iter(report["results"].values()))]
    for name, ceiling in report["ceilings_gops"].items():
        axes.axhline(ceiling, color=colours[name], linestyle="--")
        axes.annotate(
            f"{name} ceiling {ceiling:.0f}", (lengths[0], ceiling), (0, 3), textcoords="offset points", fontsize=8
        )
    for name, rows in report["results"].items():
        axes.plot(lengths, [row["gops"] for row in rows], marker="o", color=colours[name], label=f"Litmus {name}")
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="10⁹ operations per second")
    axes.set_title("How much of this CPU's arithmetic is used")
    _mark(axes, lengths)
    _plain_logarithms(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


def real_workloads(report: Mapping[str, Any]) -> dict[int, str]:
    """Returns the workloads of real texts by batch size, 1 first."""
    workloads = next(iter(report["results"].values()))["workloads"]
    return {figures["texts"]: name for name, figures in workloads.items() if not name.endswith(" tokens")}


def _first(result: Mapping[str, Any]) -> Mapping[str, Any]:
    first: Mapping[str, Any] = next(iter(result["workloads"].values()))
    return first


def _look(name: str, variant: str, *, line: bool = True) -> dict[str, Any]:
    """Returns colour by library, and line and marker by precision; Litmus is drawn stronger."""
    precision = variant if name == LITMUS else name.rpartition("-")[2]
    colour = next((colour for family, colour in FAMILIES.items() if name.startswith(family)), MUTED)
    ours = name.startswith(LITMUS)
    look: dict[str, Any] = {
        "label": title(name, variant),
        "color": OURS if ours else colour,
        "marker": MARKERS.get(precision, "D"),
        "zorder": 3 if ours else 2,
    }
    if line:
        look |= {"linestyle": LINES.get(precision, "-."), "linewidth": 3 if name == LITMUS else 1.5, "markersize": 5}
    return look


def _mark(axes: Axes, values: Sequence[float]) -> None:
    """Labels a logarithmic horizontal axis at these values only."""
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain_logarithms(axes: Axes) -> None:
    """Labels a logarithmic vertical axis with 1, 2, 5, 10, 20 and so on."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Labels a logarithmic axis with round numbers around the values."""
    steps = [step * 10**power for power in range(-1, 5) for step in (1, 2, 5)]
    low, high = min(values) / 1.3, max(values) * 1.3
    axes.set_xlim(low, high)
    _mark(axes, [step for step in steps if low <= step <= high])
    axes.tick_params(axis="x", which="minor", color=MUTED)
