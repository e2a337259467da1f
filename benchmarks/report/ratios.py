"""Ratios of latencies with confidence intervals, from a latency report.

Two sources of chance are combined. The rounds are resampled with replacement, for both contenders alike because their
turns in a round follow each other (bootstrap, Efron 1979). And two processes of the same contender differ, by where
their memory lies for example; how much is measured by the control, a second process of `litmus`. Its log ratios over
all workloads give the variance that is added to that of the bootstrap.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..harness.catalog import CONTROL, LITMUS

RESAMPLES = 2000
NORMAL_95 = 1.96
MARGIN = 1.05
SEED = 0


@dataclass(frozen=True)
class Ratio:
    """How many times as long another contender takes as Litmus: above 1 Litmus is faster.

    Attributes:
        value: Ratio of the medians.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether one of the two is faster: the interval lies beyond 1 by `MARGIN`.

        A smaller difference is not worth choosing by, and another run may not show it.
        """
        return self.low > MARGIN or self.high < 1 / MARGIN

    @property
    def inverse(self) -> "Ratio":
        """How many times as long Litmus takes as the other contender."""
        return Ratio(1 / self.value, 1 / self.high, 1 / self.low)

    @property
    def digits(self) -> int:
        """Digits behind the point that are worth showing."""
        return 1 if self.value >= 2 else 2

    def __str__(self) -> str:
        """Formats value and interval for people."""
        digits = self.digits
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def process_noise(report: Mapping[str, Any]) -> float:
    """Returns the root mean square of the control's log ratios: by how much two equal processes differ.

    Zero if the report has no control.
    """
    logs = [math.log(ratio) for ratio in report["control"].values()]
    return math.sqrt(sum(value**2 for value in logs) / len(logs)) if logs else 0.0


def ratio(report: Mapping[str, Any], name: str, workload: str) -> Ratio:
    """Returns the ratio of a contender's latency to that of Litmus.

    Args:
        report: From `latency.measure`, with `litmus` and the contender in its results.
        name: The contender.
        workload: The workload.
    """
    other, ours = (_medians(report["results"][key]["workloads"][workload]["rounds_ms"]) for key in (name, LITMUS))
    value = float(other[0] / ours[0])
    spread = float(np.std(np.log(other[1:] / ours[1:])))
    noise = 0.0 if name == CONTROL else process_noise(report)
    factor = math.exp(NORMAL_95 * math.hypot(spread, noise))
    return Ratio(value, value / factor, value * factor)


def _medians(rounds_ms: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Returns (1 + RESAMPLES,) float64: the median of all calls, then of the calls of resampled rounds.

    The same rounds are drawn for every contender with as many rounds.
    """
    rounds = np.array(rounds_ms, np.float64)
    drawn = np.random.default_rng(SEED).integers(len(rounds), size=(RESAMPLES, len(rounds)))
    return np.concatenate([[np.median(rounds)], np.median(rounds[drawn].reshape(RESAMPLES, -1), axis=1)])
