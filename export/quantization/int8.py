"""Makes the int8 graph: integer matrix products in the operators that onnxruntime's CPU provider runs fastest.

Static: every input of a linear layer is quantized with one scale, known beforehand, so a text's answer depends on
nothing but the text. Weights have a scale per output column. What happens to an input before it is rounded is for
`smoothing` to decide.

What each form of a layer costs is in docs/experiments.md. Operators:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from ..graph.layers import Attention, Floats, Linear, attentions, embeddings, linears
from ..graph.variant_files import Operators
from .activation_stats import ActivationStats
from .gptq import GptqRounder
from .smoothing import Preparation, identity, prepare

MICROSOFT = "com.microsoft"
LARGE_TABLE = 4096
Ranges = Literal["widest", "mean"]
RANGES: tuple[Ranges, ...] = ("widest", "mean")


@dataclass(frozen=True)
class Scheme:
    """How to quantize.

    Attributes:
        ranges: Of an activation over the calibration texts: the `widest`, or the `mean` of the texts' extremes.
        smooth: Whether activations are smoothed and split where that pays.
        excluded: Names of layers that stay fp32.
        operators: `onnxruntime` for its fused operators, `standard` for ONNX's own.
    """

    ranges: Ranges = "widest"
    smooth: bool = True
    excluded: frozenset[str] = frozenset()
    operators: Operators = "onnxruntime"


@dataclass(frozen=True)
class _Activation:
    """A quantized activation: x = (integers - zero_point) * scale.

    Attributes:
        integers: (..., channels) uint8.
        scale: () float32.
        zero_point: () uint8.
    """

    integers: ir.Value
    scale: ir.Value
    zero_point: ir.Value


@dataclass(frozen=True)
class _Weights:
    """Quantized weights: w = integers * scales, column by column.

    Attributes:
        integers: (in, out) int8.
        scales: (out,) float32.
        bias: (out,) float32, or None.
    """

    integers: npt.NDArray[np.int8]
    scales: Floats
    bias: Floats | None


def quantize(
    model: ir.Model, observed: Mapping[str, ActivationStats] | None, scheme: Scheme, rounder: GptqRounder | None = None
) -> None:
    """Quantizes a model in place.

    Args:
        model: The fp32 graph.
        observed: The ranges of what its linear layers read; None for a scale found anew in every batch (dynamic int8).
        scheme: How.
        rounder: Of what was observed, if there is one already: it remembers the weights of other schemes.
    """
    if observed is not None and rounder is None:
        rounder = GptqRounder(observed)
    graph = model.graph
    layers = [layer for layer in linears(graph) if layer.name not in scheme.excluded]
    fused = attentions(graph, layers)
    groups = _groups(layers)
    if observed is not None and scheme.smooth:
        preparations = [prepare(group, observed, fused, layers) for group in groups]
    else:
        preparations = [identity(group) for group in groups]
    build = _Builder(graph, scheme.operators)
    _quantize_layers(build, preparations, fused, observed, scheme.ranges, rounder)
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
    build: "_Builder",
    preparations: Sequence[Preparation],
    fused: Sequence[Attention],
    observed: Mapping[str, ActivationStats] | None,
    ranges: Ranges,
    rounder: GptqRounder | None,
) -> None:
    columns = _columns(preparations)
    activations: dict[ir.Value, _Activation] = {}
    weights: dict[Linear, _Weights] = {}
    for prepared in preparations:
        for source in dict.fromkeys(layer.input for layer in prepared.layers):
            extremes = None if observed is None else _extremes(observed[str(source.name)], prepared, ranges)
            activations[source] = build.activation(build.prepared(source, prepared), extremes)
        weights |= {layer: _weights(layer, prepared, columns.get(layer), rounder) for layer in prepared.layers}
    merged: set[Linear] = set()
    for attention in fused:
        if _mergeable(attention):
            parts = (attention.query, attention.key, attention.value)
            build.attention(attention, activations[attention.query.input], _merged([weights[part] for part in parts]))
            merged.update(parts)
    for layer, quantized in weights.items():
        if layer not in merged:
            build.linear(layer, activations[layer.input], quantized)


class _Builder:
    """Adds nodes and constants to a graph."""

    def __init__(self, graph: ir.Graph, operators: Operators) -> None:
        self._graph = graph
        self._operators = operators
        self._count = 0

    def constant(self, array: npt.NDArray[np.generic] | np.generic) -> ir.Value:
        self._count += 1
        value = ir.Value(name=f"int8_constant_{self._count}", const_value=ir.tensor(np.ascontiguousarray(array)))
        self._graph.register_initializer(value)
        return value

    def node(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        outputs: int = 1,
        domain: str = "",
        name: str | None = None,
        **attributes: int | float,
    ) -> Sequence[ir.Value]:
        self._count += 1
        name = name or f"int8_node_{self._count}"
        results = [ir.Value(name=f"int8_value_{self._count}_{index}") for index in range(outputs)]
        self._graph.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=results, name=name))
        if domain:
            self._graph.opset_imports.setdefault(domain, 1)
        return results

    def prepared(self, source: ir.Value, prepared: Preparation) -> ir.Value:
        """Divides every channel as decided, if nothing else does."""
        if prepared.folded is not None or (prepared.divisors == 1).all():
            return source
        return self.node("Mul", source, self.constant(1 / prepared.divisors))[0]

    def activation(self, source: ir.Value, extremes: tuple[float, float] | None) -> _Activation:
        """Quantizes an activation: with a fixed scale, or with one from its own least and greatest value."""
        if extremes is None:
            return _Activation(*self.node("DynamicQuantizeLinear", source, outputs=3))
        low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
        step = np.float32((high - low) / 255 or 1.0)
        scale, zero_point = self.constant(step), self.constant(np.uint8(np.rint(-low / step)))
        return _Activation(self.node("QuantizeLinear", source, scale, zero_point)[0], scale, zero_point)

    def linear(self, layer: Linear, x: _Activation, w: _Weights) -> None:
        """Replaces a linear layer."""
        integers, scales = self.constant(w.integers), self.constant(w.scales)
        if self._operators == "onnxruntime":
            bias = None if w.bias is None else self.constant(w.bias)
            inputs = (x.integers, integers, x.scale, scales, x.zero_point, None, bias)
            (output,) = self.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT, name=layer.name)
        else:
            (product,) = self.node("MatMulInteger", x.integers, integers, x.zero_point, name=layer.name)
            (product,) = self.node("Cast", product, to=int(ir.DataType.FLOAT))
            (output,) = self.node("Mul", product, self.node("Mul", x.scale, scales)[0])
            if w.bias is not None:
                (output,) = self.node("Add", output, self.constant(w.bias))
        self._replace(layer.output, output)

    def attention(self, attention: Attention, x: _Activation, w: _Weights) -> None:
        """Replaces a fused attention and the three layers in front of it by one operator."""
        given = attention.node
        bias = np.zeros(w.scales.shape, np.float32) if w.bias is None else w.bias
        (output,) = self.node(
            "QAttention",
            *(x.integers, self.constant(w.integers), self.constant(bias), x.scale, self.constant(w.scales)),
            *(given.inputs[4], x.zero_point),
            domain=MICROSOFT,
            name=attention.query.name,
            num_heads=given.attributes.get_int("num_heads"),
            scale=given.attributes.get_float("scale"),
        )
        self._replace(given.outputs[0], output)

    def embedding(self, gather: ir.Node, table: Floats) -> None:
        """Replaces an embedding by one with a scale for every row."""
        scales = np.abs(table).max(axis=1, keepdims=True) / np.float32(127)
        scales[scales == 0] = 1
        integers = self.constant(np.rint(table / scales).astype(np.int8))
        ids = gather.inputs[1]
        (row,) = self.node("Gather", integers, ids, name=gather.name)
        (row,) = self.node("Cast", row, to=int(ir.DataType.FLOAT))
        self._replace(gather.outputs[0], self.node("Mul", row, self.node("Gather", self.constant(scales), ids)[0])[0])

    def _replace(self, old: ir.Value, new: ir.Value) -> None:
        new.type = old.type
        if old.is_graph_output():
            new.shape, new.name, old.name = old.shape, old.name, f"fp32_{old.name}"
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def _groups(layers: Sequence[Linear]) -> list[list[Linear]]:
    """Groups layers that must be smoothed alike, because they read the same activation or share their weights."""
    groups: list[list[Linear]] = []
    for layer in layers:
        joined = [group for group in groups if any(o.input is layer.input or o.weight is layer.weight for o in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(member for group in joined for member in group), layer])
    return groups


def _columns(preparations: Sequence[Preparation]) -> dict[Linear, tuple[npt.NDArray[np.int64], Floats]]:
    """Returns which columns a layer gives, and what they are divided by, for those that prepare another one's input."""
    columns = {}
    for prepared in preparations:
        if prepared.folded is not None:
            columns[prepared.folded] = (prepared.channels, prepared.divisors)
        elif prepared.widened is not None:
            columns[prepared.widened] = (prepared.channels, np.ones_like(prepared.divisors))
    return columns


def _extremes(observed: ActivationStats, prepared: Preparation, ranges: Ranges) -> tuple[float, float]:
    """Returns the least and the greatest value of a prepared input."""
    low = (observed.low[:, prepared.channels] / prepared.divisors).min(axis=1)
    high = (observed.high[:, prepared.channels] / prepared.divisors).max(axis=1)
    return (float(low.min()), float(high.max())) if ranges == "widest" else (float(low.mean()), float(high.mean()))


def _weights(
    layer: Linear,
    prepared: Preparation,
    columns: tuple[npt.NDArray[np.int64], Floats] | None,
    rounder: GptqRounder | None,
) -> _Weights:
    """Quantizes a layer's weights: rows as its own input is prepared, columns as the next layer wants its input."""
    weights, bias = layer.weights[prepared.channels] * prepared.rows[:, None], layer.bias
    if columns is not None:
        taken, divisors = columns
        weights = weights[:, taken] / divisors
        bias = None if bias is None else bias[taken] / divisors
    scales = np.abs(weights).max(axis=0) / np.float32(127)
    scales[scales == 0] = 1
    if rounder is None:
        return _Weights(np.rint(weights / scales).astype(np.int8), scales, bias)
    integers, correction = rounder(layer, prepared, weights, scales)
    return _Weights(integers, scales, correction if bias is None else bias + correction)


def _mergeable(attention: Attention) -> bool:
    """Tells whether query, key and value can be one product: same input, same width, and a key padding mask alone."""
    layers = (attention.query, attention.key, attention.value)
    same = len({layer.input for layer in layers}) == 1 and len({layer.weights.shape for layer in layers}) == 1
    return same and [value is not None for value in attention.node.inputs[3:]] in ([False, True], [False, True, False])


def _merged(parts: Sequence[_Weights]) -> _Weights:
    biases = [np.zeros(part.scales.shape, np.float32) if part.bias is None else part.bias for part in parts]
    return _Weights(
        np.concatenate([part.integers for part in parts], axis=1),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(biases),
    )
