"""Evaluates a fine-tuned classifier: all figures of the report, from logits, targets and decision parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Floats, Integers, Targets
from ..data.dataset import LabelledData, Split
from ..decisions.learning import Decisions, decide, learn
from ..decisions.metrics import METRICS, label_flags, quality
from ..decisions.temperature import (
    Bin,
    calibration_error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    scores,
    wide_bins,
)
from ..model.fine_tuning import FineTuned
from .classification import SelectivePrediction, coverage, label_quality, precision_recall
from .intervals import Interval, bootstrap, interval

MIN_ROWS = 20
MIN_DECISIVE_ROWS = 50
MAX_MISTAKES = 20
MAX_TEXT = 500
SPLITS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class LabelFigures:
    """One label: its rows by split, its metrics on the test split, and its threshold for multi-label."""

    name: str
    rows: Mapping[str, int]
    precision: float
    recall: float
    f1: float
    threshold: float | None


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction on the test split.

    Attributes:
        row: Row number in its file, from 1, without the header.
        true: The true label; for multi-label "label" or "not label".
        predicted: The predicted label, in the same form.
        confidence: The score of the predicted label.
        text: The first `MAX_TEXT` characters of the text; None unless texts may be shown.
    """

    row: int
    true: str
    predicted: str
    confidence: float
    text: str | None


@dataclass(frozen=True)
class Evaluation:
    """All figures of the report.

    Attributes:
        metrics: Metrics by split; the training split is represented by a sample.
        labels: In the order of the targets.
        mistakes: Wrong predictions, the most confident first.
        reliability: Bins of at least `MIN_BIN_ROWS` rows of the test split, before and after temperature scaling.
        confusion: Single-label: (labels, labels) int64, one row per true label; None for multi-label.
        curves: Multi-label: (points, 2) recall and precision by label, for labels with positive rows; empty for
            single-label.
        coverage: Single-label: (points, 2) coverage and precision at decreasing confidence; None for multi-label.
        selective: The effect of abstaining; None if the classifier never abstains.
        teacher: The teacher's metrics on the test split; None without a teacher.
        warnings: One sentence each.
        gap: The main metric on the sample of the training split minus that on the test split; None if unknown.
    """

    metrics: Mapping[str, Mapping[str, float]]
    labels: tuple[LabelFigures, ...]
    mistakes: tuple[Mistake, ...]
    reliability: Mapping[str, list[Bin]]
    confusion: Integers | None
    curves: Mapping[str, Doubles]
    coverage: Doubles | None
    selective: SelectivePrediction | None
    teacher: Mapping[str, float] | None
    warnings: tuple[str, ...]
    gap: Interval | None = None


def evaluate(data: LabelledData, tuned: FineTuned, decisions: Decisions, *, show_text: bool) -> Evaluation:
    """Evaluates on the test split, and on the other splits for comparison."""
    task, test = data.task, tuned.logits["test"]
    decided = decide(test, task, decisions)
    found, multi_label = scores(test, task, decisions.temperature), task == "multi_label"
    return Evaluation(
        split_metrics(data, tuned, decisions),
        _label_figures(data, decided, decisions),
        _mistakes(data, test, decisions, show_text=show_text),
        {
            "before temperature scaling": wide_bins(test, data.test.targets, task, 1.0),
            "after temperature scaling": wide_bins(test, data.test.targets, task, decisions.temperature),
        },
        None if multi_label else confusion_matrix(data.test.targets, decided, labels=range(len(data.labels))),
        precision_recall(scores(test, task, decisions.temperature), data.test.targets, data.labels)
        if multi_label
        else {},
        None if multi_label else coverage(found, data.test.targets),
        _selective(data, test, decisions),
        _teacher(tuned, data),
        (*data_warnings(data), *truncation_warnings(data, tuned)),
        _gap(data, tuned, decisions),
    )


def split_metrics(data: LabelledData, tuned: FineTuned, decisions: Decisions) -> dict[str, dict[str, float]]:
    """Returns the metrics of every split; for the training split, of the sample that the model was run on."""
    targets = {name: split.targets for name, split in data.splits.items()}
    targets["train"] = data.train.targets[tuned.sample]
    return {name: judge(tuned.logits[name], targets[name], data.task, decisions) for name in data.splits}


def judge(logits: Floats, targets: Targets, task: Task, decisions: Decisions) -> dict[str, float]:
    """Returns `quality`, calibration errors (after and before scaling, and by chance), and the log-likelihood."""
    ece = {
        name: expected_calibration_error(reliability(logits, targets, task, temperature))
        for name, temperature in (("ece", decisions.temperature), ("ece_uncalibrated", 1.0))
    }
    ece["ece_by_chance"] = calibration_error_by_chance(logits, task, decisions.temperature)
    nll = negative_log_likelihood(logits, targets, task, decisions.temperature)
    return {**quality(decide(logits, task, decisions), targets, task), **ece, "nll": nll}


def _gap(data: LabelledData, tuned: FineTuned, decisions: Decisions) -> Interval:
    """Returns how much better the model is on rows that it was fitted on; the two splits are resampled on their own."""
    metric, values, draws = METRICS[data.task][0], [], []
    targets = {"train": data.train.targets[tuned.sample], "test": data.test.targets}
    for seed, (name, true) in enumerate(targets.items()):
        decided = decide(tuned.logits[name], data.task, decisions)
        values.append(quality(decided, true, data.task)[metric])
        draws.append(bootstrap({name: decided}, true, data.task, len(data.labels), seed)[name])
    return interval(values[0] - values[1], draws[0] - draws[1])


def _label_figures(data: LabelledData, decided: Integers, decisions: Decisions) -> tuple[LabelFigures, ...]:
    found = label_quality(decided, data.test.targets, data.task, len(data.labels))
    counts = {
        name: label_flags(split.targets, data.task, len(data.labels)).sum(axis=0) for name, split in data.splits.items()
    }
    return tuple(
        LabelFigures(
            label,
            {name: int(count[index]) for name, count in counts.items()},
            found[index].precision,
            found[index].recall,
            found[index].f1,
            None if decisions.thresholds is None else decisions.thresholds[index],
        )
        for index, label in enumerate(data.labels)
    )


def _mistakes(data: LabelledData, logits: Floats, decisions: Decisions, *, show_text: bool) -> tuple[Mistake, ...]:
    found, decided = scores(logits, data.task, decisions.temperature), decide(logits, data.task, decisions)
    split, labels = data.test, data.labels
    if data.task == "single_label":
        wrong = np.flatnonzero(decided != split.targets)
        ranked = wrong[np.argsort(-found[wrong].max(axis=1), kind="stable")][:MAX_MISTAKES]
        cells = [(row, labels[split.targets[row]], labels[decided[row]], found[row].max()) for row in ranked]
    else:
        rows, columns = np.nonzero(decided != (split.targets > 0))
        sure = np.where(decided > 0, found, 1 - found)[rows, columns]
        ranked = np.argsort(-sure, kind="stable")[:MAX_MISTAKES]
        cells = []
        for index in ranked:
            row, label = rows[index], labels[columns[index]]
            names = (f"not {label}", label) if decided[row, columns[index]] else (label, f"not {label}")
            cells.append((row, *names, sure[index]))
    return tuple(
        Mistake(
            int(split.rows[row]) + 1, true, predicted, float(score), _shortened(split.texts[row]) if show_text else None
        )
        for row, true, predicted, score in cells
    )


def _shortened(text: str) -> str:
    """Returns the start of a text; some texts have millions of characters."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _selective(data: LabelledData, logits: Floats, decisions: Decisions) -> SelectivePrediction | None:
    if decisions.abstain_below is None:
        return None
    given = scores(logits, data.task, decisions.temperature).max(axis=1) >= decisions.abstain_below
    right = logits.argmax(axis=1) == data.test.targets
    return SelectivePrediction(float(given.mean()), float(right[given].mean()) if given.any() else 0.0)


def _teacher(tuned: FineTuned, data: LabelledData) -> dict[str, float] | None:
    """Evaluates the teacher like the student, with decision parameters learned on the validation split."""
    if not tuned.teacher_logits:
        return None
    logits = tuned.teacher_logits
    decisions = learn(logits["validation"], data.validation.targets, data.task, target_precision=None)
    return judge(logits["test"], data.test.targets, data.task, decisions)


def data_warnings(data: LabelledData) -> tuple[str, ...]:
    """Returns warnings about the data, which are known before the training: what cannot be learned or measured well."""
    found = []
    flags = {name: label_flags(split.targets, data.task, len(data.labels)) for name, split in data.splits.items()}
    counts = {name: dict(zip(data.labels, flag.sum(axis=0).tolist(), strict=True)) for name, flag in flags.items()}
    missing = [label for label, count in counts["train"].items() if not count]
    if missing:
        found.append(f"Labels with no training examples (cannot be learned): {', '.join(missing)}.")
    few = [label for label, count in counts["train"].items() if 0 < count < MIN_ROWS]
    if few:
        found.append(f"Labels with fewer than {MIN_ROWS} training examples: {', '.join(few)}.")
    if len(data.validation.texts) < MIN_DECISIVE_ROWS:
        found.append(f"Epoch and decision parameters are chosen on only {len(data.validation.texts)} validation rows.")
    unjudged = [label for label, count in counts["test"].items() if not count]
    if unjudged:
        found.append(f"Labels with no test examples (not evaluated): {', '.join(unjudged)}.")
    for name, split in data.splits.items():
        if twice := _contradictions(split):
            found.append(f"{twice} {SPLITS[name]} rows have the same text as another row but different labels.")
    for name, count in data.removed.items():
        if count:
            rows, texts = ("row", "text is") if count == 1 else ("rows", "texts are")
            later = "test split" if name == "validation" else "validation or test split"
            found.append(f"{count} {SPLITS[name]} {rows} removed: the same {texts} in the {later}.")
    return tuple(found)


def truncation_warnings(data: LabelledData, tuned: FineTuned) -> tuple[str, ...]:
    """Returns warnings about truncated texts, by split."""
    return tuple(
        f"{tuned.truncated[name]} of {len(split.texts)} {SPLITS[name]} texts are longer than "
        f"{tuned.tokenizer.model_max_length} tokens and were truncated."
        for name, split in data.splits.items()
        if tuned.truncated[name]
    )


def _contradictions(split: Split) -> int:
    """Counts rows whose text is also in another row of the split, with different labels."""
    labels: dict[str, set[bytes]] = {}
    for key, target in zip(split.keys, split.targets, strict=True):
        labels.setdefault(key, set()).add(np.asarray(target).tobytes())
    return sum(len(labels[key]) > 1 for key in split.keys)
