"""Adopts an ONNX export made elsewhere, by Optimum or for the hub: the same checks, the same artifact."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from runtime.engine.model_file import load_without_weights
from runtime.engine.session import Session
from training.arrays import Floats

from ..console import Phase, log_progress, phase, quiet
from ..errors import CheckpointError, ParityError
from ..sources.source import Source, fit_vocabulary, open_source
from .layers import embedding_rows
from .parity import TOLERANCE, batches
from .simplify import simplify
from .variant_files import FILES, Inputs, open_variant, operators

PLACES = ("onnx/model.onnx", "model.onnx")
TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL})


@dataclass(frozen=True)
class OnnxExport(Source):
    """An ONNX export made elsewhere: what its folder says, and the graph.

    Attributes:
        graph: The file.
        model: What is in it, simplified.
    """

    graph: Path
    model: ir.Model


def open_onnx_export(path: str) -> OnnxExport:
    """Reads an export's folder.

    Args:
        path: Has config.json, tokenizer.json, tokenizer_config.json, and onnx/model.onnx or model.onnx.

    Raises:
        ArtifactError: The runtime would refuse the graph: it is none, or keeps weights in other files.
        CheckpointError: Something is missing or damaged, the graph is not fp32, or the tokenizer is another model's.
    """
    name = next((place for place in PLACES if (Path(path) / place).is_file()), PLACES[-1])
    source = open_source(path, weights=name)
    graph = source.folder / name
    load_without_weights(graph)
    model = _simplified(graph)
    rows = embedding_rows(model.graph)
    if rows is not None:
        source = fit_vocabulary(source, rows=rows)
    return OnnxExport(**vars(source), graph=graph, model=model)


def import_onnx(source: OnnxExport, folder: Path, *, portable: bool) -> dict[str, float]:
    """Writes the simplified graph as the fp32 variant and compares it with the original.

    Args:
        source: Of `open_onnx_export`.
        folder: The artifact in the making.
        portable: Refuse operators beside ONNX's own.

    Returns:
        Figures for the manifest.

    Raises:
        ArtifactError: The runtime would refuse the graph: inputs or an output it does not know.
        CheckpointError: The graph is not portable, or damaged.
        InferenceError: The graph fails on a text.
        ParityError: The simplified graph gives other logits.
    """
    graph, target, labels = source.graph, folder / FILES["fp32"], len(source.labels)
    shutil.copyfile(graph, target)
    original = open_variant(folder, "fp32", labels=labels)
    compared = batches(source)
    with phase("parity", steps=2 * len(compared)) as progress:
        expected = _logits(original, compared, progress)
        if not all(np.isfinite(logits).all() for logits in expected):
            raise CheckpointError(f"{graph} gives NaN or infinite logits: its weights are damaged; export it again")
        ir.save(source.model, target)
        if portable and operators(target) != "standard":
            raise CheckpointError(f"{graph} has operators of onnxruntime's own; adopt it without --portable")
        simplified = _logits(open_variant(folder, "fp32", labels=labels), compared, progress)
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(expected, simplified, strict=True)]))
    log_progress(f"  adopted {graph.name}; largest logit difference after simplifying: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise ParityError(f"{graph} gives other logits after simplifying ({difference:.1e}); nothing was written")
    return {"max_logit_difference": difference}


def _logits(session: Session, compared: Sequence[Inputs], progress: Phase) -> list[Floats]:
    logits = []
    for inputs in compared:
        logits.append(session.run(inputs))
        progress.advance()
    return logits


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
