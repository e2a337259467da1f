"""Fixes a graph's batch and length, so that everything it computes from them becomes a constant.

For CUDA graphs. onnxruntime captures a graph only if no copy between CPU and GPU is in it. In the graphs that export
writes, `Shape` gives CPU memory on CUDA, and what is computed from it (`Concat` for each `Reshape`, and for families
with eager attention the indices of masks and relative positions) is left on the CPU: harmless where a `Reshape` reads
it, a copy where a kernel does. With fixed shapes none of that is left. Capturing itself is untried: no GPU was at hand.

Folding is onnxscript's: onnxruntime, saving its optimized graph, writes one that it may not load again ("Attempt to
replace the existing tensor", DistilBERT, 1.31.1), and puts conversions for the CPU into an fp16 graph.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnxscript import optimizer

from ..errors import ExportError

LARGEST_CONSTANT = 512 * 512  # elements: all pairs of positions, and not one such table for each text and head


def fix_shape(source: Path, target: Path, *, batch: int, sequence: int) -> None:
    """Writes a graph for one shape of inputs; shorter texts and batches are padded up to it.

    Args:
        source: A graph with inputs of (batch, sequence), fp32 or fp16.
        target: File to write.
        batch: Texts per run.
        sequence: Tokens per text, at most what the model has positions for.

    Raises:
        ExportError: The graph's inputs are not (batch, sequence), or are fixed already.
    """
    model = ir.load(source)
    sizes: dict[str | None, int] = {}
    for value in model.graph.inputs:
        names = [dimension.value for dimension in value.shape or () if isinstance(dimension, ir.SymbolicDim)]
        if len(names) != 2 or None in names:
            raise ExportError(
                f"{source.name}: {value.name}: expected named dimensions (batch, sequence), not fixed ones"
            )
        sizes |= zip(names, (batch, sequence), strict=True)
    for value in (*model.graph.inputs, *(value for node in model.graph for value in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape(
                [
                    dimension if isinstance(dimension, int) else sizes.get(dimension.value, dimension)
                    for dimension in value.shape
                ]
            )
    with np.errstate(all="ignore"):  # log(0) of relative positions, for elements that are not chosen
        optimizer.optimize(model, input_size_limit=LARGEST_CONSTANT, output_size_limit=LARGEST_CONSTANT)
    ir.save(model, target)
