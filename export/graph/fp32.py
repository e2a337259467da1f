"""The fp32 variant: with fused attention where that agrees with PyTorch, with eager attention elsewhere."""

from pathlib import Path

from ..console import log_progress, phase
from ..errors import FusionError, ParityError
from ..sources.checkpoint import Checkpoint
from . import attention
from .parity import TOLERANCE, max_difference
from .torch_export import attention_layers, export_graph
from .variant_files import FILES, open_variant


def export_fp32(checkpoint: Checkpoint, folder: Path, *, portable: bool, require_fused: bool) -> dict[str, float]:
    """Writes the fp32 graph, and says which path it took and what came of it.

    Args:
        checkpoint: What to export.
        folder: The artifact in the making.
        portable: Use eager attention, which needs no operator beside ONNX's own.
        require_fused: Accept nothing but a fused attention node in every layer.

    Returns:
        Figures for the manifest, measured against PyTorch.

    Raises:
        ParityError: The graph does not compute what the checkpoint computes.
        FusionError: Not every layer's attention is fused, though `require_fused`.
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
            f"the graph of this {family} model differs from PyTorch by {difference:.1e}, more than {TOLERANCE:.0e}; "
            "nothing was written. Check the versions in constraints.txt, or use another encoder"
        )
    if require_fused and fused < layers:
        raise FusionError(
            f"expected {layers} fused attention nodes, one for each layer of this {family} model, found {fused} "
            f"({path} attention); nothing was written. Export it without --require-fused, or use another encoder"
        )
    return {"max_logit_difference": difference, "fused_attention_nodes": float(fused)}
