"""Adopts an ONNX export made elsewhere, by Optimum or for the hub: the same checks, the same artifact."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from runtime.onnx_file import skeleton

from .checkpoint import Source, open_source
from .errors import CheckpointError, ParityError
from .graph import quiet
from .parity import TOLERANCE, batches
from .simplify import simplify
from .variants import FILES, open_variant, operators, say

PLACES = ("onnx/model.onnx", "model.onnx")
TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL})


def open_export(path: str) -> tuple[Source, Path]:
    """Reads an export's folder.

    Args:
        path: Has config.json, tokenizer.json, tokenizer_config.json, and onnx/model.onnx or model.onnx.

    Returns:
        What the folder says, and the path of the graph.

    Raises:
        CheckpointError: Something is missing or damaged.
    """
    name = next((place for place in PLACES if (Path(path) / place).is_file()), PLACES[-1])
    source = open_source(path, weights=name)
    return source, source.folder / name


def adopt(source: Source, graph: Path, folder: Path, *, portable: bool) -> dict[str, float]:
    """Writes the simplified graph as the fp32 variant and compares it with the original.

    Args:
        source: Of `open_export`.
        graph: As `source`.
        folder: The artifact in the making.
        portable: Refuse operators beside ONNX's own.

    Returns:
        Figures for the manifest.

    Raises:
        ArtifactError: The runtime would refuse the graph: weights in other files, inputs or an output it does not know.
        CheckpointError: The graph is not fp32, or not portable.
        ParityError: The simplified graph gives other logits.
    """
    content = graph.read_bytes()
    skeleton(memoryview(content), graph.name)
    model = _simplified(graph)
    target, labels = folder / FILES["fp32"], len(source.labels)
    target.write_bytes(content)
    original = open_variant(folder, "fp32", labels=labels)
    expected = [original.run(inputs) for inputs in batches(source)]
    if not all(np.isfinite(logits).all() for logits in expected):
        raise CheckpointError(f"{graph} gives NaN or infinite logits: its weights are damaged; export it again")
    ir.save(model, target)
    if portable and operators(target) != "standard":
        raise CheckpointError(f"{graph} has operators of onnxruntime's own; adopt it without --portable")
    adopted = open_variant(folder, "fp32", labels=labels)
    found = [adopted.run(inputs) for inputs in batches(source)]
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(expected, found, strict=True)]))
    say(f"  adopted {graph.name}; largest logit difference after simplifying: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise ParityError(f"{graph} gives other logits after simplifying ({difference:.1e}); nothing was written")
    return {"max_logit_difference": difference}


def _simplified(graph: Path) -> ir.Model:
    """Reads and simplifies a graph, finding its types; refuses one that was quantized or halved already."""
    try:
        with quiet():
            model = ir.load(graph)
            common.ShapeInferencePass(strict_mode=False)(model)
            simplify(model)
    except Exception as error:  # whatever a damaged graph makes onnx_ir stumble over
        raise CheckpointError(f"{graph} is not a valid ONNX graph; export it again") from error
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    others = sorted({tensor.dtype.name for tensor in tensors if len(tensor.shape) > 1} - {kind.name for kind in TYPES})
    if others:
        raise CheckpointError(
            f"{graph} has weights of type {', '.join(others)}, expected fp32; adopt the export that is neither "
            "quantized nor in half precision, and --variants makes int8 and fp16 of it"
        )
    return model
