"""Temperature scaling and expected calibration error."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from runtime.artifact.manifest import Task

from ..arrays import Doubles, Floats, Targets

BINS = 15
MIN_BIN_ROWS = 30
DRAWS = 100
MAX_TEMPERATURE = 20.0
SHARPENING = 0.25


@dataclass(frozen=True)
class Bin:
    """A bin of a reliability diagram.

    Attributes:
        rows: Number of scores in the bin.
        confidence: Their mean.
        accuracy: The fraction of them that belongs to correct predictions.
    """

    rows: int
    confidence: float
    accuracy: float


def scores(logits: Floats, task: Task, temperature: float) -> Doubles:
    """Returns (rows, labels) float64: softmax (single-label) or sigmoid (multi-label) of logits / temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    return np.asarray(softmax(scaled, axis=1) if task == "single_label" else expit(scaled))


def fit_temperature(logits: Floats, targets: Targets, task: Task) -> float:
    """Finds the most probable temperature given the logits (Guo et al. 2017, arXiv:1706.04599, with a prior).

    The prior on the log temperature is normal around 0, with a standard deviation of 1 above 0 and `SHARPENING` below.
    The wide side has hardly any effect on a hundred rows. The narrow side resists sharper scores, because the epoch was
    chosen on the same rows and the model is more accurate there than elsewhere (docs/experiments.md). The labels of a
    row are not independent evidence, so together they count as one.

    Args:
        logits: (rows, labels) float32 of rows that the model was not fitted on.
        targets: As returned by `labels.encode`.
        task: `single_label` or `multi_label`.

    Returns:
        From 1 / `MAX_TEMPERATURE` to `MAX_TEMPERATURE`; above 1 if the model is overconfident.
    """
    bound = np.log(MAX_TEMPERATURE)

    def negative_log_posterior(log_temperature: float) -> float:
        deviation = 1 if log_temperature > 0 else SHARPENING
        likelihood = len(logits) * negative_log_likelihood(logits, targets, task, np.exp(log_temperature))
        return likelihood + (log_temperature / deviation) ** 2 / 2

    found = minimize_scalar(negative_log_posterior, bounds=(-bound, bound), method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Floats, targets: Targets, task: Task, temperature: float) -> float:
    """Returns the mean negative log-likelihood over the rows; for multi-label, over rows and labels."""
    scaled = np.asarray(logits, np.float64) / temperature
    if task == "single_label":
        likelihood = np.take_along_axis(log_softmax(scaled, axis=1), np.asarray(targets, np.int64)[:, None], axis=1)
    else:
        likelihood = np.where(targets > 0, log_expit(scaled), log_expit(-scaled))
    return float(abs(likelihood.mean()))


def reliability(logits: Floats, targets: Targets, task: Task, temperature: float) -> list[Bin]:
    """Compares confidence and accuracy in bins of equal width; empty bins are left out.

    Single-label: the score of the predicted label, and whether it is correct. Multi-label: the score of every label,
    and whether the row has the label.
    """
    found = scores(logits, task, temperature)
    if task == "single_label":
        return _bins(found.max(axis=1), found.argmax(axis=1) == targets)
    return _bins(found.ravel(), targets.ravel() > 0)


def wide_bins(logits: Floats, targets: Targets, task: Task, temperature: float) -> list[Bin]:
    """Returns the bins of `reliability`, neighbours joined until each has at least `MIN_BIN_ROWS` scores.

    Bins with fewer would show chance in a diagram. From the highest confidence down; what is left at the end joins the
    last bin.
    """
    joined: list[Bin] = []
    for item in reversed(reliability(logits, targets, task, temperature)):
        if joined and joined[-1].rows < MIN_BIN_ROWS:
            joined[-1] = _join(joined[-1], item)
        else:
            joined.append(item)
    if len(joined) > 1 and joined[-1].rows < MIN_BIN_ROWS:
        joined[-2:] = [_join(*joined[-2:])]
    return joined[::-1]


def calibration_error_by_chance(logits: Floats, task: Task, temperature: float) -> float:
    """Returns the expected calibration error that perfectly calibrated scores would show on so few rows.

    In a bin with few rows, the accuracy differs from the confidence by chance: on 241 rows the error is about .06. The
    estimate is the mean over `DRAWS` draws of the targets from the scores.
    """
    found = scores(logits, task, temperature)
    confidence = found.max(axis=1) if task == "single_label" else found.ravel()
    random = np.random.default_rng(0)
    draws = (_bins(confidence, random.random(len(confidence)) < confidence) for _ in range(DRAWS))
    return float(np.mean([expected_calibration_error(bins) for bins in draws]))


def _bins(confidence: Doubles, correct: npt.NDArray[np.bool_]) -> list[Bin]:
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), float(correct[inside].mean()))
        for inside in (places == place for place in range(BINS))
        if inside.any()
    ]


def _join(one: Bin, other: Bin) -> Bin:
    rows = one.rows + other.rows
    confidence, accuracy = (
        (one.rows * first + other.rows * second) / rows
        for first, second in ((one.confidence, other.confidence), (one.accuracy, other.accuracy))
    )
    return Bin(rows, confidence, accuracy)


def expected_calibration_error(bins: list[Bin]) -> float:
    """Returns the mean distance of confidence and accuracy, weighted by the rows of the bins: 0 is perfect."""
    return sum(item.rows * abs(item.confidence - item.accuracy) for item in bins) / sum(item.rows for item in bins)
