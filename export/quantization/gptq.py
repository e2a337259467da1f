"""Rounds weights to int8 with GPTQ, which compensates the errors in the output of the layer.

GPTQ (Frantar et al. 2022, https://arxiv.org/abs/2210.17323) rounds the rows one after another. The remaining rows
compensate the error as far as their inputs correlate on the calibration texts. The bias takes the error that remains on
the mean input.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from training.arrays import Floats

from ..graph.layers import Linear
from .activation_stats import ActivationStats, merge_stats
from .smoothing import Preparation, step

BLOCK = 128
TINY = 1e-12


class GptqRounder:
    """Rounds the weights of layers and caches the results, because a search repeats most of them."""

    def __init__(self, stats: Mapping[str, ActivationStats]) -> None:
        """Takes statistics of the layers' inputs, by the name of the activation."""
        self._stats = stats
        self._cache: dict[tuple[frozenset[str], bytes, bytes], npt.NDArray[np.int8]] = {}

    def __call__(
        self, layer: Linear, prepared: Preparation, weights: Floats, scales: Floats
    ) -> tuple[npt.NDArray[np.int8], Floats]:
        """Rounds a layer's weights.

        Args:
            layer: The layer.
            prepared: The preparation of its input.
            weights: (channels, out) float32, for the prepared input.
            scales: (out,) float32.

        Returns:
            Integers, (channels, out) int8 from -127 to 127, and the correction to add to the bias, (out,) float32.
        """
        channels, divisors = prepared.channels, prepared.divisors
        read = frozenset(str(member.input.name) for member in prepared.layers)
        key = (read, sha256(weights.tobytes()).digest(), divisors.tobytes())
        if key not in self._cache:
            merged = merge_stats(self._stats, prepared.layers)  # layers that share their weights keep sharing them
            covariance = merged.covariance[np.ix_(channels, channels)] / divisors[:, None] / divisors
            own = max(step(merged, prepared), TINY) ** 2 / 12  # the variance that rounding the input adds
            self._cache[key] = gptq_round(weights / scales, covariance + own * np.eye(len(channels)))
        integers = self._cache[key]
        mean = self._stats[str(layer.input.name)].mean[channels] / divisors
        return integers, np.asarray(mean @ (weights - integers * scales), np.float32)


def gptq_round(weights: Floats, covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Rounds weights to integers.

    Args:
        weights: (channels, out) float32, from -127 to 127.
        covariance: (channels, channels) float64, positive definite, of the inputs.

    Returns:
        (channels, out) int8.
    """
    upper = np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1]  # covariance = upper @ upper.T
    feedback = upper / np.diag(upper)
    integers = np.zeros(weights.shape)
    errors = np.zeros(weights.shape)
    for start in range(0, len(weights), BLOCK):
        block = slice(start, start + BLOCK)
        wanted = weights[block] + feedback[:start, block].T @ errors[:start]
        for row in range(start, start + len(wanted)):
            wanted_row = wanted[row - start] + feedback[start:row, row] @ errors[start:row]
            integers[row] = np.clip(np.rint(wanted_row), -127, 127)
            errors[row] = weights[row] - integers[row]
    return integers.astype(np.int8)
