"""The report's plots, as PNG files; each function draws one figure from numbers and knows no files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..arrays import Doubles, Integers
from ..decisions.temperature import BINS, Bin
from ..evaluation.figures import Evaluation, SelectivePrediction

DPI = 120
MANY_LABELS = 30  # more are not read in one picture
WORST_LABELS = 20
MAX_NAME = 28
MAX_CURVES = 10


def draw(evaluation: Evaluation, history: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Returns the figures that this evaluation has, by file name."""
    figures = {"learning_curves.png": learning_curves(history), "reliability.png": reliability(evaluation.reliability)}
    names = [label.name for label in evaluation.labels]
    if evaluation.confusion is not None:
        figures["confusion_matrix.png"] = confusion_matrix(evaluation.confusion, names)
    if evaluation.coverage is not None:
        figures["coverage.png"] = coverage(evaluation.coverage, evaluation.answers)
    if evaluation.curves:
        f1 = {label.name: label.f1 for label in evaluation.labels}
        figures["precision_recall.png"] = precision_recall(evaluation.curves, f1)
    return figures


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the losses by epoch, and beside them the metrics on the validation split."""
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("eval_loss", "validation")):
        _line(losses, history, key, label)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    names = {name for entry in history for name in entry if name.startswith("eval_")}
    for name in sorted(names):
        if name.endswith(("_f1", "accuracy")):
            _line(metrics, history, name, name.removeprefix("eval_"))
    metrics.set(xlabel="epoch", title="Validation split")
    for axes in (losses, metrics):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def reliability(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """Draws the accuracy by confidence, a perfect classifier on the diagonal, and below it the rows of every bin."""
    figure = Figure(figsize=(5.4, 5.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    for place, (name, items) in enumerate(bins.items()):
        (line,) = upper.plot([item.score for item in items], [item.right for item in items], marker="o", label=name)
        width = 1 / BINS / len(bins)
        edges = [min(int(item.score * BINS), BINS - 1) / BINS + place * width for item in items]
        lower.bar(edges, [item.rows for item in items], width=0.9 * width, align="edge", color=line.get_color())
    upper.set(ylabel="accuracy", title="Reliability, test split", xlim=(0, 1), ylim=(0, 1.02))
    lower.set(xlabel="confidence", ylabel="rows", yscale="log")
    upper.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def coverage(points: Doubles, answers: SelectivePrediction | None) -> Figure:
    """Draws the precision of the labels given by the share of rows that get one, the most confident first.

    Args:
        points: (points, 2) coverage and precision.
        answers: Where the classifier abstains, or None.
    """
    figure = Figure(figsize=(5.4, 3.8), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(points[:, 0], points[:, 1], drawstyle="steps-post" if len(points) < 20 else "default")
    if answers is not None:
        axes.plot(answers.coverage, answers.precision, marker="o", linestyle="", label="abstain level")
        axes.legend()
    axes.set(xlabel="coverage", ylabel="precision", title="Precision by coverage, test split", xlim=(0, 1))
    axes.grid(alpha=0.3)
    return figure


def confusion_matrix(counts: Integers, names: Sequence[str]) -> Figure:
    """Draws (labels, labels) counts, rows being the true labels, coloured by the share of their row.

    Of more than `MANY_LABELS` labels, those that are in most errors.
    """
    title, shares = "Confusion matrix, test split", counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if len(names) > MANY_LABELS:
        wrong = counts - np.diag(np.diag(counts))
        worst = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:WORST_LABELS])
        title += f":\nthe {len(worst)} of {len(names)} labels with most errors"
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
    """Draws a curve per label, in as many panels as keep them apart; of many labels those with the lowest F1."""
    names = list(curves)
    title = "Precision and recall, test split"
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
    """Shortens a label in its middle, and has matplotlib take `$` for what it is and not hide what begins with `_`."""
    half = MAX_NAME // 2
    cut = name if len(name) <= MAX_NAME else f"{name[:half]}…{name[1 - half :]}"
    return (" " if cut.startswith("_") else "") + cut.replace("$", r"\$")
