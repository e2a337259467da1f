"""Decides how the input of each group of layers is prepared before it is rounded to int8.

A single scale for all channels of an activation is set by its few outliers, and all others suffer. Two remedies, both
exact before rounding:

- smoothing (SmoothQuant, Xiao et al. 2022, https://arxiv.org/abs/2211.10438): channel j is divided by
  s_j = max|x_j|^a / max|w_j|^(1 - a) and row j of the weights multiplied by it;
- splitting (Zhao et al. 2019, https://arxiv.org/abs/1901.09504): channel j comes n_j times, each divided by n_j. layer
  in front gets a few more columns for it.

Dividing costs a Mul. In front of a fused attention's output layer it is folded into the value layer and costs nothing.
Which remedy, and which exponent, is decided for each group by the rounding noise to be expected at its output.
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
NEGLIGIBLE = 1e-6  # a channel or row that small, beside the largest, is left as it is
ELEMENTWISE = frozenset({"Gelu", "Relu", "Tanh", "Sigmoid"})


@dataclass(frozen=True)
class Preparation:
    """What happens to the input of layers that read the same activation, or share their weights.

    Attributes:
        layers: The group.
        channels: (channels,) int64, ascending: which input channel each is; one that is split comes several times.
        divisors: (channels,) float32 that the input is divided by.
        rows: (channels,) float32 that the rows of the weights are multiplied by.
        widened: The layer in front, whose columns become `channels`; None if nothing is split.
        folded: The value layer whose columns take the division; None if it takes a Mul.
    """

    layers: tuple[Linear, ...]
    channels: npt.NDArray[np.int64]
    divisors: Floats
    rows: Floats
    widened: Linear | None = None
    folded: Linear | None = None


def identity(layers: Sequence[Linear]) -> Preparation:
    """Returns the preparation that changes nothing."""
    width = len(layers[0].weights)
    ones = np.ones(width, np.float32)
    return Preparation(tuple(layers), np.arange(width), ones, ones)


def prepare(
    layers: Sequence[Linear],
    observed: Mapping[str, ActivationStats],
    fused: Sequence[Attention],
    known: Sequence[Linear],
) -> Preparation:
    """Chooses the preparation of a group.

    Args:
        layers: The group.
        observed: By the name of the activation.
        fused: Attentions that may take a division into their value layer.
        known: Layers that may be widened.
    """
    seen = merge_stats(observed, layers)
    weights = np.concatenate([layer.weights for layer in layers], axis=1)
    folded = _value_in_front(layers, fused)
    widened = _layer_in_front(layers, known)
    as_it_is = identity(layers)
    choices = {
        expected_error(weights, seen, choice): choice for choice in _choices(as_it_is, weights, seen, widened, folded)
    }
    best = min(choices)
    if folded is None and best >= MAX_NOISE_RATIO * expected_error(weights, seen, as_it_is):
        return as_it_is
    return choices[best]


def expected_error(weights: Floats, observed: ActivationStats, prepared: Preparation) -> float:
    """Returns the expected squared rounding error of a layer's output, summed over its columns.

    The error of a number rounded in steps d is uniform, so d^2 / 12. Copies of a channel are rounded alike, so their
    errors add up before they are squared.
    """
    firsts = np.flatnonzero(np.diff(prepared.channels, prepend=-1))
    counts = np.bincount(prepared.channels)
    multiplied = np.abs(weights) * prepared.rows[firsts, None]
    steps = multiplied.max(axis=0) / 127
    powers = np.einsum("ij,ij->i", multiplied, multiplied)
    from_input = step(observed, prepared) ** 2 / 12 * float((counts**2 * powers).sum())
    undone = counts / prepared.divisors[firsts]
    from_weights = float((steps**2).sum()) / 12 * float((np.diag(observed.covariance) * undone**2).sum())
    return from_input + from_weights


def step(observed: ActivationStats, prepared: Preparation) -> float:
    """Returns the width of the 255 steps that a prepared input is rounded to."""
    low = (observed.low[:, prepared.channels] / prepared.divisors).min()
    high = (observed.high[:, prepared.channels] / prepared.divisors).max()
    return (max(float(high), 0.0) - min(float(low), 0.0)) / 255


def _choices(
    plain_one: Preparation, weights: Floats, observed: ActivationStats, widened: Linear | None, folded: Linear | None
) -> Iterator[Preparation]:
    largest = np.maximum(-observed.low, observed.high).max(axis=0)
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
                plain_one.layers,
                channels,
                (smooth * counts)[channels].astype(np.float32),
                smooth[channels].astype(np.float32),
                widened if copies else None,
                folded,
            )


def _counts(largest: Floats, copies: int) -> npt.NDArray[np.int64]:
    """Gives each copy to the channel that is largest after those before it."""
    counts = np.ones(len(largest), np.int64)
    for _ in range(copies):
        counts[np.argmax(largest / counts)] += 1
    return counts


def _value_in_front(layers: Sequence[Linear], fused: Sequence[Attention]) -> Linear | None:
    """Returns the value layer of a fused attention that nothing but these layers reads."""
    source = layers[0].input
    for attention in fused:
        alone = [use.node for use in attention.value.output.uses()] == [attention.node]
        if attention.node.outputs[0] is source and alone and _only_readers(layers):
            return attention.value
    return None


def _layer_in_front(layers: Sequence[Linear], known: Sequence[Linear]) -> Linear | None:
    """Returns the layer that these layers read through one elementwise operator, if nothing else reads either."""
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
