"""Quantizes a graph to int8.

Static quantization gives every input of a linear layer one fixed scale, so the logits of a text do not depend on the
rest of its batch. Weights have a scale per output column. `smoothing` decides how an input is prepared before it is
rounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from training.arrays import Floats

from ..graph.layers import Attention, Linear, attentions, embeddings, linears
from ..graph.variant_files import Operators
from .activation_stats import ActivationStats
from .gptq import GptqRounder
from .graph_builder import GraphBuilder, QuantizedActivation, QuantizedWeights
from .smoothing import Preparation, identity, prepare

LARGE_TABLE = 4096
Ranges = Literal["widest", "mean"]
RANGES: tuple[Ranges, ...] = ("widest", "mean")


@dataclass(frozen=True)
class Scheme:
    """How to quantize.

    Attributes:
        ranges: Range of an activation over the calibration texts, in the manifest's words: `widest` is min-max of all
            texts, `mean` is from the mean of their minima to the mean of their maxima.
        smooth: Smooth and split activations where that lowers the expected error enough.
        excluded: Names of layers that stay fp32.
        operators: `onnxruntime` for its fused operators, `standard` for ONNX's own alone.
    """

    ranges: Ranges = "widest"
    smooth: bool = True
    excluded: frozenset[str] = frozenset()
    operators: Operators = "onnxruntime"


def quantize(
    model: ir.Model, stats: Mapping[str, ActivationStats] | None, scheme: Scheme, rounder: GptqRounder | None = None
) -> None:
    """Quantizes a model in place.

    Args:
        model: The fp32 graph.
        stats: Statistics of each linear layer's input, by the name of the activation; None for dynamic quantization,
            which finds every scale anew in every batch.
        scheme: How to quantize.
        rounder: A rounder of the same statistics, which caches the weights of other schemes; None to make one.
    """
    if stats is not None and rounder is None:
        rounder = GptqRounder(stats)
    graph = model.graph
    layers = [layer for layer in linears(graph) if layer.name not in scheme.excluded]
    fused = attentions(graph, layers)
    groups = _groups(layers)
    if stats is not None and scheme.smooth:
        preparations = [prepare(group, stats, fused, layers) for group in groups]
    else:
        preparations = [identity(group) for group in groups]
    build = GraphBuilder(graph, scheme.operators)
    _quantize_layers(build, preparations, fused, stats, scheme.ranges, rounder)
    for embedding in embeddings(graph):
        if len(embedding.table) >= LARGE_TABLE:
            build.embedding(embedding.node, embedding.table)
    for node in graph:
        for output in node.outputs:
            if not output.is_graph_output():
                output.shape = None  # some are wider now
    graph.sort()
    common.RemoveUnusedNodesPass()(model)
    common.DeduplicateHashedInitializersPass()(model)  # layers that shared their weights still do


def _quantize_layers(
    build: GraphBuilder,
    preparations: Sequence[Preparation],
    fused: Sequence[Attention],
    stats: Mapping[str, ActivationStats] | None,
    ranges: Ranges,
    rounder: GptqRounder | None,
) -> None:
    columns = _columns(preparations)
    activations: dict[ir.Value, QuantizedActivation] = {}
    weights: dict[Linear, QuantizedWeights] = {}
    for prepared in preparations:
        for source in dict.fromkeys(layer.input for layer in prepared.layers):
            extremes = None if stats is None else _extremes(stats[str(source.name)], prepared, ranges)
            activations[source] = build.activation(build.prepared(source, prepared), extremes)
        weights |= {layer: _weights(layer, prepared, columns.get(layer), rounder) for layer in prepared.layers}
    merged: set[Linear] = set()
    for attention in fused:
        if _mergeable(attention):
            layers = (attention.query, attention.key, attention.value)
            build.attention(
                attention, activations[attention.query.input], _merged([weights[layer] for layer in layers])
            )
            merged.update(layers)
    for layer, quantized in weights.items():
        if layer not in merged:
            build.linear(layer, activations[layer.input], quantized)


def _groups(layers: Sequence[Linear]) -> list[list[Linear]]:
    """Groups layers that need the same preparation, because they read the same activation or share their weights."""
    groups: list[list[Linear]] = []
    for layer in layers:
        joined = [group for group in groups if any(o.input is layer.input or o.weight is layer.weight for o in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(member for group in joined for member in group), layer])
    return groups


def _columns(preparations: Sequence[Preparation]) -> dict[Linear, tuple[npt.NDArray[np.int64], Floats]]:
    """Returns the output columns, and their divisors, of the layers that prepare the input of a later layer.

    Example: layer B reads three channels through a Gelu, and channel 1 has outliers. B's preparation has the channels
    [0, 1, 1, 2] and the divisors [1, 2, 2, 1]. Layer A in front of the Gelu is widened: it gives its columns 0, 1, 1
    and 2, with the divisors [1, 1, 1, 1] because a division must not pass through the Gelu. A `Mul` behind the Gelu
    divides, and B's row 1 occurs twice. The sum is the same: x1/2 * w1 + x1/2 * w1 = x1 * w1.

    The output of a fused attention is linear in its values, so there the value layer's columns take the divisors and no
    `Mul` is needed.
    """
    columns = {}
    for prepared in preparations:
        if prepared.folded is not None:
            columns[prepared.folded] = (prepared.channels, prepared.divisors)
        elif prepared.widened is not None:
            columns[prepared.widened] = (prepared.channels, np.ones_like(prepared.divisors))
    return columns


def _extremes(stats: ActivationStats, prepared: Preparation, ranges: Ranges) -> tuple[float, float]:
    """Returns the range of a prepared input."""
    low = (stats.low[:, prepared.channels] / prepared.divisors).min(axis=1)
    high = (stats.high[:, prepared.channels] / prepared.divisors).max(axis=1)
    return (float(low.min()), float(high.max())) if ranges == "widest" else (float(low.mean()), float(high.mean()))


def _weights(
    layer: Linear,
    prepared: Preparation,
    columns: tuple[npt.NDArray[np.int64], Floats] | None,
    rounder: GptqRounder | None,
) -> QuantizedWeights:
    """Quantizes the weights of a layer. Its own preparation selects the rows, and a later layer's the columns."""
    weights, bias = layer.weights[prepared.channels] * prepared.rows[:, None], layer.bias
    if columns is not None:
        taken, divisors = columns
        weights = weights[:, taken] / divisors
        bias = None if bias is None else bias[taken] / divisors
    scales = np.abs(weights).max(axis=0) / np.float32(127)
    scales[scales == 0] = 1
    if rounder is None:
        return QuantizedWeights(np.rint(weights / scales).astype(np.int8), scales, bias)
    integers, correction = rounder(layer, prepared, weights, scales)
    return QuantizedWeights(integers, scales, correction if bias is None else bias + correction)


def _mergeable(attention: Attention) -> bool:
    """Returns whether query, key and value can be one product: same input, same width, only a key padding mask."""
    layers = (attention.query, attention.key, attention.value)
    same = len({layer.input for layer in layers}) == 1 and len({layer.weights.shape for layer in layers}) == 1
    return same and [value is not None for value in attention.node.inputs[3:]] in ([False, True], [False, True, False])


def _merged(weights: Sequence[QuantizedWeights]) -> QuantizedWeights:
    biases = [np.zeros(each.scales.shape, np.float32) if each.bias is None else each.bias for each in weights]
    return QuantizedWeights(
        np.concatenate([each.integers for each in weights], axis=1),
        np.concatenate([each.scales for each in weights]),
        np.concatenate(biases),
    )
