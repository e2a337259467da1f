"""`python -m export CHECKPOINT ARTIFACT`: turn a fine-tuned checkpoint into an artifact that the runtime loads."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime import LitmusError, load
from runtime.manifest import Manifest, Variant
from runtime.session import PROVIDERS, Session

from . import attention
from .artifact import publishing, write_artifact
from .checkpoint import Checkpoint, open_checkpoint
from .errors import ParityError
from .graph import export_graph
from .parity import TOLERANCE, max_difference

FILE = "onnx/model.onnx"


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description="Turn a checkpoint into an ONNX artifact.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder that `python -m training` wrote")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path, help="folder to write; must not exist")
    parser.add_argument("--overwrite", action="store_true", help="replace an artifact that is there")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Exports, compares with PyTorch, and publishes the artifact.

    Raises:
        ExportError: The checkpoint cannot be exported, or the target cannot be written.
        ParityError: The graph does not compute what the checkpoint computes; nothing is written.
    """
    with publishing(args.artifact, overwrite=args.overwrite) as folder:
        checkpoint = open_checkpoint(args.checkpoint)
        attention.register()
        (folder / "onnx").mkdir()
        variant = _export(checkpoint, folder)
        manifest = write_artifact(folder, checkpoint, (variant,))
        _check_golden(folder, manifest)
    size_mb = sum(entry.size_bytes for entry in manifest.files.values()) / 1e6
    _say(f"artifact: {args.artifact} ({size_mb:.1f} MB)")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    try:
        run(parse_args(sys.argv[1:] if argv is None else argv))
    except (LitmusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _export(checkpoint: Checkpoint, folder: Path) -> Variant:
    """Writes the fp32 graph: with fused attention if that agrees with PyTorch, else eager."""
    family = checkpoint.model.config.model_type
    difference = np.inf
    for implementation in (attention.NAME, "eager"):
        _say(f"exporting {family}, {'fused' if implementation == attention.NAME else 'eager'} attention ...")
        fused = export_graph(checkpoint, folder / FILE, implementation=implementation)
        variant = Variant("fp32", FILE, tuple(PROVIDERS.values()), {})
        session = Session(folder, variant, provider="cpu", threads=None, labels=len(checkpoint.labels))
        difference = max_difference(checkpoint, session)
        _say(f"  {fused} fused attention nodes; largest logit difference from PyTorch: {difference:.1e}")
        if difference <= TOLERANCE:
            quality = {"max_logit_difference": difference, "fused_attention_nodes": float(fused)}
            return Variant(variant.name, variant.file, variant.providers, quality)
    raise ParityError(
        f"the graph of this {family} model differs from PyTorch by {difference:.1e}, more than {TOLERANCE:.0e}; "
        "nothing was written. Check the versions in constraints.txt, or use another encoder"
    )


def _check_golden(folder: Path, manifest: Manifest) -> None:
    """Loads the finished artifact the way a service will and compares its golden scores."""
    classifier = load(folder, provider="cpu")
    for golden in manifest.golden:
        found = np.array(list(classifier.predict(golden.text).scores.values()))
        difference = float(np.abs(found - golden.scores).max())
        if difference > TOLERANCE:
            raise ParityError(
                f"the finished artifact's golden scores differ from PyTorch by {difference:.1e}; nothing was written"
            )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
