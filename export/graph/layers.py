"""Finds the quantizable layers of an ONNX graph: linear, fused attention, embedding.

Layers are recognized by operators and constants, never by names, so graphs of other exporters work as well.
"""

from dataclasses import dataclass

import onnx_ir as ir

from runtime.engine.inference_session import INPUTS
from training.arrays import Floats

# Operators that change type or shape, never values
SAME_NUMBERS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer, output = input @ weight + bias.

    Attributes:
        name: Name of its module, or of its node.
        nodes: The nodes that compute it: a MatMul with or without an Add, or a Gemm.
        input: (..., in).
        output: (..., out).
        weight: The graph's constant; `weights` has its values.
        weights: (in, out) float32.
        bias: (out,) float32, or None.
    """

    name: str
    nodes: tuple[ir.Node, ...]
    input: ir.Value
    output: ir.Value
    weight: ir.Value
    weights: Floats
    bias: Floats | None


@dataclass(frozen=True, eq=False)
class Attention:
    """A fused attention whose query, key and value are linear layers.

    Attributes:
        node: The MultiHeadAttention node.
        query: The layer that computes its query.
        key: As `query`.
        value: As `query`.
    """

    node: ir.Node
    query: Linear
    key: Linear
    value: Linear


@dataclass(frozen=True, eq=False)
class Embedding:
    """A table of vectors, one row per id.

    Attributes:
        node: The Gather node.
        table: (ids, width) float32.
    """

    node: ir.Node
    table: Floats


def linears(graph: ir.Graph) -> list[Linear]:
    """Returns the linear layers in graph order."""
    return [layer for node in graph if (layer := _linear(node)) is not None]


def attentions(graph: ir.Graph, layers: list[Linear]) -> list[Attention]:
    """Returns the fused attentions whose query, key and value come directly from linear layers."""
    by_output = {layer.output: layer for layer in layers}
    fused = []
    for node in graph:
        if node.op_type == "MultiHeadAttention":
            query, key, value = (by_output.get(source) if source is not None else None for source in node.inputs[:3])
            if query is not None and key is not None and value is not None:
                fused.append(Attention(node, query, key, value))
    return fused


def embeddings(graph: ir.Graph) -> list[Embedding]:
    """Returns the embeddings, which gather rows of a constant matrix."""
    tables = []
    for node in graph:
        if node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0:
            table = _constant(node.inputs[0])
            if table is not None and table.ndim == 2:
                tables.append(Embedding(node, table))
    return tables


def embedding_rows(graph: ir.Graph) -> int | None:
    """Returns the number of token ids that a graph has rows for, or None if no Gather looks them up."""
    ids = {value for value in graph.inputs if value.name == INPUTS[0]}
    for node in graph:
        if node.op_type in SAME_NUMBERS and node.inputs[0] in ids:
            ids.update(node.outputs)
    return min((len(item.table) for item in embeddings(graph) if item.node.inputs[1] in ids), default=None)


def _linear(node: ir.Node) -> Linear | None:
    weights = _constant(node.inputs[1]) if node.op_type in ("MatMul", "Gemm") else None
    if weights is None or weights.ndim != 2:
        return None
    source, weight = node.inputs[:2]
    assert source is not None
    assert weight is not None
    name = node.name or weight.name or ""
    if node.op_type == "MatMul":
        output = node.outputs[0]
        add, bias = _bias(output, weights.shape[1])
        nodes = (node,) if add is None else (node, add)
        return Linear(name, nodes, source, nodes[-1].outputs[0], weight, weights, bias)
    attributes = node.attributes
    if attributes.get_int("transA", 0) or attributes.get_float("alpha", 1.0) != 1:
        return None
    if attributes.get_int("transB", 0):
        weights = weights.T
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = _constant(node.inputs[2])
        if bias is None or bias.shape != (weights.shape[1],) or attributes.get_float("beta", 1.0) != 1:
            return None
    return Linear(name, (node,), source, node.outputs[0], weight, weights, bias)


def _bias(output: ir.Value, width: int) -> tuple[ir.Node | None, Floats | None]:
    """Returns the Add of a constant vector, if it is the only reader of the output, and the vector."""
    uses = list(output.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Add" and not output.is_graph_output():
        add = uses[0].node
        bias = _constant(add.inputs[1 - uses[0].idx])
        if bias is not None and bias.shape == (width,):
            return add, bias
    return None, None


def _constant(value: ir.Value | None) -> Floats | None:
    """Returns the values of a float32 constant, or of a transposed one."""
    producer = value.producer() if value is not None else None
    if producer is not None and producer.op_type == "Transpose":
        constant = _constant(producer.inputs[0])
        return None if constant is None else constant.transpose(producer.attributes.get_ints("perm"))
    if value is None or not value.is_initializer() or value.is_graph_input() or value.const_value is None:
        return None
    return value.const_value.numpy() if value.const_value.dtype == ir.DataType.FLOAT else None
