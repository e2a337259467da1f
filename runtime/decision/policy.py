"""From logits to predictions: pure functions of arrays and of the manifest's decision fields."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TypedDict, get_args

import numpy as np
import numpy.typing as npt

from ..artifact.manifest import Aggregation, Manifest, Task
from ..checks import require_whole_number, short_repr
from ..errors import InferenceError, SettingError
from ..text.tokenizer import Window
from .prediction import Prediction, WindowScores

Floats = npt.NDArray[np.float32]
Thresholds = float | Mapping[str, float]


class CallOptions(TypedDict, total=False):
    """Options of one call: keyword arguments of `predict`, `predict_many` and `predict_iter`.

    Attributes:
        top_k: Return at most this many labels and scores, best first. Default: all.
        thresholds: Multi-label: the minimum score at which a label is assigned, one number for all labels or a mapping
            by label; labels that it leaves out keep the artifact's threshold. Single-label: one number, the score below
            which no label is assigned. Default: the artifact's.
        windows: True reads a text that is longer than `max_length` to its end, in overlapping windows, and combines the
            windows' scores as the artifact says; `"max"` or `"mean"` choose how. Default: the text is truncated.
        with_logits: Return the logits as well.
    """

    top_k: int | None
    thresholds: Thresholds | None
    windows: bool | Aggregation
    with_logits: bool


@dataclass(frozen=True)
class Policy:
    """The checked options of a call.

    Attributes:
        manifest: The artifact's manifest, with the thresholds of the call.
        top_k: Number of labels and scores to return at most; None for all.
        aggregation: How to combine the windows of a long text; None to truncate it.
        with_logits: Whether to return logits.
    """

    manifest: Manifest
    top_k: int | None = None
    aggregation: Aggregation | None = None
    with_logits: bool = False


def call_policy(
    manifest: Manifest,
    *,
    top_k: int | None = None,
    thresholds: Thresholds | None = None,
    windows: bool | Aggregation = False,
    with_logits: bool = False,
) -> Policy:
    """Checks the options of a call; they are those of `CallOptions`.

    Raises:
        SettingError: `top_k` is not a positive integer, a threshold is not in [0, 1] or its label is unknown, or
            `windows` is neither a bool nor an aggregation.
    """
    require_whole_number("top_k", top_k)
    if not (isinstance(windows, bool) or (isinstance(windows, str) and windows in get_args(Aggregation))):
        raise SettingError(f"windows: expected True, False, 'max' or 'mean', found {short_repr(windows)}")
    aggregation = windows if isinstance(windows, str) else manifest.window.aggregation
    return Policy(
        manifest if thresholds is None else _with_thresholds(manifest, thresholds),
        top_k,
        aggregation if windows else None,
        with_logits,
    )


def plain_thresholds(thresholds: Thresholds | None) -> Thresholds | None:
    """Returns checked thresholds as plain numbers, ready for JSON; they may be NumPy scalars or fractions."""
    if isinstance(thresholds, Mapping):
        return {label: float(level) for label, level in thresholds.items()}
    return None if thresholds is None else float(thresholds)


def scores(logits: Sequence[float], manifest: Manifest) -> list[float]:
    """Turns the logits of a text into scores: softmax (single-label) or sigmoid (multi-label) after the temperature.

    It is plain Python because an inference leaves the model in the CPU's caches: the ten NumPy calls that this would
    take cost 100 us then, these lines 10 us.

    Args:
        logits: (labels,) of one text.
        manifest: Provides task and temperature.

    Returns:
        (labels,) in [0, 1].

    Raises:
        InferenceError: A logit is not a finite number.
    """
    if not math.isfinite(sum(logits)):
        raise InferenceError("the model gave NaN or infinite logits; its weights are damaged, export it again")
    temperature = manifest.temperature
    if manifest.task == "multi_label":
        powers = [math.exp(-abs(logit) / temperature) for logit in logits]
        return [(1 if logit >= 0 else power) / (1 + power) for logit, power in zip(logits, powers, strict=True)]
    highest = max(logits)
    powers = [math.exp((logit - highest) / temperature) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def select_labels(row: Sequence[float], manifest: Manifest) -> tuple[str, ...]:
    """Returns the labels to assign to one text, best first.

    Args:
        row: (labels,) scores.
        manifest: Provides labels, thresholds and the abstention threshold.
    """
    if manifest.thresholds is None:
        best = row.index(max(row))
        return () if row[best] < (manifest.abstain_below or 0) else (manifest.labels[best],)
    return tuple(manifest.labels[index] for index in _best_first(row) if row[index] >= manifest.thresholds[index])


def aggregate(rows: Sequence[Sequence[float]], aggregation: Aggregation, task: Task) -> list[float]:
    """Combines the scores of a text's windows.

    Args:
        rows: (windows, labels) scores.
        aggregation: The mean of each label's scores, or the highest.
        task: With `single_label` the highest scores are divided by their sum.

    Returns:
        (labels,) scores.
    """
    if aggregation == "mean":
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    highest = [max(column) for column in zip(*rows, strict=True)]
    total = sum(highest) if task == "single_label" else 1
    return [score / total for score in highest]


def predictions(logits: Floats, texts: Sequence[Sequence[Window]], policy: Policy) -> list[Prediction]:
    """Turns the logits of several texts into predictions.

    Args:
        logits: (windows, labels) float32, for the windows of all texts in order.
        texts: The windows of each text; a truncated text has one.
        policy: The options of the call.

    Raises:
        InferenceError: A logit is not a finite number.
    """
    rows = iter(logits.tolist())
    return [prediction([next(rows) for _ in windows], windows, policy) for windows in texts]


def prediction(logits: Sequence[Sequence[float]], windows: Sequence[Window], policy: Policy) -> Prediction:
    """Turns the logits of one text into a prediction.

    Args:
        logits: (windows, labels).
        windows: The windows of the text; a truncated text has one.
        policy: The options of the call.

    Raises:
        InferenceError: A logit is not a finite number.
    """
    manifest = policy.manifest
    rows = [scores(row, manifest) for row in logits]
    row = rows[0] if len(rows) == 1 else aggregate(rows, policy.aggregation or "mean", manifest.task)
    labels = select_labels(row, manifest)
    named = dict(zip(manifest.labels, row, strict=True))
    if policy.top_k is not None:
        labels = labels[: policy.top_k]
        named = {manifest.labels[index]: row[index] for index in _best_first(row)[: policy.top_k]}
    return Prediction(
        labels=labels,
        scores=named,
        abstained=not labels and manifest.thresholds is None,
        truncated=windows[0].truncated,
        n_tokens=sum([window.n_tokens for window in windows]),
        logits=tuple(logits[0]) if policy.with_logits and len(rows) == 1 else None,
        windows=() if policy.aggregation is None else _window_scores(logits, rows, windows, policy),
    )


def _window_scores(
    logits: Sequence[Sequence[float]], rows: Sequence[Sequence[float]], windows: Sequence[Window], policy: Policy
) -> tuple[WindowScores, ...]:
    labels = policy.manifest.labels
    return tuple(
        WindowScores(*window.span, dict(zip(labels, row, strict=True)), tuple(raw) if policy.with_logits else None)
        for raw, row, window in zip(logits, rows, windows, strict=True)
        if window.span is not None
    )


def _with_thresholds(manifest: Manifest, thresholds: Thresholds) -> Manifest:
    """Returns a manifest with other thresholds; for single-label with another abstention threshold."""
    named = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(manifest.labels, thresholds)
    for label, level in named.items():
        is_number = isinstance(level, Real) and not isinstance(level, bool)
        if not (is_number and 0 <= level <= 1):
            raise SettingError(f"thresholds: expected numbers from 0 to 1, found {short_repr(level)}")
        if label not in manifest.labels:
            known = ", ".join(manifest.labels)
            raise SettingError(f"thresholds: unknown label, expected some of {known:.400}")
    if manifest.thresholds is not None:
        levels = zip(manifest.labels, manifest.thresholds, strict=True)
        return dataclasses.replace(manifest, thresholds=tuple(named.get(label, level) for label, level in levels))
    if isinstance(thresholds, Mapping):
        raise SettingError("thresholds: expected one number for a single-label model, found a mapping by label")
    return dataclasses.replace(manifest, abstain_below=thresholds)


def _best_first(row: Sequence[float]) -> list[int]:
    return sorted(range(len(row)), key=lambda index: -row[index])
