"""The plots of the report; each function draws one figure from numbers and writes no files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from ..arrays import Doubles, Integers
from ..decisions.temperature import BINS, Bin
from ..evaluation.figures import Evaluation, SelectivePrediction

DPI = 120
MANY_LABELS = 30  # more are not readable in one plot
WORST_LABELS = 20
MAX_NAME = 28
MAX_CURVES = 10


def draw(evaluation: Evaluation, history: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Returns the figures for this evaluation by file name."""
    figures = {"learning_curves.png": learning_curves(history), "reliability.png": reliability(evaluation.reliability)}
    names = [label.name for label in evaluation.labels]
    if evaluation.confusion is not None:
        figures["confusion_matrix.png"] = confusion_matrix(evaluation.confusion, names)
    if evaluation.coverage is not None:
        figures["coverage.png"] = coverage(evaluation.coverage, evaluation.selective)
    if evaluation.curves:
        f1 = {label.name: label.f1 for label in evaluation.labels}
        figures["precision_recall.png"] = precision_recall(evaluation.curves, f1)
    return figures


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the losses by epoch, next to the metrics on the validation split."""
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("eval_loss", "validation")):
        _line(losses, history, key, label)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    names = {name for entry in history for name in entry if name.startswith("eval_")}
    for name in sorted(names):
        if name.endswith(("_f1", "accuracy")):
            _line(metrics, history, name, name.removeprefix("eval_"))
    metrics.set(xlabel="epoch", ylabel="metric", title="Metrics, validation split")
    for axes in (losses, metrics):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def reliability(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """Draws accuracy by confidence, with a perfect classifier on the diagonal, and the rows of every bin below."""
    figure = Figure(figsize=(5.4, 5.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect calibration")
    for place, (name, items) in enumerate(bins.items()):
        (line,) = upper.plot(
            [item.confidence for item in items], [item.accuracy for item in items], marker="o", label=name
        )
        width = 1 / BINS / len(bins)
        edges = [min(int(item.confidence * BINS), BINS - 1) / BINS + place * width for item in items]
        lower.bar(edges, [item.rows for item in items], width=0.9 * width, align="edge", color=line.get_color())
    upper.set(ylabel="accuracy", title="Reliability diagram, test split", xlim=(0, 1), ylim=(0, 1.02))
    lower.set(xlabel="confidence", ylabel="rows", yscale="log")
    lower.yaxis.set_major_formatter(ScalarFormatter())
    lower.yaxis.set_minor_formatter(NullFormatter())
    upper.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def coverage(points: Doubles, selective: SelectivePrediction | None) -> Figure:
    """Draws precision by coverage, the most confident rows first.

    Args:
        points: (points, 2) coverage and precision.
        selective: The point at which the classifier abstains, or None.
    """
    figure = Figure(figsize=(5.4, 3.8), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(points[:, 0], points[:, 1], drawstyle="steps-post" if len(points) < 20 else "default")
    if selective is not None:
        axes.plot(
            selective.coverage,
            selective.precision,
            marker="o",
            linestyle="",
            label="with the learned abstention threshold",
        )
        axes.legend()
    axes.set(
        xlabel="coverage (fraction of rows with a label)",
        ylabel="precision",
        title="Precision by coverage, test split",
        xlim=(0, 1),
    )
    axes.grid(alpha=0.3)
    return figure


def confusion_matrix(counts: Integers, names: Sequence[str]) -> Figure:
    """Draws the confusion matrix, coloured by the share of the true label.

    Args:
        counts: (labels, labels) int64, one row per true label. Of more than `MANY_LABELS` labels, only the
            `WORST_LABELS` labels with the most errors are drawn.
        names: Names of the labels.
    """
    title, shares = "Confusion matrix, test split", counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if len(names) > MANY_LABELS:
        wrong = counts - np.diag(np.diag(counts))
        worst = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:WORST_LABELS])
        title += f":\nthe {len(worst)} of {len(names)} labels with the most errors"
        counts, shares, names = counts[np.ix_(worst, worst)], shares[np.ix_(worst, worst)], [names[i] for i in worst]
    size = len(names)
    side = 3.6 + 0.36 * size
    figure = Figure(figsize=(side + 0.8, side), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    short = [_short(name) for name in names]
    axes.set_xticks(range(size), short, rotation=90, fontsize=8)
    axes.set_yticks(range(size), short, fontsize=8)
    axes.set(xlabel="predicted label", ylabel="true label", title=title)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true label")
    return figure


def precision_recall(curves: Mapping[str, Doubles], f1: Mapping[str, float]) -> Figure:
    """Draws a curve per label, at most `MAX_CURVES` per panel; of many labels, those with the lowest F1."""
    names = list(curves)
    title = "Precision-recall curves, test split"
    if len(names) > MANY_LABELS:
        names = sorted(names, key=lambda name: f1[name])[:MANY_LABELS]
        title += f": the {len(names)} of {len(curves)} labels with the lowest F1"
    panels = [names[start : start + MAX_CURVES] for start in range(0, len(names), MAX_CURVES)]
    figure = Figure(figsize=(8.5, 4.4 * len(panels)), dpi=DPI, layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        for name in panel:
            axes.plot(curves[name][:, 0], curves[name][:, 1], label=_short(name))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.suptitle(title)
    return figure


def _line(axes: Axes, history: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if points:
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 60 else "", label=label)


def _short(name: str) -> str:
    """Shortens a label in the middle, and keeps matplotlib from parsing `$` and from hiding a leading `_`."""
    half = MAX_NAME // 2
    cut = name if len(name) <= MAX_NAME else f"{name[:half]}…{name[1 - half :]}"
    return (" " if cut.startswith("_") else "") + cut.replace("$", r"\$")
