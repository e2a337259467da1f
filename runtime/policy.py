"""From logits to predictions: pure functions of an array and the manifest's decision fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import InferenceError
from .manifest import Manifest


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one text.

    Attributes:
        labels: The labels given, best first. Single-label: one, or none if the classifier abstains. Multi-label: every
            label whose score reaches its threshold, possibly none.
        scores: Every label's score in [0, 1], in the manifest's order; single-label scores sum to one.
        truncated: The text was longer than the model's `max_length` and its end was not read.
        n_tokens: Tokens read, special tokens included.
    """

    labels: tuple[str, ...]
    scores: Mapping[str, float]
    truncated: bool
    n_tokens: int

    @property
    def label(self) -> str | None:
        """The best label given, or None."""
        return self.labels[0] if self.labels else None


def scores(logits: npt.NDArray[np.float32], manifest: Manifest) -> npt.NDArray[np.float32]:
    """Turns logits into scores: softmax (single-label) or sigmoid (multi-label) after the temperature.

    Args:
        logits: (batch, labels) float32.
        manifest: Gives task and temperature.

    Returns:
        (batch, labels) float32 in [0, 1].

    Raises:
        InferenceError: A logit is not a finite number.
    """
    if not np.isfinite(logits).all():
        raise InferenceError("the model gave NaN or infinite logits; its weights are damaged, export it again")
    scaled = logits.astype(np.float64) / manifest.temperature
    if manifest.task == "multi_label":
        return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))), np.float32)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def choose(row: Sequence[float], manifest: Manifest) -> tuple[str, ...]:
    """Returns the labels to give for one text, best first.

    Args:
        row: (labels,) scores.
        manifest: Gives labels, thresholds and the abstain level.
    """
    order = sorted(range(len(row)), key=lambda index: -row[index])
    if manifest.thresholds is None:
        best = order[0]
        abstains = manifest.abstain_below is not None and row[best] < manifest.abstain_below
        return () if abstains else (manifest.labels[best],)
    return tuple(manifest.labels[index] for index in order if row[index] >= manifest.thresholds[index])
