"""Imports an ONNX export of another tool, such as Optimum, and checks it as any other."""

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
    """The folder of an ONNX export made by another tool.

    Attributes:
        graph: Path of the ONNX file.
        model: Its content, simplified.
    """

    graph: Path
    model: ir.Model


def open_onnx_export(path: str) -> OnnxExport:
    """Reads the folder of an ONNX export.

    Args:
        path: Folder with config.json, tokenizer.json, tokenizer_config.json, and onnx/model.onnx or model.onnx.

    Raises:
        ArtifactError: The file is no ONNX graph, or keeps its weights in other files.
        CheckpointError: A file is missing or damaged, the graph is not fp32, or the tokenizer is another model's.
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
        source: The ONNX export.
        folder: The unfinished artifact.
        portable: Fail if the graph has other operators than standard ONNX's.

    Returns:
        Figures for the manifest.

    Raises:
        ArtifactError: The runtime does not know the graph's inputs or output.
        CheckpointError: The graph is damaged, or not portable.
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
            raise CheckpointError(f"{graph} uses onnxruntime's own operators; export it without --portable")
        simplified = _logits(open_variant(folder, "fp32", labels=labels), compared, progress)
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(expected, simplified, strict=True)]))
    log_progress(f"  imported {graph.name}; largest logit difference after simplifying: {difference:.1e}")
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
    """Reads and simplifies a graph with inferred types; rejects one that is not fp32."""
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
            f"{graph} has weights of type {', '.join(others)}, expected fp32; pass the fp32 export, "
            "and --variants makes int8 and fp16 from it"
        )
    return model
