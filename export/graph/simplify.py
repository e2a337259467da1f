"""Removes what a graph computes in vain: reshapes without effect, common subexpressions, tokens that nothing reads.

Constants become initializers without duplicates, so that every weight is in one place. torch's old exporter has a
Constant node for every number, and an Identity for a weight that equals another.

The rules depend on operators, shapes and values, never on names that an exporter gives. Layers are named after their
modules, for error messages and for readers of the graph. The exporter's other metadata is removed.

Operators: https://onnx.ai/onnx/operators
"""

import ast
from collections import Counter
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common

from .last_layer import compute_one_token

SCOPES = "pkg.torch.onnx.name_scopes"


def simplify(model: ir.Model) -> None:
    """Simplifies a model in place."""
    _name_by_module(model.graph)
    common.RemoveInitializersFromInputsPass()(model)
    common.LiftConstantsToInitializersPass(size_limit=0)(model)
    common.IdentityEliminationPass()(model)
    common.DeduplicateHashedInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    _remove_reshapes(model.graph)
    common.RemoveUnusedNodesPass()(model)
    compute_one_token(model.graph)  # after nodes that read a value in vain are gone
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.ClearMetadataAndDocStringPass()(model)


def simplify_file(path: Path) -> None:
    """Simplifies an ONNX file in place."""
    model = ir.load(path)
    simplify(model)
    ir.save(model, path)


def _name_by_module(graph: ir.Graph) -> None:
    """Names each MatMul, Gemm and Gather after its module, as torch recorded it; numbers those of one module."""
    seen: Counter[str] = Counter()
    for node in graph:
        if node.op_type in ("MatMul", "Gemm", "Gather") and SCOPES in node.metadata_props:
            scopes = ast.literal_eval(node.metadata_props[SCOPES])
            if len(scopes) > 1:
                seen[scopes[-2]] += 1
                node.name = scopes[-2] if seen[scopes[-2]] == 1 else f"{scopes[-2]} ({seen[scopes[-2]]})"


def _remove_reshapes(graph: ir.Graph) -> None:
    """Removes chains of reshapes that end in the shape they start from, as around a fused attention."""
    for node in list(graph):
        if node.op_type != "Reshape" or node.outputs[0].is_graph_output():
            continue
        reshaped = node.outputs[0]
        source = node.inputs[0]
        while source is not None:
            if _is_known(reshaped.shape) and source.shape == reshaped.shape:
                reshaped.replace_all_uses_with(source)
                break
            producer = source.producer()
            source = producer.inputs[0] if producer is not None and producer.op_type == "Reshape" else None


def _is_known(shape: ir.Shape | None) -> bool:
    """Returns whether equal shapes have equal sizes, which two unnamed dimensions may not."""
    return shape is not None and not shape.has_unknown_dim()
