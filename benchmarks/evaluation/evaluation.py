"""`python -m benchmarks evaluate`: quality of an artifact on any labelled file.

    python -m benchmarks evaluate --model build/artifact --data held_out.csv --text_columns text \
        --label_columns label --output_dir build/evaluation

It needs `[cpu]` and the extra `evaluate`, and imports neither PyTorch nor transformers. Rows on which a classifier
abstains count with the label that it would have assigned; the figures of abstaining are separate.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from runtime import load
from runtime.artifact.folder import open_artifact
from runtime.artifact.manifest import Manifest
from runtime.engine.providers import PROVIDERS, Provider
from training.arrays import Integers
from training.data.texts import joined_texts
from training.decisions.metrics import TITLES, agreement, label_flags
from training.errors import DataError
from training.evaluation.classification import LabelQuality, SelectivePrediction, label_quality
from training.evaluation.intervals import Interval

from .abstention import OutOfScope, area_under_coverage, out_of_scope, selective
from .comparison import Comparison, compare
from .drift import Drift, label_drift, length_drift
from .figures import figures, intervals, roc_areas
from .label_errors import LabelError, label_errors
from .rows import LabelledRows, Layout, read_rows
from .scoring import Scored, score
from .simplicity import BagOfWords, bag_of_words
from .slices import Slice, slices

FEW_ROWS = 20
MAX_GROUPS = 50
MAX_SLICES = 16  # with more, the smallest p-value of so many shuffles could not be significant


@dataclass(frozen=True)
class VariantFigures:
    """One variant of the artifact: its metrics, and the share of rows with the same labels as the evaluated variant."""

    metrics: Mapping[str, float]
    agreement: float


@dataclass(frozen=True)
class Abstention:
    """Single-label: the effect of the artifact's threshold, and the area under precision by coverage."""

    area: float
    selective: SelectivePrediction | None


@dataclass(frozen=True)
class Evaluation:
    """All figures of an evaluation.

    Attributes:
        rows: The file.
        manifest: The artifact's.
        scored: The predictions of the evaluated rows.
        every: The predictions of all rows of the file.
        metrics: As returned by `figures.figures`.
        intervals: Weighted, macro and micro F1 with their intervals.
        labels: Quality of every label.
        areas: ROC-AUC of every label that has one, by index.
        abstention: None for multi-label.
        variants: Every variant for the provider, the evaluated one included.
        bag_of_words: None if there are too few rows.
        label_errors: Likely label errors; their rows are positions among the evaluated rows.
        drift: Drift of labels and of lengths; without what the artifact does not record.
        slices: One per slice column.
        comparison: The comparison with another artifact, or None.
        out_of_scope: The figures of texts that belong to no label, or None.
        failed: The metrics below their limit: name, value, limit.
    """

    rows: LabelledRows
    manifest: Manifest
    scored: Scored
    every: Scored
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    labels: tuple[LabelQuality, ...]
    areas: Mapping[int, float]
    abstention: Abstention | None
    variants: Mapping[str, VariantFigures]
    bag_of_words: BagOfWords | None
    label_errors: list[LabelError]
    drift: Mapping[str, Drift]
    slices: list[Slice]
    comparison: Comparison | None
    out_of_scope: OutOfScope | None
    failed: list[tuple[str, float, float]]

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before the figures."""
        count, found = len(self.rows.evaluated), []
        if len(self.rows.unknown):
            found.append(
                f"{len(self.rows.unknown)} of {len(self.rows.texts)} rows have a label that the artifact does not know "
                f"and are left out of all figures; the first is row {self.rows.unknown[0] + 1}."
            )
        if self.bag_of_words is not None and self.bag_of_words.too_simple:
            words = self.bag_of_words
            found.append(
                "The rows are too simple to show what a transformer adds: a bag of words that is fitted to four fifths "
                f"of them at a time has {TITLES[words.metric]} {words.value:.4f} (lead of the model "
                f"{words.difference.value:+.4f}, 95 % interval {words.difference.low:+.4f} to "
                f"{words.difference.high:+.4f})."
            )
        few = [name for name, label in zip(self.manifest.labels, self.labels, strict=True) if label.rows < FEW_ROWS]
        if few:
            found.append(f"Labels with fewer than {FEW_ROWS} rows, whose figures are uncertain: {', '.join(few)}.")
        if truncated := int(self.scored.truncated.sum()):
            found.append(
                f"{truncated} of {count} texts are longer than {self.manifest.max_length} tokens and were truncated."
            )
        found += [
            f"The rows differ from the training split in {name}: {item.verdict}."
            for name, item in self.drift.items()
            if item.beyond_chance
        ]
        return found


def evaluate(
    model: str,
    data: str,
    layout: Layout,
    *,
    provider: Provider = "cpu",
    variant: str | None = None,
    slice_columns: tuple[str, ...] = (),
    limits: tuple[tuple[str, float], ...] = (),
    baseline: str | None = None,
    outside: str | None = None,
) -> Evaluation:
    """Evaluates an artifact on a file.

    Args:
        model: Artifact folder.
        data: Labelled file that no training has seen.
        layout: Where the file has its texts and labels.
        provider: Provider of onnxruntime.
        variant: Variant to evaluate; None for the fastest.
        slice_columns: Columns whose groups are compared.
        limits: Metrics and the values that they must reach.
        baseline: Another artifact with the same labels, or None.
        outside: File with texts that belong to no label, or None.

    Raises:
        LitmusError: An artifact cannot be used, or a package is missing.
        DataError: A file cannot be used, or has other labels than the artifact.
    """
    with load(model, provider=provider, variant=variant) as classifier:
        manifest = classifier.manifest
        _check_task(limits, manifest)
        if baseline is not None:
            _check_baseline(baseline, manifest)
        rows = read_rows(data, layout, manifest)
        columns = _slice_columns(rows, slice_columns, layout)
        every = score(classifier, rows.texts, rows.table)
        outside_scored = None
        if outside is not None:
            table = layout.read(outside)
            outside_scored = score(classifier, joined_texts(table, layout.text_columns), table)
        name = classifier.provider
    scored, targets, labels = every.at(rows.evaluated), rows.targets, manifest.labels
    evaluated_texts = tuple(rows.texts[row] for row in rows.evaluated)
    metrics = figures(scored, targets, manifest)
    flags = label_flags(targets, manifest.task, len(labels))
    return Evaluation(
        rows,
        manifest,
        scored,
        every,
        metrics,
        intervals(scored.decided, targets, manifest),
        label_quality(scored.decided, targets, manifest.task, len(labels)),
        roc_areas(scored.scores, flags),
        _abstention(scored, rows, manifest),
        _variants(model, provider, name, scored, rows, manifest),
        bag_of_words(evaluated_texts, targets, scored.decided, manifest),
        label_errors(scored.scores, scored.decided, targets, manifest),
        _drift(scored, rows, manifest),
        slices(columns, scored.decided, targets, manifest) if columns else [],
        None if baseline is None else _compare(baseline, provider, scored, rows, manifest),
        None if outside_scored is None else out_of_scope(scored, outside_scored),
        [(name, metrics[name], limit) for name, limit in _known(limits, metrics) if metrics[name] < limit],
    )


def to_record(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the figures ready for JSON; they contain no text."""
    labels = zip(evaluation.manifest.labels, evaluation.labels, strict=True)
    return {
        "kind": "evaluation",
        "rows": len(evaluation.rows.evaluated),
        "rows_with_unknown_labels": len(evaluation.rows.unknown),
        "data_sha256": evaluation.rows.table.sha256,
        "variant": evaluation.scored.variant,
        "metrics": evaluation.metrics,
        "intervals": {name: asdict(item) for name, item in evaluation.intervals.items()},
        "labels": {name: asdict(item) for name, item in labels},
        "abstention": None if evaluation.abstention is None else asdict(evaluation.abstention),
        "variants": {name: asdict(item) for name, item in evaluation.variants.items()},
        "bag_of_words": None if evaluation.bag_of_words is None else asdict(evaluation.bag_of_words),
        "likely_label_errors": len(evaluation.label_errors),
        "drift": {name: asdict(item) | {"verdict": item.verdict} for name, item in evaluation.drift.items()},
        "slices": [asdict(item) for item in evaluation.slices],
        "comparison": None
        if evaluation.comparison is None
        else asdict(evaluation.comparison) | {"verdict": evaluation.comparison.verdict},
        "out_of_scope": None if evaluation.out_of_scope is None else asdict(evaluation.out_of_scope),
        "below_limit": {name: {"value": value, "limit": limit} for name, value, limit in evaluation.failed},
        "warnings": evaluation.warnings,
    }


def _slice_columns(rows: LabelledRows, columns: tuple[str, ...], layout: Layout) -> dict[str, list[str]]:
    """Returns the values of the evaluated rows, by column; characters that cannot be shown are replaced."""
    if len(set(columns)) > MAX_SLICES:
        raise DataError(f"--slices: at most {MAX_SLICES} columns, found {len(set(columns))}; compare fewer at a time")
    found = {}
    for column in dict.fromkeys(columns):
        if column in (*layout.text_columns, *layout.label_columns):
            raise DataError(f"--slices {column}: it is a column of texts or labels, not of groups")
        cells = [str(value if value is not None else "").strip() for (value,) in rows.table.fields([column])]
        values = ["".join(c if c.isprintable() else "\ufffd" for c in cell) or "(empty)" for cell in cells]
        found[column] = [values[row] for row in rows.evaluated]
        if len(set(found[column])) > MAX_GROUPS:
            raise DataError(
                f"--slices {column}: {len(set(found[column]))} different values, at most {MAX_GROUPS} are compared; "
                "is it a column of groups?"
            )
    return found


def _known(limits: tuple[tuple[str, float], ...], metrics: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    missing = [name for name, _ in limits if name not in metrics]
    if missing:
        raise DataError(
            f"--fail-under {missing[0]}: these rows have no such metric; expected one of {', '.join(metrics)}"
        )
    return limits


def _check_task(limits: tuple[tuple[str, float], ...], manifest: Manifest) -> None:
    wrong, right = ("exact_match", "accuracy") if manifest.task == "single_label" else ("accuracy", "exact_match")
    if wrong in dict(limits):
        raise DataError(f"--fail-under {wrong}: the artifact is {manifest.task.replace('_', '-')}; use {right}")


def _check_baseline(baseline: str, manifest: Manifest) -> None:
    other = open_artifact(baseline).manifest
    if set(other.labels) != set(manifest.labels) or other.task != manifest.task:
        raise DataError("--baseline: the two artifacts have other labels; they cannot be compared on the same rows")


def _abstention(scored: Scored, rows: LabelledRows, manifest: Manifest) -> Abstention | None:
    if manifest.task == "multi_label":
        return None
    threshold = None if manifest.abstain_below is None else selective(scored, rows.targets)
    return Abstention(area_under_coverage(scored.scores, rows.targets), threshold)


def _variants(
    model: str, provider: Provider, name: str, scored: Scored, rows: LabelledRows, manifest: Manifest
) -> dict[str, VariantFigures]:
    """Runs every other variant that is made for the provider."""
    found = {scored.variant: VariantFigures(figures(scored, rows.targets, manifest), 1.0)}
    for variant in manifest.variants:
        if variant.name == scored.variant or PROVIDERS[name] not in variant.providers:
            continue
        with load(model, provider=provider, variant=variant.name) as classifier:
            other = score(classifier, rows.texts, rows.table).at(rows.evaluated)
        found[variant.name] = VariantFigures(
            figures(other, rows.targets, manifest), agreement(other.decided, scored.decided)
        )
    return found


def _drift(scored: Scored, rows: LabelledRows, manifest: Manifest) -> dict[str, Drift]:
    found = {
        "labels": label_drift(rows.targets, manifest),
        "length of texts": length_drift(scored.tokens, manifest),
    }
    return {name: item for name, item in found.items() if item is not None}


def _compare(baseline: str, provider: Provider, scored: Scored, rows: LabelledRows, manifest: Manifest) -> Comparison:
    other = open_artifact(baseline).manifest
    with load(baseline, provider=provider) as classifier:
        before = score(classifier, rows.texts, rows.table).at(rows.evaluated).decided
    places = np.array([other.labels.index(label) for label in manifest.labels])
    return compare(scored.decided, _in_order(before, places), rows.targets, manifest)


def _in_order(decided: Integers, places: Integers) -> Integers:
    """Returns decisions in another order of the labels; `places` has the old position of every label."""
    return np.argsort(places)[decided] if decided.ndim == 1 else decided[:, places]
