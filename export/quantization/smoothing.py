"""Chooses how the input of each group of layers is prepared before it is rounded to int8.

A few outliers set the single scale of an activation, and all its other channels lose precision. There are two remedies,
both exact before rounding:

- smoothing (SmoothQuant, Xiao et al. 2022, https://arxiv.org/abs/2211.10438): channel j is divided by
  s_j = max|x_j|^a / max|w_j|^(1 - a) and row j of the weights multiplied by it;
- splitting (Zhao et al. 2019, https://arxiv.org/abs/1901.09504): channel j is replaced by n_j copies, each divided by
  n_j. The layer in front gets a few extra output columns.

Dividing costs a `Mul`, except in front of a fused attention's output layer, where it is folded into the value layer.
The remedy and the exponent with the least expected rounding error are chosen for each group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.arrays import Floats

from ..graph.layers import Attention, Linear
from .activation_stats import ActivationStats, merge_stats

EXPONENTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COPIES = (0, 4, 16)
MAX_NOISE_RATIO = 0.5
NEGLIGIBLE = 1e-6  # channels and rows below this share of the largest are not smoothed
ELEMENTWISE = frozenset({"Gelu", "Relu", "Tanh", "Sigmoid"})


@dataclass(frozen=True)
class Preparation:
    """Preparation of the input of a group of layers, which read the same activation or share their weights.

    Attributes:
        layers: The group.
        channels: (channels,) int64, ascending. Index of the input channel; a split channel occurs several times.
        divisors: (channels,) float32. The input is divided by them.
        rows: (channels,) float32. The rows of the weights are multiplied by them.
        widened: The layer in front, whose output columns become `channels`; None if no channel is split.
        folded: The value layer whose columns take the division; None if a `Mul` divides.
    """

    layers: tuple[Linear, ...]
    channels: npt.NDArray[np.int64]
    divisors: Floats
    rows: Floats
    widened: Linear | None = None
    folded: Linear | None = None


def identity(layers: Sequence[Linear]) -> Preparation:
    """Returns the preparation that leaves the input as it is."""
    width = len(layers[0].weights)
    ones = np.ones(width, np.float32)
    return Preparation(tuple(layers), np.arange(width), ones, ones)


def prepare(
    layers: Sequence[Linear],
    stats: Mapping[str, ActivationStats],
    fused: Sequence[Attention],
    known: Sequence[Linear],
) -> Preparation:
    """Chooses the preparation of a group.

    Args:
        layers: The group.
        stats: Statistics by the name of the activation.
        fused: Attentions whose value layers may take a division.
        known: Layers that may be widened.
    """
    merged = merge_stats(stats, layers)
    weights = np.concatenate([layer.weights for layer in layers], axis=1)
    folded = _value_in_front(layers, fused)
    widened = _layer_in_front(layers, known)
    unprepared = identity(layers)
    choices = {
        expected_error(weights, merged, choice): choice
        for choice in _choices(unprepared, weights, merged, widened, folded)
    }
    best = min(choices)
    if folded is None and best >= MAX_NOISE_RATIO * expected_error(weights, merged, unprepared):
        return unprepared
    return choices[best]


def expected_error(weights: Floats, stats: ActivationStats, prepared: Preparation) -> float:
    """Returns the expected squared rounding error of a layer's output, summed over its columns.

    Rounding in steps of d has a uniform error, with the variance d^2 / 12. The copies of a channel have the same error,
    so n copies count n^2 times.

    Example: one channel with values from 0 to 10 and the weight 1. The input's step is 10 / 255, so its error is
    (10 / 255)^2 / 12. Split in two, the step is 5 / 255 and the two copies count 2^2 times, so the error is the same.
    Other channels of the same input gain, because they get the smaller step as well.

    Args:
        weights: (channels, out) float32, before preparation.
        stats: Statistics of the input.
        prepared: The preparation.
    """
    firsts = np.flatnonzero(np.diff(prepared.channels, prepend=-1))
    counts = np.bincount(prepared.channels)
    multiplied = np.abs(weights) * prepared.rows[firsts, None]
    steps = multiplied.max(axis=0) / 127
    powers = np.einsum("ij,ij->i", multiplied, multiplied)
    from_input = step(stats, prepared) ** 2 / 12 * float((counts**2 * powers).sum())
    undone = counts / prepared.divisors[firsts]
    from_weights = float((steps**2).sum()) / 12 * float((np.diag(stats.covariance) * undone**2).sum())
    return from_input + from_weights


def step(stats: ActivationStats, prepared: Preparation) -> float:
    """Returns the step in which a prepared input is rounded: its range divided by 255."""
    low = (stats.low[:, prepared.channels] / prepared.divisors).min()
    high = (stats.high[:, prepared.channels] / prepared.divisors).max()
    return (max(float(high), 0.0) - min(float(low), 0.0)) / 255


def _choices(
    unprepared: Preparation, weights: Floats, stats: ActivationStats, widened: Linear | None, folded: Linear | None
) -> Iterator[Preparation]:
    largest = np.maximum(-stats.low, stats.high).max(axis=0)
    by_row = np.abs(weights).max(axis=1)
    usable = (largest > NEGLIGIBLE * largest.max()) & (by_row > NEGLIGIBLE * by_row.max())
    for copies in COPIES if widened is not None else (0,):
        counts = _counts(largest, copies)
        channels = np.repeat(np.arange(len(counts)), counts)
        for exponent in (None, *EXPONENTS):
            smooth = np.ones(len(counts))
            if exponent is not None:
                smooth[usable] = (largest / counts)[usable] ** exponent / by_row[usable] ** (1 - exponent)
            yield Preparation(
                unprepared.layers,
                channels,
                (smooth * counts)[channels].astype(np.float32),
                smooth[channels].astype(np.float32),
                widened if copies else None,
                folded,
            )


def _counts(largest: Floats, copies: int) -> npt.NDArray[np.int64]:
    """Returns how often each channel occurs: one copy after another goes to the channel that is then the largest."""
    counts = np.ones(len(largest), np.int64)
    for _ in range(copies):
        counts[np.argmax(largest / counts)] += 1
    return counts


def _value_in_front(layers: Sequence[Linear], fused: Sequence[Attention]) -> Linear | None:
    """Returns the value layer of a fused attention whose output only these layers read."""
    source = layers[0].input
    for attention in fused:
        alone = [use.node for use in attention.value.output.uses()] == [attention.node]
        if attention.node.outputs[0] is source and alone and _only_readers(layers):
            return attention.value
    return None


def _layer_in_front(layers: Sequence[Linear], known: Sequence[Linear]) -> Linear | None:
    """Returns the layer in front of one elementwise operator, if only these layers read the two."""
    between = layers[0].input.producer()
    if between is None or between.op_type not in ELEMENTWISE or not _only_readers(layers):
        return None
    for layer in known:
        if layer.output is between.inputs[0] and len(list(layer.output.uses())) == 1:
            shared = any(other.weight is layer.weight for other in known if other is not layer)
            return None if shared else layer
    return None


def _only_readers(layers: Sequence[Linear]) -> bool:
    source = layers[0].input
    nodes = {layer.nodes[0] for layer in layers}
    return not source.is_graph_output() and {use.node for use in source.uses()} == nodes
