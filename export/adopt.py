"""Adopts an ONNX export made elsewhere, by Optimum or for the hub: the same checks, the same artifact."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from runtime.onnx_file import skeleton

from .checkpoint import Source, open_source
from .errors import CheckpointError, ParityError
from .parity import TOLERANCE, batches
from .simplify import simplify
from .variants import FILES, open_variant, say

PLACES = ("onnx/model.onnx", "model.onnx")


def open_export(path: str) -> tuple[Source, Path]:
    """Reads an export's folder.

    Args:
        path: Has config.json, tokenizer.json, tokenizer_config.json, and model.onnx or onnx/model.onnx.

    Returns:
        What the folder says, and the path of the fp32 graph.

    Raises:
        CheckpointError: Something is missing, or the graph has no int64 token ids as inputs or no fp32 logits.
    """
    name = next((place for place in PLACES if (Path(path) / place).is_file()), PLACES[-1])
    source = open_source(path, weights=name)
    return source, source.folder / name


def adopt(source: Source, graph: Path, folder: Path) -> dict[str, float]:
    """Writes the simplified graph as the fp32 variant and compares it with the original.

    Args:
        source: Of `open_export`.
        graph: As `source`.
        folder: The artifact in the making.

    Returns:
        Figures for the manifest.

    Raises:
        ArtifactError: The runtime would refuse the graph, for instance weights in other files.
        ParityError: The simplified graph gives other logits.
    """
    skeleton(memoryview(graph.read_bytes()), graph.name)
    target = folder / FILES["fp32"]
    target.write_bytes(graph.read_bytes())
    labels = len(source.labels)
    before = open_variant(folder, "fp32", labels=labels)
    expected = [before.run(inputs) for inputs in batches(source)]
    model = ir.load(graph)
    if any(value.dtype == ir.DataType.FLOAT16 for value in model.graph.initializers.values()):
        raise CheckpointError(f"{graph} is not fp32; adopt the fp32 export, --variants makes the others")
    simplify(model)
    ir.save(model, target)
    after = open_variant(folder, "fp32", labels=labels)
    found = [after.run(inputs) for inputs in batches(source)]
    difference = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
    say(f"  adopted {graph.name}; largest logit difference after simplifying: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise ParityError(f"{graph} gives other logits after simplifying ({difference:.1e}); nothing was written")
    return {"max_logit_difference": difference}
