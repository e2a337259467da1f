"""The report of an evaluation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from training.decisions.metrics import TITLES
from training.decisions.temperature import wide_bins
from training.evaluation.classification import coverage, most_confused, precision_recall
from training.evaluation.intervals import Interval
from training.reporting import plots
from training.reporting.document import Block, Bullets, Card, Document, Plot, Section, Table
from training.reporting.svg import SERIES, styled, to_svg

from .comparison import Comparison
from .evaluation import Evaluation
from .slices import PERMUTATIONS, SMALL, Slice

MAX_LABEL_ERRORS = 30
MAX_CHANGES = 30
MAX_NAME = 40


def document(evaluation: Evaluation, *, model: str, baseline: str | None) -> Document:
    """Returns the report.

    Args:
        evaluation: The figures.
        model: Name of the artifact.
        baseline: Name of the artifact it is compared with.
    """
    rows, manifest = evaluation.rows, evaluation.manifest
    kind = "one label per text" if manifest.task == "single_label" else "any number of labels per text"
    return Document(
        title=f"Evaluation of {model} on {rows.table.name}",
        verdict=verdict(evaluation, baseline),
        cards=_cards(evaluation),
        summary=f"{len(rows.evaluated)} rows, {len(manifest.labels)} labels, {kind}; variant "
        f"{evaluation.scored.variant}; SHA-256 of the file {rows.table.sha256}.",
        sections=[
            Section("Warnings", [Bullets(evaluation.warnings)] if evaluation.warnings else []),
            Section("Metrics", _metrics(evaluation)),
            Section("Comparison", _comparison(evaluation.comparison, baseline)),
            Section("Labels", _labels(evaluation)),
            Section(
                "Groups", [block for number, item in enumerate(evaluation.slices, 1) for block in _slice(item, number)]
            ),
            Section("Confidence", _confidence(evaluation)),
            Section("Texts that belong to no label", _out_of_scope(evaluation)),
            Section("Likely label errors", _label_errors(evaluation)),
            Section("Drift from the training split", _drift(evaluation)),
        ],
    )


def verdict(evaluation: Evaluation, baseline: str | None) -> str:
    """Returns the first line: whether the limits hold, the main metrics, the comparison, and groups that differ."""
    metrics = evaluation.metrics
    parts = [
        f"Below the limit: {TITLES[name]} {value:.4f} is less than {limit:g}."
        for name, value, limit in evaluation.failed
    ]
    share = "accuracy" if "accuracy" in metrics else "exact_match"
    parts.append(
        f"{_capital(TITLES['weighted_f1'])} {evaluation.intervals['weighted_f1']}, {TITLES['macro_f1']} "
        f"{metrics['macro_f1']:.4f}, {TITLES[share]} {metrics[share]:.4f} on {len(evaluation.rows.evaluated)} rows."
    )
    if evaluation.comparison is not None:
        parts.append(_compared(evaluation.comparison, baseline))
    parts += [_worst(item) for item in evaluation.slices if any(gap.significant for gap in item.differences)]
    if evaluation.bag_of_words is not None and evaluation.bag_of_words.too_simple:
        parts.append("A bag of words does as well.")
    return " ".join(parts)


def _compared(found: Comparison, baseline: str | None) -> str:
    title, change = TITLES[found.metric], f"{found.difference.value:+.4f}"
    range_ = f"95 % interval {found.difference.low:+.4f} to {found.difference.high:+.4f}"
    if found.verdict == "no clear difference":
        return f"No clear difference from {baseline}: {title} {change} ({range_})."
    return f"{_capital(found.verdict)} than {baseline}: {title} {change} ({range_})."


def _worst(item: Slice) -> str:
    worst = item.worst
    assert worst is not None, "a difference has groups"
    found = {gap.name: gap for gap in item.differences if gap.significant}
    if "accuracy" not in found:
        gaps = " and ".join(f"{gap.name} of {gap.label} ({gap.value:.2f})" for gap in found.values())
        return f"Groups of {item.column} differ beyond chance in {gaps}."
    return (
        f"Groups of {item.column} differ beyond chance: {_short(worst.name)!r} has the lowest accuracy, "
        f"{worst.accuracy.value:.4f} on {worst.rows} rows."
    )


def _cards(evaluation: Evaluation) -> list[Card]:
    rows = f"{len(evaluation.rows.evaluated)} rows"
    cards = [
        Card(f"{item.value:.4f}", TITLES[name], f"95 % interval {item.range}, {rows}")
        for name, item in evaluation.intervals.items()
        if name != "micro_f1" or evaluation.manifest.task == "multi_label"
    ]
    if evaluation.manifest.task == "single_label":
        right = int((evaluation.scored.decided == evaluation.rows.targets).sum())
        cards.append(Card(f"{evaluation.metrics['accuracy']:.4f}", "accuracy", f"{right} of {rows}"))
    return cards


def _metrics(evaluation: Evaluation) -> list[Block]:
    variants = evaluation.variants
    rows = [
        (title, *(f"{found.metrics[name]:.4f}" for found in variants.values()))
        for name, title in ((name, TITLES[name]) for name in evaluation.metrics)
    ]
    table = Table(("metric", *variants), rows)
    agreements = [
        f"{name} assigns the same labels as {evaluation.scored.variant} to {100 * found.agreement:.2f} % of the rows"
        for name, found in evaluation.variants.items()
        if name != evaluation.scored.variant
    ]
    blocks: list[Block] = [table, *([". ".join(agreements) + "."] if agreements else [])]
    if evaluation.bag_of_words is not None:
        words = evaluation.bag_of_words
        blocks.append(
            f"For comparison, TF-IDF with logistic regression, fitted to four fifths of {words.rows} rows at a time, "
            f"has {TITLES[words.metric]} {words.value:.4f}; the model's lead is {words.difference.value:+.4f} "
            f"(95 % interval {words.difference.low:+.4f} to {words.difference.high:+.4f})."
        )
    return blocks


def _labels(evaluation: Evaluation) -> list[Block]:
    names = evaluation.manifest.labels
    rows = [
        (
            name,
            str(label.rows),
            str(label.predicted),
            *(f"{figure:.4f}" for figure in (label.precision, label.recall, label.f1)),
            f"{evaluation.areas[index]:.4f}" if index in evaluation.areas else "",
        )
        for index, (name, label) in enumerate(zip(names, evaluation.labels, strict=True))
    ]
    blocks: list[Block] = [
        Table(("label", "rows", "predicted rows", "precision", "recall", "F1", "ROC-AUC"), rows),
    ]
    decided, targets = evaluation.scored.decided, evaluation.rows.targets
    if evaluation.manifest.task == "single_label":
        counts = confusion_matrix(targets, decided, labels=range(len(names)))
        blocks.append(_plot("confusion_matrix", plots.confusion_matrix(counts, names), "Confusion matrix"))
        pairs = most_confused(counts, names)
        if pairs:
            blocks.append(
                Table(
                    ("true label", "predicted label", "rows", "share of the true label"),
                    [(pair.true, pair.predicted, str(pair.rows), f"{100 * pair.share:.1f} %") for pair in pairs],
                    "Most confused labels",
                )
            )
    else:
        curves = precision_recall(evaluation.scored.scores, targets, names)
        f1 = dict(zip(names, (label.f1 for label in evaluation.labels), strict=True))
        caption = "Precision and recall of every label"
        blocks.append(_plot("precision_recall", plots.precision_recall(curves, f1), caption))
    return blocks


def _confidence(evaluation: Evaluation) -> list[Block]:
    scored, targets, manifest = evaluation.scored, evaluation.rows.targets, evaluation.manifest
    bins = {"this artifact": wide_bins(scored.logits, targets, manifest.task, manifest.temperature)}
    caption = "Accuracy by confidence, with 95 % intervals and the number of rows"
    blocks: list[Block] = [_plot("reliability", plots.reliability(bins), caption)]
    found = evaluation.abstention
    if found is None:
        return blocks
    blocks.append(f"Area under precision by coverage: {found.area:.4f}; 1 is perfect.")
    if found.selective is None:
        blocks.append("The artifact has no abstention threshold: every text gets a label.")
    else:
        blocks.append(
            f"The artifact abstains below a score of {manifest.abstain_below:.3f}: coverage "
            f"{100 * found.selective.coverage:.1f} %, precision {100 * found.selective.precision:.1f} %."
        )
    figure = plots.coverage(coverage(scored.scores, targets), found.selective)
    blocks.append(_plot("coverage", figure, "Precision by coverage"))
    return blocks


def _comparison(found: Comparison | None, baseline: str | None) -> list[Block]:
    if found is None:
        return []
    changed = [change for change in found.labels if change.gained or change.lost][:MAX_CHANGES]
    blocks: list[Block] = [
        f"{_compared(found, baseline)} {found.gained} rows are correct only now, {found.lost} only before; McNemar's "
        f"exact test: p = {found.p_value:.3g}."
    ]
    if changed:
        blocks.append(
            Table(
                ("label", "rows", "correct only now", "correct only before", "F1 before", "F1 now"),
                [
                    (
                        change.label,
                        str(change.rows),
                        str(change.gained),
                        str(change.lost),
                        f"{change.f1_before:.4f}",
                        f"{change.f1_after:.4f}",
                    )
                    for change in changed
                ],
                "Changes by label",
            )
        )
    return blocks


def _slice(item: Slice, number: int) -> list[Block]:
    rows = [
        (
            _short(group.name),
            str(group.rows),
            f"{group.accuracy.value:.4f}",
            group.accuracy.range,
            f"{group.f1.value:.4f}",
            group.f1.range,
            f"fewer than {SMALL} rows" if group.small else "",
        )
        for group in item.groups
    ]
    blocks: list[Block] = [
        Table(
            (item.column, "rows", "accuracy", "95 % interval", "F1", "95 % interval", "note"),
            rows,
            f"Groups of {item.column}, the lowest accuracy first. Accuracy: the share of rows with all labels correct.",
        ),
        _plot(f"groups_{number}", _group_plot(item), f"Accuracy by {item.column} with 95 % intervals and rows"),
    ]
    if not item.differences:
        return [*blocks, f"Fewer than two groups have {SMALL} rows, so they are not compared."]
    blocks.append(
        Table(
            ("largest difference between groups", "label", "difference", "by chance up to", "p", "verdict"),
            [
                (
                    gap.name,
                    gap.label or "",
                    f"{gap.value:.4f}",
                    f"{gap.by_chance:.4f}",
                    f"{gap.p_value:.4f}",
                    "beyond chance" if gap.significant else "not beyond chance",
                )
                for gap in item.differences
            ],
            f"Differences, compared with {PERMUTATIONS} shuffles of the groups; groups with fewer than {SMALL} rows "
            "take no part. Demographic parity: how often the label is predicted. Equalized odds: how often it is "
            "predicted for rows that have it, or for rows that do not.",
        )
    )
    return blocks


@styled
def _group_plot(item: Slice) -> Figure:
    groups = item.groups
    figure = Figure(figsize=(7.5, 1.2 + 0.32 * len(groups)))
    axes = figure.subplots()
    places, values = range(len(groups)), [group.accuracy for group in groups]
    errors = [[value.value - value.low for value in values], [value.high - value.value for value in values]]
    axes.errorbar(
        [value.value for value in values],
        places,
        xerr=np.abs(errors),
        marker="o",
        linestyle="",
        capsize=3,
        color=SERIES[0],
    )
    axes.set_yticks(places, [f"{_plain(group.name)} ({group.rows})" for group in groups])
    axes.set(xlabel="accuracy", title="Accuracy by group", xlim=(0, 1.02))
    axes.invert_yaxis()
    return figure


def _out_of_scope(evaluation: Evaluation) -> list[Block]:
    found = evaluation.out_of_scope
    if found is None:
        return []
    return [
        f"{found.rows} texts that belong to no label: the best score tells them from the evaluated texts with an AUROC "
        f"of {found.auroc:.4f} (0.5 is chance). {_share(found.abstained)} of them get no label, and "
        f"{_share(found.abstained_in_scope)} of the evaluated texts."
    ]


def _share(item: Interval) -> str:
    return f"{100 * item.value:.1f} % ({100 * item.low:.1f} to {100 * item.high:.1f})"


def _label_errors(evaluation: Evaluation) -> list[Block]:
    found = evaluation.label_errors
    if not found:
        return ["None found."]
    numbers, shown = evaluation.rows.evaluated, found[:MAX_LABEL_ERRORS]
    more = f" The first {len(shown)} are shown; label_errors.csv has all." if len(found) > len(shown) else ""
    return [
        f"{len(found)} of {len(numbers)} rows have labels that the model contradicts more confidently than usual for "
        f"their label (confident learning). Read them before correcting: the model may be wrong.{more}",
        Table(
            ("row", "label in the file", "predicted label", "score of the label in the file"),
            [
                (
                    str(numbers[item.row] + 1),
                    _joined(item.given),
                    _joined(item.suggested),
                    f"{item.score:.4f}",
                )
                for item in shown
            ],
        ),
    ]


def _drift(evaluation: Evaluation) -> list[Block]:
    if not evaluation.drift:
        return [
            "The artifact does not record the distributions of its training split; export it again from a new training."
        ]
    blocks: list[Block] = []
    for name, item in evaluation.drift.items():
        totals = sum(item.training), sum(item.evaluated)
        blocks += [
            f"{_capital(name)}: {item.verdict} (population stability index {item.index:.3f}; chi-squared test p = "
            f"{item.p_value:.3g}).",
            Table(
                (name, "training rows", "share", "evaluated rows", "share"),
                [
                    (
                        group,
                        str(before),
                        f"{100 * before / totals[0]:.1f} %",
                        str(now),
                        f"{100 * now / totals[1]:.1f} %",
                    )
                    for group, before, now in zip(item.groups, item.training, item.evaluated, strict=True)
                ],
            ),
        ]
    return blocks


def _plot(name: str, figure: Figure, caption: str) -> Plot:
    return Plot(name, to_svg(figure, caption), caption)


def _joined(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "(none)"


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _plain(name: str) -> str:
    """Shortens a name and keeps matplotlib from parsing `$`."""
    return _short(name).replace("$", r"\$")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
