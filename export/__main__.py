"""`python -m export CHECKPOINT ARTIFACT`: turn a fine-tuned checkpoint into an artifact that the runtime loads."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime import LitmusError, load
from runtime.manifest import Manifest

from . import attention
from .artifact import publishing, write_artifact
from .checkpoint import open_checkpoint
from .errors import ParityError
from .fp32 import export_fp32
from .parity import TOLERANCE


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description="Turn a checkpoint into an ONNX artifact.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder that `python -m training` wrote")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path, help="folder to write; must not exist")
    parser.add_argument("--overwrite", action="store_true", help="replace an artifact that is there")
    parser.add_argument(
        "--require-fused", action="store_true", help="write nothing unless the attention of every layer is fused"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Exports, compares with PyTorch, and publishes the artifact.

    Raises:
        ExportError: The checkpoint cannot be exported, or the target cannot be written.
        ParityError: The graph does not compute what the checkpoint computes; nothing is written.
        FusionError: A layer's attention is not fused, though `--require-fused`; nothing is written.
    """
    with publishing(args.artifact, overwrite=args.overwrite) as folder:
        checkpoint = open_checkpoint(args.checkpoint)
        attention.register()
        (folder / "onnx").mkdir()
        variant = export_fp32(checkpoint, folder, require_fused=args.require_fused)
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
