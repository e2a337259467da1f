"""Converts an fp32 graph to fp16, for CUDA: weights and arithmetic where that is safe.

Results and speed on CUDA are not measured. Statements about CUDA kernels come from onnxruntime's source. On the CPU,
onnxruntime computes nodes without an fp16 kernel in fp32 and skips conversions between them, which can hide overflow.
The tests therefore also run the graph with every tensor in its declared type.

A node computes in fp16 if its input depends on a weight matrix, except:

- Softmax, reductions, and the nodes that compute the graph's outputs: the last layer of a classifier is cheap in fp32.
- Nodes with a value that fp16 cannot represent: a weight or constant beyond 65504 or below the smallest normal number,
  a mask made of such a constant (finfo.min, -inf), or a tensor that exceeded `LIMIT` on real inputs.
- Nodes that depend on positions and masks alone: rounded to 11 bits, distances would fall into other buckets (DeBERTa,
  MPNet).

After such a node, other nodes stay in fp32 up to the next matrix product, attention or LayerNormalization, which alone
convert to fp16. So no tensor is converted to fp16 and back, and a value too large for fp16 never passes through it.

LayerNormalization is safe in fp16: CUDA's kernel (layer_norm_impl.cu) computes mean, variance, scale and shift in fp32
and rounds once. Matrix products sum in fp32 (HalfGemmOptions in fpgeneric.h): a sum overflows only if its result does.

`onnxruntime.transformers.float16` is not used. It converts around each blocked node separately, so two that read the
same tensor or weight give an invalid model, and a tensor between two of them still passes through fp16 and overflows
(onnxconverter-common#271, onnxruntime#21345). It also clamps weights silently and rounds position arithmetic.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from ..errors import ExportError
from ..graph.variant_files import Inputs
from .magnitudes import largest_activations

FP16 = np.finfo(np.float16)
# Largest magnitude, on the measured inputs, of a tensor in fp16. It leaves two bits for other texts: the large values
# of an encoder are in a few channels for every text (https://arxiv.org/abs/2109.12948). On MTS-Dialog, 150 texts
# exceeded the magnitudes of 16 others by a factor of 1.3 at most, in any tensor of MiniLM.
LIMIT = float(FP16.max) / 4
CONVERTING = frozenset({"MatMul", "Gemm", "MultiHeadAttention", "LayerNormalization"})
KEEP_FP32 = frozenset({"Softmax", "LogSoftmax", "ReduceSum", "ReduceMean", "ReduceL2", "Cast", "CastLike"})


@dataclass(frozen=True)
class Fp16Report:
    """The result of a conversion.

    Attributes:
        fp16_nodes: Number of nodes that compute in fp16.
        casts: Number of conversions added.
        too_large: Tensors beyond the limit, with their largest magnitude.
        fp32_nodes: Nodes that compute in fp32 because of these tensors.
    """

    fp16_nodes: int
    casts: int
    too_large: Mapping[str, float]
    fp32_nodes: tuple[str, ...]


def convert_to_fp16(source: Path, target: Path, batches: Iterable[Inputs], *, limit: float = LIMIT) -> Fp16Report:
    """Writes the fp16 variant of a graph, with the same inputs and the same fp32 outputs.

    Args:
        source: The fp32 graph, one self-contained file.
        target: File to write.
        batches: Real inputs by name, (batch, sequence) int64, on which tensors are measured.
        limit: Largest magnitude of a tensor in fp16.

    Raises:
        ExportError: The graph is not plain fp32, or `batches` is empty.
    """
    model = ir.load(source)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _check(model.graph, source)
    candidates = _fp16_nodes(model.graph, ())
    largest = largest_activations(model, _tensors(candidates), batches)
    too_large = {name: magnitude for name, magnitude in largest.items() if magnitude > limit}
    fp16 = set(_fp16_nodes(model.graph, too_large))
    casts = _convert(model.graph, fp16)
    common.RemoveUnusedNodesPass()(model)
    ir.save(model, target)
    fp32 = tuple(str(node.name or node.outputs[0].name) for node in candidates if node not in fp16)
    return Fp16Report(len(fp16), casts, too_large, fp32)


def fits_fp16(array: npt.NDArray[np.float32]) -> bool:
    """Returns whether fp16 can represent a weight: its largest magnitude is zero or a normal number."""
    largest = np.abs(array).max(initial=0)
    return bool(largest == 0 or FP16.smallest_normal <= largest <= FP16.max)


def _fp16_nodes(graph: ir.Graph, too_large: Collection[str]) -> list[ir.Node]:
    """Returns the nodes to compute in fp16, in the graph's order."""
    fp16: dict[ir.Node, None] = {}
    activations: set[ir.Value] = set()  # computed from a weight matrix
    unfit: set[ir.Value] = set()  # computed from masks, positions and a constant that fp16 cannot represent
    for node in graph:
        inputs, outputs = list(_floats(node.inputs)), list(_floats(node.outputs))
        is_activation = any(value in activations or _is_matrix(value) for value in inputs)
        misfit = any(value in unfit or value.name in too_large or not _fits(value) for value in (*inputs, *outputs))
        if is_activation:
            activations.update(outputs)
        elif misfit:
            unfit.update(outputs)
        follows_fp32 = any(value in activations and value.producer() not in fp16 for value in inputs)
        if (
            is_activation
            and not misfit
            and node.op_type not in KEEP_FP32
            and (node.op_type in CONVERTING or not follows_fp32)
            and not any(value.is_graph_output() for value in outputs)
        ):
            fp16[node] = None
    return list(fp16)


def _convert(graph: ir.Graph, fp16: Collection[ir.Node]) -> int:
    """Changes the types of the nodes' inputs and outputs; returns the number of conversions added."""
    converted: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
    casts = 0
    for node in list(graph):
        wanted = ir.DataType.FLOAT16 if node in fp16 else ir.DataType.FLOAT
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16) or value.dtype == wanted:
                continue
            if (value, wanted) not in converted:
                result = ir.val(f"{value.name}_{wanted.name.lower()}", wanted, value.shape)
                if value.const_value is None:
                    graph.insert_before(node, ir.node("Cast", [value], {"to": wanted}, outputs=[result]))
                    casts += 1
                else:
                    result.const_value = ir.tensor(value.const_value.numpy().astype(np.float16))
                    graph.register_initializer(result)
                converted[value, wanted] = result
            node.replace_input_with(index, converted[value, wanted])
        if node in fp16:
            for value in _floats(node.outputs):
                value.dtype = wanted
    return casts


def _tensors(nodes: Iterable[ir.Node]) -> list[str]:
    """Returns the names of the nodes' inputs and outputs, without weights."""
    values = (value for node in nodes for value in (*_floats(node.inputs), *_floats(node.outputs)))
    return list(dict.fromkeys(str(value.name) for value in values if value.const_value is None))


def _floats(values: Iterable[ir.Value | None]) -> Iterator[ir.Value]:
    return (value for value in values if value is not None and value.dtype == ir.DataType.FLOAT)


def _fits(value: ir.Value) -> bool:
    return value.const_value is None or fits_fp16(value.const_value.numpy())


def _is_matrix(value: ir.Value) -> bool:
    return value.const_value is not None and sum(size > 1 for size in value.const_value.shape.numpy()) >= 2


def _check(graph: ir.Graph, source: Path) -> None:
    """Rejects graphs that the conversion does not support."""
    types = {value.dtype for node in graph for value in (*node.inputs, *node.outputs) if value is not None}
    branches = any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for node in graph
        for attribute in node.attributes.values()
    )
    if None in types or ir.DataType.FLOAT16 in types or branches:
        raise ExportError(
            f"{source.name}: expected a plain fp32 graph without branches, with the type of every tensor; "
            "pass the fp32 file of an export"
        )
