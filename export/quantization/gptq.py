"""Rounds weights to int8 so that their errors cancel in what the layer gives, instead of one by one to the nearest.

GPTQ (Frantar et al. 2022, https://arxiv.org/abs/2210.17323): rows are rounded one after another, and the rows still to
come make up for the error as far as their inputs vary together on the calibration texts. What is left on the mean input
is taken from the bias.
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
    """Rounds the weights of layers, and remembers them: a search asks for most of them again and again."""

    def __init__(self, observed: Mapping[str, ActivationStats]) -> None:
        """Takes what the layers read, by the name of the activation."""
        self._observed = observed
        self._known: dict[tuple[frozenset[str], bytes, bytes], npt.NDArray[np.int8]] = {}

    def __call__(
        self, layer: Linear, prepared: Preparation, weights: Floats, scales: Floats
    ) -> tuple[npt.NDArray[np.int8], Floats]:
        """Rounds a layer's weights.

        Args:
            layer: Whose.
            prepared: Its input.
            weights: (channels, out) float32, for the prepared input.
            scales: (out,) float32.

        Returns:
            (channels, out) int8 from -127 to 127, and (out,) float32 to be added to the bias.
        """
        channels, divisors = prepared.channels, prepared.divisors
        read = frozenset(str(member.input.name) for member in prepared.layers)
        key = (read, sha256(weights.tobytes()).digest(), divisors.tobytes())
        if key not in self._known:
            observed = merge_stats(
                self._observed, prepared.layers
            )  # layers that share their weights go on sharing them
            covariance = observed.covariance[np.ix_(channels, channels)] / divisors[:, None] / divisors
            own = max(step(observed, prepared), TINY) ** 2 / 12  # rounding the input adds as much
            self._known[key] = gptq_round(weights / scales, covariance + own * np.eye(len(channels)))
        integers = self._known[key]
        mean = self._observed[str(layer.input.name)].mean[channels] / divisors
        return integers, np.asarray(mean @ (weights - integers * scales), np.float32)


def gptq_round(weights: Floats, covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Rounds weights to whole numbers.

    Args:
        weights: (channels, out), from -127 to 127.
        covariance: (channels, channels), positive definite, of the inputs.

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
