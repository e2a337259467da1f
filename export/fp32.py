"""The fp32 variant: with fused attention where that agrees with PyTorch, with eager attention elsewhere."""

import sys
from pathlib import Path

from runtime.manifest import Variant
from runtime.session import PROVIDERS, Session

from . import attention
from .checkpoint import Checkpoint
from .errors import FusionError, ParityError
from .graph import attention_layers, export_graph
from .parity import TOLERANCE, max_difference

FILE = "onnx/model.onnx"


def export_fp32(checkpoint: Checkpoint, folder: Path, *, require_fused: bool = False) -> Variant:
    """Writes the fp32 graph, and says on stderr which path it took and what came of it.

    Args:
        checkpoint: What to export.
        folder: The artifact's folder; it has a folder `onnx`.
        require_fused: Accept nothing but a fused attention node in every layer.

    Returns:
        The variant, its quality measured against PyTorch.

    Raises:
        ParityError: The graph does not compute what the checkpoint computes.
        FusionError: Not every layer's attention is fused, though `require_fused`.
    """
    family, layers = checkpoint.model.config.model_type, attention_layers(checkpoint)
    implementations = [attention.NAME, "eager"] if attention.is_pluggable(checkpoint.model) else ["eager"]
    for implementation in implementations:
        path = "eager" if implementation == "eager" else "fused"
        print(f"exporting {family}, {path} attention ...", file=sys.stderr, flush=True)
        fused = export_graph(checkpoint, folder / FILE, implementation=implementation)
        variant = Variant("fp32", FILE, tuple(PROVIDERS.values()), {})
        session = Session(folder, variant, provider="cpu", threads=None, labels=len(checkpoint.labels))
        difference = max_difference(checkpoint, session)
        print(
            f"  {path}: {fused} of {layers} attention layers fused; "
            f"largest logit difference from PyTorch: {difference:.1e}",
            file=sys.stderr,
            flush=True,
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
    quality = {"max_logit_difference": difference, "fused_attention_nodes": float(fused)}
    return Variant(variant.name, variant.file, variant.providers, quality)
