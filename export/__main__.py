"""`python -m export CHECKPOINT ARTIFACT`: turn a fine-tuned checkpoint into an artifact that the runtime loads.

Exit status: 0 if everything asked for was written, 1 if nothing was, 2 for a wrong call, 3 if the artifact was written
without a variant that is outside its quality budget, 130 if it was interrupted.
"""

import argparse
import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import LitmusError
from runtime.artifact.folder import TOKENIZER
from runtime.artifact.manifest import Variant
from runtime.artifact.publishing import publishing
from runtime.engine.providers import PROVIDERS
from runtime.text.tokenizer import Tokenizer
from runtime.verify import verify

from .arguments import parse_args
from .artifact.decisions import Request, check_request, with_decisions
from .artifact.writer import write_artifact
from .console import log_progress
from .errors import BudgetError, ExportError, ParityError
from .graph import parity
from .graph.fp32 import export_fp32
from .graph.layers import Floats
from .graph.onnx_import import OnnxExport, import_onnx, open_onnx_export
from .graph.variant_files import FILES, Operators, open_variant, operators
from .quantization.quality_gate import Budget, logits_of
from .quantization.variants import ExportContext, make_fp16, make_int8
from .sources.calibration_data import LabelledTexts, load_splits
from .sources.checkpoint import Source, open_checkpoint

WITHHELD = 3
INTERRUPTED = 130


def run(args: argparse.Namespace) -> list[str]:
    """Exports, compares with PyTorch, quantizes, judges, and publishes the artifact.

    Returns:
        The variants that were withheld.

    Raises:
        ExportError: The checkpoint cannot be exported, or the target cannot be written; nothing is written.
        ArtifactError: An adopted graph is not one that the runtime loads.
    """
    with publishing(args.artifact, overwrite=args.overwrite, error=ExportError) as folder:
        (folder / "onnx").mkdir()
        source = open_onnx_export(args.checkpoint) if args.from_onnx else open_checkpoint(args.checkpoint)
        tokenizer = _tokenizer(source)
        request = Request(args.target_precision, args.threshold, dict(args.thresholds))
        check_request(source, request)
        evidence = None
        if set(args.variants) != {"fp32"} or args.target_precision is not None:
            evidence = load_splits(source, tokenizer, args.calibration, args.calibration_texts)
        if isinstance(source, OnnxExport):
            quality = import_onnx(source, folder, portable=args.portable)
            reference = open_variant(folder, "fp32", labels=len(source.labels)).run
        else:
            quality = export_fp32(source, folder, portable=args.portable, require_fused=args.require_fused)
            reference = functools.partial(parity.torch_logits, source)
        if not request.is_empty:
            logits = functools.partial(_fp32_logits, source, folder, tokenizer)
            source = with_decisions(source, request, evidence, logits)
        made_of = operators(folder / FILES["fp32"])
        variants = [Variant("fp32", FILES["fp32"], tuple(PROVIDERS.values()), made_of, None, quality, ())]
        withheld: list[str] = []
        if evidence is not None:
            budget = Budget(max_metric_drop=args.max_metric_drop, min_agreement=args.min_agreement)
            allowed: Operators = "standard" if args.portable else "onnxruntime"
            context = ExportContext(
                source, folder, tokenizer, evidence, budget, allowed, tuple(args.fp32_layers), args.max_fp32_layers
            )
            made, withheld = _others(args, context)
            variants += made
        if "fp32" not in args.variants:
            del variants[0]
        if not variants:
            raise BudgetError(f"nothing is left to ship; ask for fp32, too. {'; '.join(withheld)}")
        sessions = {variant.name: open_variant(folder, variant.name, labels=len(source.labels)) for variant in variants}
        if "fp32" not in args.variants:
            (folder / FILES["fp32"]).unlink()
        manifest = write_artifact(folder, source, variants, reference, sessions)
        _check_golden(folder)
    for variant in manifest.variants:
        log_progress(f"{variant.name}: {variant.file} ({manifest.files[variant.file].size_bytes / 1e6:.1f} MB)")
    log_progress(f"artifact: {args.artifact}")
    for reason in withheld:
        log_progress(f"withheld: {reason}")
    return withheld


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status of the module's docstring (argparse exits with 2)."""
    try:
        withheld = run(parse_args(sys.argv[1:] if argv is None else argv))
    except (LitmusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: there is not enough memory to export this; free some, or use a smaller encoder", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return WITHHELD if withheld else 0


def _tokenizer(source: Source) -> Tokenizer:
    return Tokenizer(
        (source.folder / TOKENIZER).read_bytes(),
        max_length=source.max_length,
        stride=source.max_length,
        pad_token_id=source.pad_token_id,
        vocab_size=source.vocab_size,
    )


def _fp32_logits(source: Source, folder: Path, tokenizer: Tokenizer, rows: LabelledTexts) -> Floats:
    return logits_of(open_variant(folder, "fp32", labels=len(source.labels)), tokenizer, rows)


def _others(args: argparse.Namespace, context: ExportContext) -> tuple[list[Variant], list[str]]:
    """Makes the variants beside fp32; returns those that may be shipped, and why others may not."""
    made, withheld = [], []
    for name in sorted(set(args.variants) - {"fp32"}):
        try:
            made.append(make_fp16(context) if name == "fp16" else make_int8(context, dynamic=args.int8 == "dynamic"))
        except BudgetError as error:
            withheld.append(f"{name}: {error}")
    return made, withheld


def _check_golden(folder: Path) -> None:
    """Loads the finished artifact the way a service will; every variant that runs here must give its golden scores."""
    failures = verify(folder).failures
    if failures:
        raise ParityError(f"the finished artifact's {failures[0]}; nothing was written")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the unfinished artifact would stay behind
    sys.exit(main())
