"""The plots of a classifier's reports; each function draws one figure from numbers and writes no files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..arrays import Doubles, Integers
from ..decisions.metrics import TITLES
from ..decisions.temperature import Bin
from ..evaluation.classification import SelectivePrediction
from ..evaluation.intervals import wilson
from .svg import MUTED, SERIES, styled

MANY_LABELS = 30  # more are not readable in one plot
WORST_LABELS = 20
MAX_NAME = 28
MAX_CURVES = 6  # as many as there are colours
STRONGEST = 0.6  # opacity of a cell of the confusion matrix with all rows of its label; text on it stays readable


@styled
def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the losses by epoch, next to the metrics on the validation split."""
    figure = Figure(figsize=(9, 3.6))
    losses, metrics = figure.subplots(1, 2)
    for key, label in (("loss", "training split"), ("eval_loss", "validation split")):
        _line(losses, history, key, label)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss by epoch")
    names = {name.removeprefix("eval_") for entry in history for name in entry if name.startswith("eval_")}
    for name in sorted(name for name in names if name.endswith(("_f1", "accuracy"))):
        _line(metrics, history, f"eval_{name}", TITLES.get(name, name))
    metrics.set(xlabel="epoch", ylabel="metric", title="Metrics on the validation split by epoch")
    for axes in (losses, metrics):
        axes.set_xlim(left=0)
        if axes.lines:
            axes.legend()
    return figure


@styled
def reliability(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """Draws accuracy by confidence with 95 % intervals, a perfect classifier on the diagonal, and the rows below.

    Args:
        bins: From `temperature.wide_bins`, by the name of the scores.
    """
    figure = Figure(figsize=(6.4, 5.8))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="perfectly calibrated")
    for place, (name, items) in enumerate(bins.items()):
        accuracy = [wilson(round(item.accuracy * item.rows), item.rows) for item in items]
        confidence = [item.confidence for item in items]
        errors = [[point.value - point.low for point in accuracy], [point.high - point.value for point in accuracy]]
        points = [point.value for point in accuracy]
        colour = SERIES[place % len(SERIES)]
        upper.errorbar(confidence, points, np.abs(errors), marker="o", capsize=3, label=name, color=colour)
        width = 0.02
        centres = [x + (place - (len(bins) - 1) / 2) * width for x in confidence]
        bars = lower.bar(centres, [item.rows for item in items], width=width, color=colour)
        if len(bins) == 1:
            lower.bar_label(bars, fontsize=8, padding=1)
    upper.set(ylabel="accuracy", title="Is the confidence right?", xlim=(0, 1.02), ylim=(0, 1.05))
    lower.set(xlabel="confidence", ylabel="rows")
    lower.margins(y=0.25)
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    upper.legend(loc="upper left")
    return figure


@styled
def coverage(points: Doubles, selective: SelectivePrediction | None) -> Figure:
    """Draws precision by coverage, the most confident rows first.

    Args:
        points: (points, 2) coverage and precision.
        selective: The point at which the classifier abstains, or None.
    """
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    axes.plot(points[:, 0], points[:, 1], drawstyle="steps-post" if len(points) < 20 else "default")
    if selective is not None:
        axes.plot(
            selective.coverage, selective.precision, marker="o", linestyle="", label="where this classifier abstains"
        )
        axes.legend()
    axes.set(
        xlabel="coverage: share of rows that get a label",
        ylabel="precision",
        title="What abstaining on the least confident rows gives",
        xlim=(0, 1),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    return figure


@styled
def confusion_matrix(counts: Integers, names: Sequence[str]) -> Figure:
    """Draws the confusion matrix, coloured by the share of the true label.

    Args:
        counts: (labels, labels) int64, one row per true label. Of more than `MANY_LABELS` labels, only the
            `WORST_LABELS` labels with the most errors are drawn.
        names: Names of the labels.
    """
    title, shares = "Confusion matrix: rows by true and predicted label", counts / np.maximum(_total(counts), 1)
    if len(names) > MANY_LABELS:
        wrong = counts - np.diag(np.diag(counts))
        worst = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:WORST_LABELS])
        title += f",\nthe {len(worst)} of {len(names)} labels with the most errors"
        counts, shares, names = counts[np.ix_(worst, worst)], shares[np.ix_(worst, worst)], [names[i] for i in worst]
    size = len(names)
    side = 2.4 + 0.36 * size
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    for row, column in zip(*np.nonzero(counts), strict=True):
        opacity = STRONGEST * shares[row, column]
        axes.add_patch(_cell(int(column), int(row), opacity))
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8)
    short = [_short(name) for name in names]
    axes.set_xticks(range(size), short, rotation=90, fontsize=8)
    axes.set_yticks(range(size), short, fontsize=8)
    axes.grid(visible=False)
    axes.set(xlabel="predicted label", ylabel="true label", title=title, aspect="equal")
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    return figure


@styled
def precision_recall(curves: Mapping[str, Doubles], f1: Mapping[str, float]) -> Figure:
    """Draws a curve per label, at most `MAX_CURVES` per panel; of many labels, those with the lowest F1."""
    names = list(curves)
    title = "Precision and recall at every threshold, by label"
    if len(names) > MANY_LABELS:
        names = sorted(names, key=lambda name: f1[name])[:MANY_LABELS]
        title += f": the {len(names)} of {len(curves)} labels with the lowest F1"
    panels = [names[start : start + MAX_CURVES] for start in range(0, len(names), MAX_CURVES)]
    figure = Figure(figsize=(8.5, 3.6 * len(panels)))
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        for name in panel:
            axes.plot(curves[name][:, 0], curves[name][:, 1], label=_short(name))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.suptitle(title)
    return figure


def _total(counts: Integers) -> Integers:
    return np.asarray(counts.sum(axis=1, keepdims=True))


def _cell(column: int, row: int, opacity: float) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=SERIES[0], alpha=opacity, edgecolor="none")


def _line(axes: Axes, history: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if points:
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 60 else "", label=label)


def _short(name: str) -> str:
    """Shortens a label in the middle, and keeps matplotlib from parsing `$` and from hiding a leading `_`."""
    half = MAX_NAME // 2
    cut = name if len(name) <= MAX_NAME else f"{name[:half]}…{name[1 - half :]}"
    return (" " if cut.startswith("_") else "") + cut.replace("$", r"\$")
