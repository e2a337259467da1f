"""Computes the last layer for one token, if the head reads no other.

A head on the first token reads one row of the last hidden state. In the last layer only key and value are needed for
every token; query, attention output, feed-forward network and normalization are not. The Gather that selects the token
moves up through operators that compute each row from the same row of their inputs, to the values whose other rows are
read as well. The result is the same. A head that pools all tokens selects none, and its graph does not change.

The rules depend on operators and shapes, never on names, so they hold for fused attention, eager attention and graphs
of other exporters. An operator without a rule stops the move.

Operators: https://onnx.ai/onnx/operators
"""

import itertools
from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

ELEMENTWISE = frozenset(
    (
        *("Abs", "Add", "And", "Cast", "Clip", "Div", "Equal", "Erf", "Exp", "FastGelu", "Gelu", "Greater", "Identity"),
        *("IsNaN", "Less", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Sigmoid", "Sqrt"),
        *("Sub", "Tanh", "Where"),
    )
)
FIRST, LAST = 0, -1
Axes = list[int | None]  # for each input, the axis of which one position is read; None if all of the input is


class Selection(NamedTuple):
    """What a node reads of its inputs.

    Attributes:
        token: `FIRST` or `LAST` position.
        axes: The axis of tokens in each input.
    """

    token: int
    axes: Axes


def compute_one_token(graph: ir.Graph) -> None:
    """Moves the selection of a token up through the last layer, in place.

    Args:
        graph: A graph with inferred shapes. A value of unknown shape stops the move.
    """
    readers: dict[ir.Node, Selection] = {}
    rows: dict[ir.Value, int] = {}
    for node in reversed(graph):
        selection = _gathered(node)
        if selection is None:
            outputs = [output for output in node.outputs if output.uses() or output.is_graph_output()]
            wanted = {_wanted(output, readers) for output in outputs}
            only = wanted.pop() if len(wanted) == 1 else None
            axes = None if only is None else _input_axes(node, outputs[0], only[1])
            if only is None or axes is None:
                continue
            rows.update(dict.fromkeys(outputs, only[1]))
            selection = Selection(only[0], axes)
        readers[node] = selection
    _select(graph, readers, rows)


def _gathered(node: ir.Node) -> Selection | None:
    """Returns the selection of a Gather of the first or last position of an axis whose size is not fixed."""
    if node.op_type != "Gather":
        return None
    data, indices = node.inputs
    index = _constant(indices)
    if data is None or data.shape is None or index is None or index.size != 1 or int(index.item()) not in (FIRST, LAST):
        return None
    axis = node.attributes.get_int("axis", 0) % len(data.shape)
    if isinstance(data.shape[axis], int) or len(data.shape) < 3:
        return None
    return Selection(int(index.item()), [axis, None])


def _wanted(value: ir.Value, readers: dict[ir.Node, Selection]) -> tuple[int, int] | None:
    """Returns the token that all readers of a value select, and its axis; None if one of them needs the others too."""
    wanted = set()
    for use in value.uses():
        selection = readers.get(use.node)
        wanted.add(None if selection is None else (selection.token, selection.axes[use.idx]))
    if value.is_graph_output() or len(wanted) != 1:
        return None
    (only,) = wanted
    return None if only is None or only[1] is None else (only[0], only[1])


def _select(graph: ir.Graph, readers: dict[ir.Node, Selection], rows: dict[ir.Value, int]) -> None:
    """Inserts a Gather in front of the nodes whose inputs have all tokens, and gives the others their new shape."""
    selected: dict[tuple[ir.Value, int, int], ir.Value] = {}
    for value, axis in rows.items():
        value.shape = _one_of(value, axis)
    for node in {value.producer(): None for value in rows}:
        assert node is not None
        if node.op_type == "Reshape":
            node.replace_input_with(1, _constant_value(graph, _target(node.outputs[0])))
        token, axes = readers[node]
        for index, (source, of) in enumerate(zip(node.inputs, axes, strict=True)):
            if source is None or of is None or source in rows:
                continue
            if (source, of, token) not in selected:
                selected[source, of, token] = _gather(graph, source, of, token)
            node.replace_input_with(index, selected[source, of, token])
    graph.sort()


def _gather(graph: ir.Graph, source: ir.Value, axis: int, token: int) -> ir.Value:
    name = _unused(graph, f"{source.name}_{'first' if token == FIRST else 'last'}_{axis}")
    output = ir.Value(name=name, shape=_one_of(source, axis), type=source.type)
    inputs = [source, _constant_value(graph, np.array([token], np.int64))]
    graph.append(ir.node("Gather", inputs, {"axis": axis}, outputs=[output], name=name))
    return output


def _one_of(value: ir.Value, axis: int) -> ir.Shape:
    """Returns the shape of one position of an axis."""
    return ir.Shape([1 if index == axis else size for index, size in enumerate(_shape(value))])


def _target(value: ir.Value) -> np.ndarray:
    """Returns the target of a Reshape to a shape with at most one size that is not fixed."""
    return np.array([size if isinstance(size, int) else -1 for size in _shape(value)], np.int64)


def _input_axes(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """Returns the axes of the inputs from which a node computes one position of an axis of its output."""
    if any(source is not None and source.shape is None for source in node.inputs) or output.shape is None:
        return None
    if node.op_type in ELEMENTWISE:
        return _elementwise(node, output, axis)
    rule = RULES.get(node.op_type)
    return None if rule is None else rule(node, output, axis)


def _elementwise(node: ir.Node, output: ir.Value, axis: int) -> Axes:
    return [_aligned(source, output, axis) for source in node.inputs]


def _aligned(source: ir.Value | None, output: ir.Value, axis: int) -> int | None:
    """Returns the axis of an input that is broadcast to the output, or None if it has the same value at every token."""
    if source is None:
        return None
    of = axis - len(_shape(output)) + len(_shape(source))
    return None if of < 0 or _shape(source)[of] == 1 else of


def _layer_normalization(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """Scale and bias may have an axis of tokens as well; then the move stops."""
    _, *parameters = node.inputs
    normalized = node.attributes.get_int("axis", -1) % len(_shape(output))
    if axis >= normalized or any(len(_shape(each)) > 1 for each in parameters if each is not None):
        return None
    return [axis, *[None] * len(parameters)]


def _softmax(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """Only over the last axis: before opset 13 the operator joins all axes from the given one on."""
    last = len(_shape(output)) - 1
    over = node.attributes.get_int("axis", 1) % (last + 1)  # the default depends on the opset
    return [axis] if over == last != axis else None


def _matmul(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    left, right = (len(_shape(source)) for source in node.inputs if source is not None)
    rank = len(_shape(output))
    if min(left, right) < 2 or axis < rank - 2:
        return None
    return [left - 2, None] if axis == rank - 2 else [None, right - 1]


def _transpose(node: ir.Node, output: ir.Value, axis: int) -> Axes:
    rank = len(_shape(output))
    return [list(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))[axis]]


def _reshape(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """The tokens stay together if the sizes behind them have the same product, and so the sizes before them."""
    (source, *others) = node.inputs
    before, after = _shape(source), _shape(output)
    behind = _product(after[axis + 1 :])
    free = [size for index, size in enumerate(after) if index != axis and not isinstance(size, int)]
    if behind is None or len(free) > 1 or [before.dims.count(after[axis]), after.dims.count(after[axis])] != [1, 1]:
        return None
    for of, size in enumerate(before):
        if size == after[axis] and _is_known(size) and _product(before[of + 1 :]) == behind:
            return [of, *[None] * len(others)]
    return None


def _squeeze(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """Without axes the operator would remove the axis of tokens as soon as one is left."""
    has_axes = len(node.inputs) > 1 or "axes" in node.attributes
    return _reshape(node, output, axis) if has_axes else None


def _reduce(node: ir.Node, _output: ir.Value, axis: int) -> Axes | None:
    axes = node.attributes.get_ints("axes", ()) if len(node.inputs) == 1 else _integers(node.inputs[1])
    rank = len(_shape(node.inputs[0]))
    if not axes or node.attributes.get_int("keepdims", 1) != 1 or axis in {of % rank for of in axes}:
        return None
    return [axis, *[None] * (len(node.inputs) - 1)]


def _slice(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    axes = _integers(node.inputs[3]) if len(node.inputs) > 3 else None
    if not axes or axis in {of % len(_shape(output)) for of in axes}:
        return None
    return [axis, *[None] * (len(node.inputs) - 1)]


def _split(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    divided = node.attributes.get_int("axis", 0) % len(_shape(output))
    return None if axis == divided else [axis, *[None] * (len(node.inputs) - 1)]


def _concat(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    joined = node.attributes.get_int("axis", 0) % len(_shape(output))
    return None if axis == joined else [axis] * len(node.inputs)


def _gather_rule(node: ir.Node, _output: ir.Value, axis: int) -> Axes | None:
    data, indices = (len(_shape(source)) for source in node.inputs)
    by = node.attributes.get_int("axis", 0) % data
    if axis < by:
        return [axis, None]
    return [axis - indices + 1, None] if axis >= by + indices else None


def _gather_elements(node: ir.Node, output: ir.Value, axis: int) -> Axes | None:
    """The data may have more tokens than the indices; then the move stops."""
    by = node.attributes.get_int("axis", 0) % len(_shape(output))
    if axis == by:
        return [None, axis]
    size = _shape(output)[axis]
    return [axis, axis] if _is_known(size) and _shape(node.inputs[0])[axis] == size else None


def _attention(node: ir.Node, _output: ir.Value, axis: int) -> Axes | None:
    """The operator's query, key, value, bias, key padding mask and attention bias."""
    query, *others = node.inputs
    if axis != 1 or len(_shape(query)) != 3 or any(source is not None for source in node.inputs[6:]):
        return None
    if node.attributes.get_int("unidirectional", 0):  # the mask depends on the position of the query
        return None
    axes: Axes = [1, *[None] * len(others)]
    if len(node.inputs) > 4 and node.inputs[4] is not None and len(_shape(node.inputs[4])) == 3:
        axes[4] = 1
    if len(node.inputs) > 5 and node.inputs[5] is not None and _shape(node.inputs[5])[2] != 1:
        axes[5] = 2
    return axes


RULES: dict[str, Callable[[ir.Node, ir.Value, int], Axes | None]] = {
    "Concat": _concat,
    "Gather": _gather_rule,
    "GatherElements": _gather_elements,
    "LayerNormalization": _layer_normalization,
    "MatMul": _matmul,
    "MultiHeadAttention": _attention,
    "ReduceMean": _reduce,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}


def _shape(value: ir.Value | None) -> ir.Shape:
    assert value is not None
    assert value.shape is not None
    return value.shape


def _is_known(size: int | ir.SymbolicDim) -> bool:
    return isinstance(size, int) or size.value is not None


def _product(sizes: tuple[int | ir.SymbolicDim, ...]) -> int | None:
    return prod(size for size in sizes if isinstance(size, int)) if all(isinstance(s, int) for s in sizes) else None


def _constant(value: ir.Value | None) -> np.ndarray | None:
    if value is None or not value.is_initializer() or value.is_graph_input() or value.const_value is None:
        return None
    return value.const_value.numpy()


def _integers(value: ir.Value | None) -> list[int] | None:
    constant = _constant(value)
    return None if constant is None else [int(item) for item in constant.ravel()]


def _unused(graph: ir.Graph, name: str) -> str:
    """Returns the name, or one made from it if the graph has a value of that name."""
    taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    taken.update(output.name for node in graph for output in node.outputs)
    return next(
        each for each in itertools.chain([name], (f"{name}_{n}" for n in itertools.count())) if each not in taken
    )


def _constant_value(graph: ir.Graph, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=_unused(graph, "one_token"), const_value=ir.tensor(array))
    graph.register_initializer(value)
    return value
