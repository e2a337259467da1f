"""Makes the fp16 variant of an fp32 graph, for CUDA: weights and arithmetic in half precision where that is safe.

No GPU was at hand: results and speed on CUDA are unmeasured, and what is said of CUDA kernels is read from
onnxruntime's source. On the CPU, onnxruntime computes in fp32 what it has no fp16 kernel for and leaves out conversions
between such nodes, so overflow may go unseen there; the tests also run the graph with every tensor really in its type.

A node computes in fp16 if what it reads comes from a weight matrix, except:

- Softmax, reductions, and the nodes that give the graph's outputs: a classifier's last layer costs nothing in fp32.
- What meets a number that fp16 cannot hold: a weight or constant beyond 65504, one that vanishes, a mask made of such a
  constant (finfo.min, -inf), or a tensor that was larger than `LIMIT` on real inputs.
- What is computed from positions and masks alone: rounded to 11 bits, distances would fall into other buckets
  (DeBERTa, MPNet).

Behind such a node, others stay in fp32 up to the next matrix product, attention or LayerNormalization: those alone
convert down. So no tensor goes down and up again, and what is too large for fp16 never passes through it.

LayerNormalization is safe in fp16: CUDA's kernel (layer_norm_impl.cu) computes mean, variance, scale and shift in fp32
and rounds once. Matrix products sum in fp32 (HalfGemmOptions in fpgeneric.h): a sum overflows only if its result does.

Why not `onnxruntime.transformers.float16`: it converts around each blocked node separately, so two that read the same
tensor or weight give an invalid model, and a tensor between two of them still goes through fp16 and overflows
(onnxconverter-common#271, onnxruntime#21345); it clamps weights silently; it rounds position arithmetic.
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

HALF = np.finfo(np.float16)
# Largest magnitude, on the inputs measured, of a tensor that is kept in fp16. It leaves two bits to other texts: large
# values of an encoder sit in a few channels whatever the text (https://arxiv.org/abs/2109.12948). On MTS-Dialog, 150
# texts went beyond the magnitudes of 16 others by a factor of 1.3 at most, in any tensor of MiniLM.
LIMIT = float(HALF.max) / 4
CONVERT_DOWN = frozenset({"MatMul", "Gemm", "MultiHeadAttention", "LayerNormalization"})
KEEP_SINGLE = frozenset({"Softmax", "LogSoftmax", "ReduceSum", "ReduceMean", "ReduceL2", "Cast", "CastLike"})


@dataclass(frozen=True)
class Fp16Report:
    """What became of a graph.

    Attributes:
        fp16_nodes: How many nodes compute in fp16.
        casts: How many conversions were added.
        too_large: The tensors beyond the limit, with the largest magnitude seen.
        fp32_nodes: The nodes that compute in fp32 because of them.
    """

    fp16_nodes: int
    casts: int
    too_large: Mapping[str, float]
    fp32_nodes: tuple[str, ...]


def convert_to_fp16(source: Path, target: Path, batches: Iterable[Inputs], *, limit: float = LIMIT) -> Fp16Report:
    """Writes the fp16 variant of a graph: the same inputs, the same fp32 outputs, half the size.

    Args:
        source: The fp32 graph, one self-contained file.
        target: File to write.
        batches: Real inputs by name, (batch, sequence) int64, to see which tensors are too large for fp16.
        limit: The largest magnitude of a tensor in fp16.

    Raises:
        ExportError: The graph is not plain fp32, or there are no batches.
    """
    model = ir.load(source)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _check(model.graph, source)
    wanted = _fp16_nodes(model.graph, ())
    largest = largest_activations(model, _tensors(wanted), batches)
    too_large = {name: magnitude for name, magnitude in largest.items() if magnitude > limit}
    half = set(_fp16_nodes(model.graph, too_large))
    casts = _convert(model.graph, half)
    common.RemoveUnusedNodesPass()(model)
    ir.save(model, target)
    single = tuple(str(node.name or node.outputs[0].name) for node in wanted if node not in half)
    return Fp16Report(len(half), casts, too_large, single)


def fits_half(array: npt.NDArray[np.float32]) -> bool:
    """Returns whether fp16 can hold a weight: its largest magnitude is zero or a normal number, not NaN or infinite."""
    largest = np.abs(array).max(initial=0)
    return bool(largest == 0 or HALF.smallest_normal <= largest <= HALF.max)


def _fp16_nodes(graph: ir.Graph, too_large: Collection[str]) -> list[ir.Node]:
    """Returns the nodes to compute in fp16, in the graph's order."""
    half: dict[ir.Node, None] = {}
    activations: set[ir.Value] = set()  # computed from a weight matrix
    unfit: set[ir.Value] = set()  # computed from masks, positions and a constant that fp16 cannot hold
    for node in graph:
        inputs, outputs = list(_floats(node.inputs)), list(_floats(node.outputs))
        is_activation = any(value in activations or _is_matrix(value) for value in inputs)
        misfit = any(value in unfit or value.name in too_large or not _fits(value) for value in (*inputs, *outputs))
        if is_activation:
            activations.update(outputs)
        elif misfit:
            unfit.update(outputs)
        follows_single = any(value in activations and value.producer() not in half for value in inputs)
        if (
            is_activation
            and not misfit
            and node.op_type not in KEEP_SINGLE
            and (node.op_type in CONVERT_DOWN or not follows_single)
            and not any(value.is_graph_output() for value in outputs)
        ):
            half[node] = None
    return list(half)


def _convert(graph: ir.Graph, half: Collection[ir.Node]) -> int:
    """Retypes what the nodes compute and read, and returns how many conversions that took."""
    converted: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
    casts = 0
    for node in list(graph):
        wanted = ir.DataType.FLOAT16 if node in half else ir.DataType.FLOAT
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
        if node in half:
            for value in _floats(node.outputs):
                value.dtype = wanted
    return casts


def _tensors(half: Iterable[ir.Node]) -> list[str]:
    """Returns the names of what the nodes read and compute, without weights."""
    values = (value for node in half for value in (*_floats(node.inputs), *_floats(node.outputs)))
    return list(dict.fromkeys(str(value.name) for value in values if value.const_value is None))


def _floats(values: Iterable[ir.Value | None]) -> Iterator[ir.Value]:
    return (value for value in values if value is not None and value.dtype == ir.DataType.FLOAT)


def _fits(value: ir.Value) -> bool:
    return value.const_value is None or fits_half(value.const_value.numpy())


def _is_matrix(value: ir.Value) -> bool:
    return value.const_value is not None and sum(size > 1 for size in value.const_value.shape.numpy()) >= 2


def _check(graph: ir.Graph, source: Path) -> None:
    """Refuses what the conversion does not see through."""
    types = {value.dtype for node in graph for value in (*node.inputs, *node.outputs) if value is not None}
    branches = any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for node in graph
        for attribute in node.attributes.values()
    )
    if None in types or ir.DataType.FLOAT16 in types or branches:
        raise ExportError(
            f"{source.name}: expected a plain fp32 graph with every tensor's type; pass the fp32 file that export wrote"
        )
