"""The report's plots, as PNG files; each function draws one figure from numbers and knows no files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .calibration import Bin
from .evaluation import Evaluation

DPI = 120
MAX_NAME = 28
MAX_CURVES = 10


def draw(evaluation: Evaluation, history: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Returns the figures that this evaluation has, by file name."""
    figures = {"learning_curves.png": learning_curves(history), "reliability.png": reliability(evaluation.reliability)}
    names = [label.name for label in evaluation.labels]
    if evaluation.confusion is not None:
        figures["confusion_matrix.png"] = confusion_matrix(evaluation.confusion, names)
    if evaluation.curves:
        figures["precision_recall.png"] = precision_recall(evaluation.curves)
    return figures


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the losses by epoch, and beside them the metrics on the validation part."""
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("eval_loss", "validation")):
        _line(losses, history, key, label)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    if losses.lines:
        losses.legend()
    names = {name for entry in history for name in entry if name.startswith("eval_")}
    for name in sorted(names):
        if name.endswith(("_f1", "accuracy")):
            _line(metrics, history, name, name.removeprefix("eval_"))
    metrics.set(xlabel="epoch", title="Validation part", ylim=(0, 1))
    if metrics.lines:
        metrics.legend(loc="lower right")
    for axes in (losses, metrics):
        axes.grid(alpha=0.3)
    return figure


def reliability(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """Draws what share of the scores is right; a perfect classifier is on the diagonal."""
    figure = Figure(figsize=(4.6, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    for name, items in bins.items():
        axes.plot([item.score for item in items], [item.right for item in items], marker="o", label=name)
    axes.set(xlabel="score", ylabel="share that is right", title="Reliability, test part", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def confusion_matrix(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Draws (labels, labels) counts, rows being the truth, coloured by the share of their row."""
    size = len(names)
    side = min(20.0, 2.5 + 0.38 * size)
    figure = Figure(figsize=(side + 0.8, side), dpi=DPI if size <= 40 else 80, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    short = [_short(name) for name in names]
    small = 8 if size <= 40 else 6
    axes.set_xticks(range(size), short, rotation=90, fontsize=small)
    axes.set_yticks(range(size), short, fontsize=small)
    axes.set(xlabel="given", ylabel="expected", title="Confusion matrix, test part: rows")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=small, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the expected")
    return figure


def precision_recall(curves: Mapping[str, npt.NDArray[np.float64]]) -> Figure:
    """Draws a curve per label, in as many panels as keep them apart."""
    names = list(curves)
    panels = [names[start : start + MAX_CURVES] for start in range(0, len(names), MAX_CURVES)]
    figure = Figure(figsize=(7.5, 4.2 * len(panels)), dpi=DPI, layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        for name in panel:
            axes.plot(curves[name][:, 0], curves[name][:, 1], label=_short(name))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.suptitle("Precision and recall, test part")
    return figure


def _line(axes: Axes, history: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if points:
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 60 else "", label=label)


def _short(name: str) -> str:
    """Shortens a label, and has matplotlib take `$` for what it is and not hide what begins with `_`."""
    cut = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
    return (" " if cut.startswith("_") else "") + cut.replace("$", r"\$")
