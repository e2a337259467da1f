"""Makes scores mean what they say: a temperature for the logits, and how far scores are from the truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Floats, Targets

BINS = 15
DRAWS = 100
MAX_TEMPERATURE = 20.0
SHARPENING = 0.25


@dataclass(frozen=True)
class Bin:
    """The scores between two bounds.

    Attributes:
        rows: How many.
        score: Their mean.
        right: The share of them that is right.
    """

    rows: int
    score: float
    right: float


def scores(logits: Floats, task: Task, temperature: float) -> Doubles:
    """Returns (rows, labels) float64: softmax (single-label) or sigmoid (multi-label) of the divided logits."""
    scaled = np.asarray(logits, np.float64) / temperature
    return np.asarray(softmax(scaled, axis=1) if task == "single_label" else expit(scaled))


def fit_temperature(logits: Floats, targets: Targets, task: Task) -> float:
    """Finds the most probable temperature by the likelihood of the logits (Guo et al. 2017, arXiv:1706.04599).

    Its logarithm is normal around 0 to begin with, above it with a deviation of 1, which weighs next to nothing beside
    a hundred rows. Below, scores become surer than the model's, and that is believed less: the epoch was chosen on the
    same rows, so the model is right there more often than elsewhere (measured in docs/experiments.md). The labels of a
    row are no independent evidence: all together they weigh as much as one.

    Args:
        logits: (rows, labels) float32 of rows that the model was not fitted on.
        targets: As `labels.encode` gives them.
        task: How the labels exclude each other.

    Returns:
        From 1 / `MAX_TEMPERATURE` to `MAX_TEMPERATURE`; more than 1 where the model is too sure of itself.
    """
    bound = np.log(MAX_TEMPERATURE)

    def improbability(log: float) -> float:
        deviation = 1 if log > 0 else SHARPENING
        likelihood = len(logits) * negative_log_likelihood(logits, targets, task, np.exp(log))
        return likelihood + (log / deviation) ** 2 / 2

    found = minimize_scalar(improbability, bounds=(-bound, bound), method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Floats, targets: Targets, task: Task, temperature: float) -> float:
    """Returns the mean over the rows, or over rows and labels for multi-label."""
    scaled = np.asarray(logits, np.float64) / temperature
    if task == "single_label":
        likelihood = np.take_along_axis(log_softmax(scaled, axis=1), np.asarray(targets, np.int64)[:, None], axis=1)
    else:
        likelihood = np.where(targets > 0, log_expit(scaled), log_expit(-scaled))
    return float(abs(likelihood.mean()))


def reliability(logits: Floats, targets: Targets, task: Task, temperature: float) -> list[Bin]:
    """Compares scores with the truth in bins of equal width that are not empty.

    Single-label: the best label's score, and whether it is right. Multi-label: every label's score, and whether the row
    has the label.
    """
    found = scores(logits, task, temperature)
    if task == "single_label":
        return _bins(found.max(axis=1), found.argmax(axis=1) == targets)
    return _bins(found.ravel(), targets.ravel() > 0)


def calibration_error_by_chance(logits: Floats, task: Task, temperature: float) -> float:
    """Returns the expected calibration error that these scores would show if they were perfect.

    Few rows in a bin are never right just as often as their scores say: on 241 rows .06 is nothing to be improved. The
    mean of `DRAWS` draws of the truth from the scores.
    """
    found = scores(logits, task, temperature)
    confidence = found.max(axis=1) if task == "single_label" else found.ravel()
    random = np.random.default_rng(0)
    draws = (_bins(confidence, random.random(len(confidence)) < confidence) for _ in range(DRAWS))
    return float(np.mean([expected_calibration_error(bins) for bins in draws]))


def _bins(confidence: Doubles, right: npt.NDArray[np.bool_]) -> list[Bin]:
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for inside in (places == place for place in range(BINS))
        if inside.any()
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Returns the mean distance of score and truth, weighted by the bins' rows: 0 is perfect, 1 the worst."""
    return sum(item.rows * abs(item.score - item.right) for item in bins) / sum(item.rows for item in bins)
