"""From logits to predictions: pure functions of arrays and the manifest's decision fields."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ..artifact.manifest import Aggregation, Manifest, Task
from ..checks import require_whole_number, short_repr
from ..errors import InferenceError, SettingError
from ..text.tokenizer import Window

Floats = npt.NDArray[np.float32]
SHOWN_SCORES = 3


@dataclass(frozen=True, slots=True)
class WindowScores:
    """What one window of a long text says.

    Attributes:
        start: Where it begins, in characters of the text.
        end: Where it ends.
        scores: Every label's score, in the manifest's order.
        logits: In the manifest's order, if they were asked for.
    """

    start: int
    end: int
    scores: Mapping[str, float]
    logits: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as plain values, ready for JSON; logits only if they were asked for."""
        content = {"start": self.start, "end": self.end, "scores": dict(self.scores)}
        return content if self.logits is None else content | {"logits": list(self.logits)}


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """What the classifier says of one text.

    Attributes:
        labels: The labels given, best first. Single-label: one, or none if the classifier abstains. Multi-label: every
            label whose score reaches its threshold, possibly none.
        scores: Every label's score in [0, 1], in the manifest's order, or with `top_k` the highest, best first.
            Single-label scores sum to one.
        abstained: Single-label: the best score is below the level at which a label is given.
        truncated: The text was longer than the model's `max_length` and its end was not read.
        n_tokens: Tokens read, special tokens included; with windows those of all windows.
        logits: In the manifest's order, if they were asked for and the text was one window.
        windows: With `windows`, what each of them says.
    """

    labels: tuple[str, ...]
    scores: Mapping[str, float]
    abstained: bool
    truncated: bool
    n_tokens: int
    logits: tuple[float, ...] | None = None
    windows: tuple[WindowScores, ...] = ()

    @property
    def label(self) -> str | None:
        """The best label given, or None."""
        return self.labels[0] if self.labels else None

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as plain values, ready for JSON; logits and windows only if they were asked for."""
        content = {"label": self.label} | {name: getattr(self, name) for name in ("abstained", "truncated", "n_tokens")}
        content |= {"labels": list(self.labels), "scores": dict(self.scores)}
        if self.logits is not None:
            content["logits"] = list(self.logits)
        if self.windows:
            content["windows"] = [window.to_dict() for window in self.windows]
        return content

    def __repr__(self) -> str:
        """Shows what a person asks first: the labels, and the highest scores."""
        best = sorted(self.scores.items(), key=lambda item: -item[1])[:SHOWN_SCORES]
        scores = ", ".join(f"{label!r}: {score:.4f}" for label, score in best)
        more = f", and {len(self.scores) - len(best)} more" if len(self.scores) > len(best) else ""
        flags = "".join(f", {name}=True" for name in ("abstained", "truncated") if getattr(self, name))
        windows = f", {len(self.windows)} windows" if self.windows else ""
        return (
            f"Prediction(labels={self.labels!r}, scores={{{scores}{more}}}{flags}, n_tokens={self.n_tokens}{windows})"
        )


@dataclass(frozen=True)
class Policy:
    """What a call wants.

    Attributes:
        manifest: The artifact's, with the thresholds of the call.
        top_k: How many labels and scores to give at most; None for all.
        aggregation: How to put the windows of a long text together; None to cut it.
        with_logits: Whether to give logits.
    """

    manifest: Manifest
    top_k: int | None = None
    aggregation: Aggregation | None = None
    with_logits: bool = False


def call_policy(
    manifest: Manifest,
    *,
    top_k: int | None,
    thresholds: float | Mapping[str, float] | None,
    windows: bool | Aggregation,
    with_logits: bool,
) -> Policy:
    """Checks what a call wants.

    Raises:
        SettingError: `top_k` is no positive number, a threshold is not from 0 to 1 or for a label that is unknown,
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


def scores(logits: Sequence[float], manifest: Manifest) -> list[float]:
    """Turns a text's logits into scores: softmax (single-label) or sigmoid (multi-label) after the temperature.

    Plain Python: after an inference the CPU's caches hold the model, and the ten calls of NumPy that this takes cost
    100 us, these lines 10.

    Args:
        logits: (labels,) of one text.
        manifest: Gives task and temperature.

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
    """Returns the labels to give for one text, best first.

    Args:
        row: (labels,) scores.
        manifest: Gives labels, thresholds and the abstain level.
    """
    if manifest.thresholds is None:
        best = row.index(max(row))
        return () if row[best] < (manifest.abstain_below or 0) else (manifest.labels[best],)
    return tuple(manifest.labels[index] for index in _best_first(row) if row[index] >= manifest.thresholds[index])


def predictions(logits: Floats, texts: Sequence[Sequence[Window]], policy: Policy) -> list[Prediction]:
    """Turns logits into predictions.

    Args:
        logits: (windows, labels) float32, for the windows of all texts in order.
        texts: The windows of each text; one where it was cut.
        policy: What the call wants.

    Raises:
        InferenceError: A logit is not a finite number.
    """
    rows = iter(logits.tolist())
    return [prediction([next(rows) for _ in windows], windows, policy) for windows in texts]


def aggregate(rows: Sequence[Sequence[float]], aggregation: Aggregation, task: Task) -> list[float]:
    """Puts the scores of a text's windows together.

    Args:
        rows: (windows, labels) scores.
        aggregation: The highest score of each label, or the mean.
        task: For `single_label` the highest scores are divided by their sum.

    Returns:
        (labels,) scores.
    """
    if aggregation == "mean":
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    highest = [max(column) for column in zip(*rows, strict=True)]
    total = sum(highest) if task == "single_label" else 1
    return [score / total for score in highest]


def prediction(logits: Sequence[Sequence[float]], windows: Sequence[Window], policy: Policy) -> Prediction:
    """Turns a text's logits into a prediction.

    Args:
        logits: (windows, labels), of its windows.
        windows: Its windows; one if it was cut.
        policy: What the call wants.

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
        windows=() if policy.aggregation is None else _windows(logits, rows, windows, policy),
    )


def _windows(
    logits: Sequence[Sequence[float]], rows: Sequence[Sequence[float]], windows: Sequence[Window], policy: Policy
) -> tuple[WindowScores, ...]:
    labels = policy.manifest.labels
    return tuple(
        WindowScores(*window.span, dict(zip(labels, row, strict=True)), tuple(raw) if policy.with_logits else None)
        for raw, row, window in zip(logits, rows, windows, strict=True)
        if window.span is not None
    )


def _with_thresholds(manifest: Manifest, thresholds: float | Mapping[str, float]) -> Manifest:
    """Returns a manifest with other thresholds, or in a single-label one with another level to abstain below."""
    named = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(manifest.labels, thresholds)
    for label, level in named.items():
        number = isinstance(level, Real) and not isinstance(level, bool)
        if not (number and 0 <= level <= 1):
            raise SettingError(f"thresholds: expected numbers from 0 to 1, found {short_repr(level)}")
        if label not in manifest.labels:
            known = ", ".join(manifest.labels)
            raise SettingError(f"thresholds: unknown label, expected some of {known:.400}")
    if manifest.thresholds is not None:
        levels = zip(manifest.labels, manifest.thresholds, strict=True)
        return dataclasses.replace(manifest, thresholds=tuple(named.get(label, level) for label, level in levels))
    if isinstance(thresholds, Mapping):
        raise SettingError("thresholds: expected one number, below which no label is given: only one label is")
    return dataclasses.replace(manifest, abstain_below=thresholds)


def _best_first(row: Sequence[float]) -> list[int]:
    return sorted(range(len(row)), key=lambda index: -row[index])
