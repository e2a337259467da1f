"""Adds the operators of int8 layers to a graph: those that onnxruntime's CPU provider runs fastest, or ONNX's own.

The cost of each form of a layer is in docs/experiments.md. Operators:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from training.arrays import Floats

from ..graph.layers import Attention, Linear
from ..graph.variant_files import Operators
from .smoothing import Preparation

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class QuantizedActivation:
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
class QuantizedWeights:
    """Quantized weights: w = integers * scales, column by column.

    Attributes:
        integers: (in, out) int8.
        scales: (out,) float32.
        bias: (out,) float32, or None.
    """

    integers: npt.NDArray[np.int8]
    scales: Floats
    bias: Floats | None


class GraphBuilder:
    """Adds nodes and constants to a graph."""

    def __init__(self, graph: ir.Graph, operators: Operators) -> None:
        self._graph = graph
        self._operators = operators
        self._count = 0

    def constant(self, array: npt.NDArray[np.generic] | np.generic) -> ir.Value:
        """Adds an initializer."""
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
        """Appends a node and returns its outputs; other operators than ONNX's have the domain's version 1."""
        self._count += 1
        name = name or f"int8_node_{self._count}"
        results = [ir.Value(name=f"int8_value_{self._count}_{index}") for index in range(outputs)]
        self._graph.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=results, name=name))
        if domain:
            self._graph.opset_imports.setdefault(domain, 1)
        return results

    def prepared(self, source: ir.Value, prepared: Preparation) -> ir.Value:
        """Divides every channel by its divisor, unless another layer does."""
        if prepared.folded is not None or (prepared.divisors == 1).all():
            return source
        return self.node("Mul", source, self.constant(1 / prepared.divisors))[0]

    def activation(self, source: ir.Value, extremes: tuple[float, float] | None) -> QuantizedActivation:
        """Quantizes an activation, with a fixed scale or with one from the range of each batch."""
        if extremes is None:
            return QuantizedActivation(*self.node("DynamicQuantizeLinear", source, outputs=3))
        low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
        step = np.float32((high - low) / 255 or 1.0)
        scale, zero_point = self.constant(step), self.constant(np.uint8(np.rint(-low / step)))
        return QuantizedActivation(self.node("QuantizeLinear", source, scale, zero_point)[0], scale, zero_point)

    def linear(self, layer: Linear, x: QuantizedActivation, w: QuantizedWeights) -> None:
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

    def attention(self, attention: Attention, x: QuantizedActivation, w: QuantizedWeights) -> None:
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
        """Replaces an embedding by an int8 one with a scale for every row."""
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
