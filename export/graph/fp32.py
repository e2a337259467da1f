"""Exports the fp32 graph: fused attention if it matches PyTorch, else eager."""

from pathlib import Path

from ..console import log_progress, phase
from ..errors import FusionError, ParityError
from ..sources.checkpoint import Checkpoint
from . import attention
from .parity import TOLERANCE, max_difference
from .torch_export import attention_layers, export_graph
from .variant_files import FILES, open_variant


def export_fp32(checkpoint: Checkpoint, folder: Path, *, portable: bool, require_fused: bool) -> dict[str, float]:
    """Writes the fp32 graph with fused attention, or with eager attention if fused does not match PyTorch.

    Args:
        checkpoint: The checkpoint to export.
        folder: The unfinished artifact.
        portable: Use eager attention, which needs standard ONNX operators only.
        require_fused: Fail unless the attention of every layer is fused.

    Returns:
        Figures for the manifest, measured against PyTorch.

    Raises:
        ParityError: The logits differ from PyTorch's by more than `TOLERANCE`.
        FusionError: `require_fused` is set, and the attention of a layer is not fused.
    """
    attention.register()
    family, layers = checkpoint.config.model_type, attention_layers(checkpoint)
    fusible = not portable and attention.is_pluggable(checkpoint.model)
    for implementation in [attention.NAME, "eager"] if fusible else ["eager"]:
        path = "eager" if implementation == "eager" else "fused"
        with phase("export graph", line=f"exporting {family}, {path} attention ..."):
            fused = export_graph(checkpoint, folder / FILES["fp32"], implementation=implementation)
        session = open_variant(folder, "fp32", labels=len(checkpoint.labels))
        difference = max_difference(checkpoint, session)
        log_progress(
            f"  {path}: {fused} of {layers} attention layers fused; "
            f"largest logit difference from PyTorch: {difference:.1e}"
        )
        if difference <= TOLERANCE:
            break
    else:
        raise ParityError(
            f"the logits of this {family} model differ from PyTorch by {difference:.1e}, more than {TOLERANCE:.0e}; "
            "nothing was written. Install the versions in constraints.txt, or use another encoder"
        )
    if require_fused and fused < layers:
        raise FusionError(
            f"expected {layers} fused attention nodes, one for each layer of this {family} model, found {fused} "
            f"({path} attention); nothing was written. Export it without --require-fused, or use another encoder"
        )
    return {"max_logit_difference": difference, "fused_attention_nodes": float(fused)}
