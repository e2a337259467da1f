"""`python -m export CHECKPOINT ARTIFACT`: exports a fine-tuned checkpoint to an artifact that the runtime loads.

Exit status: 0 if every requested variant was written, 1 if nothing was written, 2 for a wrong call, 3 if the artifact
was written without a variant that the quality gate rejected, 130 if the export was interrupted.
"""

import argparse
import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import LitmusError
from runtime.artifact.manifest import Manifest, Variant
from runtime.artifact.publishing import publishing
from runtime.engine.providers import PROVIDERS
from runtime.interrupts import interrupts_everywhere
from training.arrays import Floats

from .arguments import parse_args
from .artifact.decisions import Request, check_request, short_names, with_decisions, with_published_thresholds
from .artifact.writer import Logits, verify_artifact, write_artifact
from .console import log_progress, phase, quiet
from .errors import ExportError, QualityGateError
from .graph.fp32 import export_fp32
from .graph.onnx_import import OnnxExport, import_onnx, open_onnx_export
from .graph.parity import torch_logits
from .graph.variant_files import FILES, open_variant, operators
from .quantization.int8_variant import make_int8
from .quantization.quality_gate import QualityGate, logits_of
from .quantization.variants import ExportContext, make_fp16
from .sources.calibration_data import EvaluationData, LabelledTexts, load_splits
from .sources.checkpoint import Checkpoint, open_checkpoint
from .sources.source import Source

REJECTED = 3
INTERRUPTED = 130


def run(args: argparse.Namespace) -> list[str]:
    """Exports, compares with PyTorch, quantizes, applies the quality gate and publishes the artifact.

    Returns:
        The variants that the quality gate rejected, each with its reason.

    Raises:
        ExportError: The checkpoint cannot be exported, or the target cannot be written. Nothing is written.
        ArtifactError: The runtime would refuse the graph of an ONNX export. Nothing is written.
    """
    request = Request(args.target_precision, args.threshold, dict(args.thresholds))
    with publishing(args.artifact, overwrite=args.overwrite, error=ExportError) as folder:
        (folder / "onnx").mkdir()
        source, data = _load(args, request)
        names = short_names(source, dict(args.label_short_names))
        fp32, reference = _write_fp32(source, folder, args)
        tokenizer = source.runtime_tokenizer()

        def fp32_logits(rows: LabelledTexts) -> Floats:
            return logits_of(open_variant(folder, "fp32", labels=len(source.labels)), tokenizer, rows)

        if not request.is_empty:
            source = with_decisions(source, request, data, fp32_logits)
        variants, rejected = [fp32], []
        for name in sorted(set(args.variants) - {"fp32"}):
            assert data is not None, "_load has read them for every variant but fp32"
            context = ExportContext(
                source=source,
                folder=folder,
                tokenizer=tokenizer,
                data=data,
                gate=QualityGate(max_metric_drop=args.max_metric_drop, min_agreement=args.min_agreement),
                operators="standard" if args.portable else "onnxruntime",
                fp32_layers=tuple(args.fp32_layers),
                max_fp32_layers=args.max_fp32_layers,
            )
            try:
                variants.append(
                    make_fp16(context) if name == "fp16" else make_int8(context, dynamic=args.int8 == "dynamic")
                )
            except QualityGateError as error:
                rejected.append(f"{name}: {error}")
        shipped = [variant for variant in variants if variant.name in args.variants]
        if not shipped:
            raise QualityGateError(
                f"every requested variant failed the quality gate; add fp32 to --variants. {'; '.join(rejected)}"
            )
        if fp32 not in shipped:
            (folder / fp32.file).unlink()
        manifest = _complete(folder, source, shipped, reference, names)
    for variant in manifest.variants:
        log_progress(f"{variant.name}: {variant.file} ({manifest.files[variant.file].size_bytes / 1e6:.1f} MB)")
    log_progress(f"artifact: {args.artifact}")
    for reason in rejected:
        log_progress(f"rejected by the quality gate: {reason}")
    return rejected


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status of the module's docstring (argparse exits with 2)."""
    try:
        with interrupts_everywhere():
            rejected = run(parse_args(sys.argv[1:] if argv is None else argv))
    except (LitmusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: not enough memory for this export; free some, or use a smaller encoder", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return REJECTED if rejected else 0


def _load(args: argparse.Namespace, request: Request) -> tuple[Checkpoint | OnnxExport, EvaluationData | None]:
    """Loads the model, and the texts if a variant or a decision needs them."""
    needs_texts = set(args.variants) != {"fp32"} or request.target_precision is not None
    with phase("load", steps=1 + needs_texts) as progress:
        with quiet():
            source = open_onnx_export(args.checkpoint) if args.from_onnx else open_checkpoint(args.checkpoint)
        check_request(source, request)
        source = with_published_thresholds(source, request)
        progress.advance()
        data = None
        if needs_texts:
            data = load_splits(source, source.runtime_tokenizer(), args.calibration, args.calibration_texts)
            progress.advance()
    return source, data


def _write_fp32(source: Checkpoint | OnnxExport, folder: Path, args: argparse.Namespace) -> tuple[Variant, Logits]:
    """Writes the fp32 graph; returns its variant and the function that golden scores come from."""
    reference: Logits
    if isinstance(source, OnnxExport):
        quality = import_onnx(source, folder, portable=args.portable)
        reference = open_variant(folder, "fp32", labels=len(source.labels)).run
    else:
        quality = export_fp32(source, folder, portable=args.portable, require_fused=args.require_fused)
        reference = functools.partial(torch_logits, source)
    file = FILES["fp32"]
    return Variant("fp32", file, tuple(PROVIDERS.values()), operators(folder / file), None, quality, ()), reference


def _complete(
    folder: Path, source: Source, variants: Sequence[Variant], reference: Logits, names: tuple[str, ...] | None
) -> Manifest:
    """Writes all files but the ONNX ones, then loads the artifact as a service will."""
    with phase("write", steps=2) as progress:
        sessions = {variant.name: open_variant(folder, variant.name, labels=len(source.labels)) for variant in variants}
        manifest = write_artifact(folder, source, variants, reference, sessions, short_names=names)
        progress.advance()
        verify_artifact(folder)
        progress.advance()
    return manifest


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # otherwise the unfinished artifact would stay behind
    sys.exit(main())
