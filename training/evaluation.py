"""Judges a fine-tuned classifier: every figure of the report, from logits, targets and decisions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, precision_recall_curve, precision_recall_fscore_support

from .calibration import (
    Bin,
    calibration_error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    scores,
)
from .data import LabelledData, Part
from .decisions import Decisions, decide, learn
from .fine_tuning import FineTuned
from .labels import Targets, Task
from .metrics import quality
from .prediction import Floats

MIN_ROWS = 20
MIN_DECISIVE_ROWS = 50
MAX_MISTAKES = 20
MAX_TEXT = 500
CURVE_POINTS = 200


@dataclass(frozen=True)
class LabelFigures:
    """One label: its rows in each part, and the figures on the test part; a threshold for multi-label."""

    name: str
    rows: Mapping[str, int]
    precision: float
    recall: float
    f1: float
    threshold: float | None


@dataclass(frozen=True)
class Mistake:
    """A wrong decision on the test part.

    Attributes:
        row: In its file, counted from 1; the header does not count.
        expected: What the row has; for multi-label "label" or "not label".
        given: What the classifier says.
        score: Of what the classifier says.
        text: Its first `MAX_TEXT` characters; None unless it was asked for.
    """

    row: int
    expected: str
    given: str
    score: float
    text: str | None


@dataclass(frozen=True)
class Answers:
    """What abstaining gives on the test part: the share of rows that get a label, and how many of those are right."""

    share: float
    precision: float


@dataclass(frozen=True)
class Evaluation:
    """All figures.

    Attributes:
        metrics: By part; of the training part a sample.
        labels: In the order of the targets.
        mistakes: The most confident first.
        reliability: On the test part, as it is and calibrated.
        confusion: Single-label: (labels, labels) int64, rows are the truth; None for multi-label.
        curves: Multi-label: (points, 2) recall and precision by label, of those with positives; empty for single-label.
        answers: With abstaining, else None.
        teacher: The teacher's metrics on the test part, else None.
        warnings: What a reader should know, a sentence each.
    """

    metrics: Mapping[str, Mapping[str, float]]
    labels: tuple[LabelFigures, ...]
    mistakes: tuple[Mistake, ...]
    reliability: Mapping[str, list[Bin]]
    confusion: npt.NDArray[np.int64] | None
    curves: Mapping[str, npt.NDArray[np.float64]]
    answers: Answers | None
    teacher: Mapping[str, float] | None
    warnings: tuple[str, ...]


def evaluate(data: LabelledData, tuned: FineTuned, decisions: Decisions, *, show_text: bool) -> Evaluation:
    """Judges once, on the test part; the other parts are there to compare."""
    task, test = data.task, tuned.logits["test"]
    decided = decide(test, task, decisions)
    targets = {**{name: part.targets for name, part in data.parts.items()}, "train": data.train.targets[tuned.sample]}
    metrics = {name: judge(tuned.logits[name], targets[name], task, decisions) for name in data.parts}
    multi_label = task == "multi_label"
    return Evaluation(
        metrics,
        _label_figures(data, decided, decisions),
        _mistakes(data, test, decisions, show_text=show_text),
        {
            "as trained": reliability(test, data.test.targets, task, 1.0),
            "calibrated": reliability(test, data.test.targets, task, decisions.temperature),
        },
        None if multi_label else confusion_matrix(data.test.targets, decided, labels=range(len(data.labels))),
        _curves(data, scores(test, task, decisions.temperature)) if multi_label else {},
        _answers(data, test, decisions),
        _teacher(tuned, data),
        _warnings(data, tuned),
    )


def judge(logits: Floats, targets: Targets, task: Task, decisions: Decisions) -> dict[str, float]:
    """Returns `quality`, the calibration error (after the temperature, before, by chance alone), and the likelihood."""
    ece = {
        name: expected_calibration_error(reliability(logits, targets, task, temperature))
        for name, temperature in (("ece", decisions.temperature), ("ece_uncalibrated", 1.0))
    }
    ece["ece_by_chance"] = calibration_error_by_chance(logits, task, decisions.temperature)
    nll = negative_log_likelihood(logits, targets, task, decisions.temperature)
    return {**quality(decide(logits, task, decisions), targets, task), **ece, "nll": nll}


def _flags(targets: Targets, task: Task, labels: int) -> npt.NDArray[np.bool_]:
    """Returns (rows, labels): whether the row has the label."""
    return np.asarray(targets > 0 if task == "multi_label" else np.eye(labels, dtype=bool)[targets])


def _label_figures(
    data: LabelledData, decided: npt.NDArray[np.int64], decisions: Decisions
) -> tuple[LabelFigures, ...]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        data.test.targets, decided, labels=range(len(data.labels)), average=None, zero_division=0
    )
    counts = {name: _flags(part.targets, data.task, len(data.labels)).sum(axis=0) for name, part in data.parts.items()}
    return tuple(
        LabelFigures(
            label,
            {name: int(count[index]) for name, count in counts.items()},
            float(precision[index]),
            float(recall[index]),
            float(f1[index]),
            None if decisions.thresholds is None else decisions.thresholds[index],
        )
        for index, label in enumerate(data.labels)
    )


def _mistakes(data: LabelledData, logits: Floats, decisions: Decisions, *, show_text: bool) -> tuple[Mistake, ...]:
    found, decided = scores(logits, data.task, decisions.temperature), decide(logits, data.task, decisions)
    part, labels = data.test, data.labels
    if data.task == "single_label":
        wrong = np.flatnonzero(decided != part.targets)
        ranked = wrong[np.argsort(-found[wrong].max(axis=1), kind="stable")][:MAX_MISTAKES]
        cells = [(row, labels[part.targets[row]], labels[decided[row]], found[row].max()) for row in ranked]
    else:
        rows, columns = np.nonzero(decided != (part.targets > 0))
        sure = np.where(decided > 0, found, 1 - found)[rows, columns]
        ranked = np.argsort(-sure, kind="stable")[:MAX_MISTAKES]
        cells = []
        for index in ranked:
            row, label = rows[index], labels[columns[index]]
            names = (f"not {label}", label) if decided[row, columns[index]] else (label, f"not {label}")
            cells.append((row, *names, sure[index]))
    return tuple(
        Mistake(
            int(part.rows[row]) + 1, expected, given, float(score), _shortened(part.texts[row]) if show_text else None
        )
        for row, expected, given, score in cells
    )


def _shortened(text: str) -> str:
    """Returns enough of a text to understand a mistake: some have millions of characters."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _curves(data: LabelledData, found: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    curves = {}
    for index, label in enumerate(data.labels):
        if data.test.targets[:, index].any():
            precision, recall, _ = precision_recall_curve(data.test.targets[:, index], found[:, index])
            points = np.stack([recall, precision], axis=1)
            curves[label] = points[:: max(1, len(points) // CURVE_POINTS)]
    return curves


def _answers(data: LabelledData, logits: Floats, decisions: Decisions) -> Answers | None:
    if decisions.abstain_below is None:
        return None
    given = scores(logits, data.task, decisions.temperature).max(axis=1) >= decisions.abstain_below
    right = logits.argmax(axis=1) == data.test.targets
    return Answers(float(given.mean()), float(right[given].mean()) if given.any() else 0.0)


def _teacher(tuned: FineTuned, data: LabelledData) -> dict[str, float] | None:
    """Judges the teacher as the student is: with decisions learned on the validation part."""
    if not tuned.teacher_logits:
        return None
    logits = tuned.teacher_logits
    decisions = learn(logits["validation"], data.validation.targets, data.task, target_precision=None)
    return judge(logits["test"], data.test.targets, data.task, decisions)


def _warnings(data: LabelledData, tuned: FineTuned) -> tuple[str, ...]:
    """Says what makes figures less certain than they look."""
    found = []
    flags = {name: _flags(part.targets, data.task, len(data.labels)) for name, part in data.parts.items()}
    counts = {name: dict(zip(data.labels, flag.sum(axis=0).tolist(), strict=True)) for name, flag in flags.items()}
    missing = [label for label, count in counts["train"].items() if not count]
    if missing:
        found.append(f"Labels without a positive row to learn from, which are never learned: {', '.join(missing)}.")
    few = [label for label, count in counts["train"].items() if 0 < count < MIN_ROWS]
    if few:
        found.append(f"Labels with fewer than {MIN_ROWS} rows to learn from: {', '.join(few)}.")
    if len(data.validation.texts) < MIN_DECISIVE_ROWS:
        found.append(
            f"What was chosen, the epoch and the temperature among it, rests on {len(data.validation.texts)} rows: "
            "the validation part."
        )
    unjudged = [label for label, count in counts["test"].items() if not count]
    if unjudged:
        found.append(f"Labels that the test part does not have, so nothing is known of them: {', '.join(unjudged)}.")
    for name, part in data.parts.items():
        if tuned.cut[name]:
            found.append(
                f"{tuned.cut[name]} of {len(part.texts)} {name} texts are longer than "
                f"{tuned.tokenizer.model_max_length} tokens; their ends were not read."
            )
        twice = _contradictions(part)
        if twice:
            found.append(f"{twice} {name} rows have the text of another row and other labels.")
    for name, count in data.removed.items():
        if count:
            found.append(f"{count} {name} rows were left out: a part behind it has the same text.")
    return tuple(found)


def _contradictions(part: Part) -> int:
    """Counts rows whose text stands in another row of the part with other labels."""
    labels: dict[str, set[bytes]] = {}
    for key, target in zip(part.keys, part.targets, strict=True):
        labels.setdefault(key, set()).add(np.asarray(target).tobytes())
    return sum(len(labels[key]) > 1 for key in part.keys)
