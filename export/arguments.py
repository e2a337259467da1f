"""Command line of `python -m export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from runtime.artifact.labels import is_label_name

from .graph.variant_files import FILES
from .quantization.quality_gate import QualityGate


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; a wrong call exits with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Export a fine-tuned checkpoint to an ONNX artifact for the runtime.",
        epilog="Exit status: 0 if every requested variant was written, 1 if nothing was written, 2 if the command line "
        "is wrong, 3 if the quality gate rejected a variant and the others were written, 130 if it was interrupted.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint folder written by `python -m training`")
    parser.add_argument(
        "artifact",
        metavar="ARTIFACT",
        type=Path,
        help="folder to write; it must not exist, unless --overwrite is passed",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace ARTIFACT if it is an artifact")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=list(FILES),
        default=["fp32", "int8"],
        help="variants to write; fp32 and int8 run on CPUs, fp16 is for CUDA (default: fp32 int8)",
    )
    parser.add_argument(
        "--portable",
        action="store_true",
        help="use standard ONNX operators only, so that other runtimes can load the model",
    )
    parser.add_argument(
        "--require-fused", action="store_true", help="fail unless the attention of every layer is fused"
    )
    parser.add_argument(
        "--from-onnx", action="store_true", help="CHECKPOINT is an ONNX export made by another tool, such as Optimum"
    )
    _add_quantization(parser.add_argument_group("int8 and fp16"))
    _add_decisions(parser.add_argument_group("decisions (default: as learned in training)"))
    args = parser.parse_args(argv)
    if args.require_fused and (args.portable or args.from_onnx):
        parser.error("--require-fused cannot be combined with --portable or --from-onnx")
    if args.calibration_texts < 1 or not 0 <= args.min_agreement <= 1 or not 0 <= args.max_metric_drop <= 1:
        parser.error("expected --calibration-texts of 1 or more, and --max-metric-drop and --min-agreement from 0 to 1")
    if args.max_fp32_layers is not None and args.max_fp32_layers < 0:
        parser.error("expected --max-fp32-layers of 0 or more")
    if "int8" not in args.variants and (args.fp32_layers or args.max_fp32_layers is not None):
        parser.error("--fp32-layers and --max-fp32-layers require int8 in --variants")
    if args.target_precision is not None and (args.threshold is not None or args.thresholds):
        parser.error("--target-precision cannot be combined with --threshold or --thresholds")
    labels = [label for label, _ in args.thresholds]
    if len(set(labels)) < len(labels):
        parser.error("--thresholds: a label occurs twice")
    return args


def _add_quantization(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--int8",
        choices=["static", "dynamic"],
        default="static",
        help="static: scales fixed by calibration; dynamic: scales computed for each batch (default: static)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="calibration texts, one per line, UTF-8 (default: a sample of the training split)",
    )
    group.add_argument(
        "--calibration-texts", type=int, default=256, metavar="N", help="number of calibration texts (default: 256)"
    )
    gate = QualityGate()
    group.add_argument(
        "--max-metric-drop",
        type=float,
        default=gate.max_metric_drop,
        metavar="X",
        help=f"quality gate: maximum drop in accuracy or micro-F1 from fp32 (default: {gate.max_metric_drop})",
    )
    group.add_argument(
        "--min-agreement",
        type=float,
        default=gate.min_agreement,
        metavar="X",
        help=f"quality gate: minimum fraction of rows whose labels match fp32 (default: {gate.min_agreement})",
    )
    group.add_argument(
        "--fp32-layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="linear layers to keep in fp32, by the names that a rejected export prints",
    )
    group.add_argument(
        "--max-fp32-layers",
        type=int,
        metavar="N",
        help="maximum number of layers to keep in fp32 to pass the quality gate (default: a third of all layers)",
    )


def _add_decisions(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--target-precision",
        type=_precision,
        metavar="P",
        help="single-label: learn the score below which to abstain, so that this fraction of the assigned labels is "
        "correct on the validation split",
    )
    group.add_argument(
        "--threshold",
        type=_score,
        metavar="SCORE",
        help="minimum score at which a label is assigned; single-label: below it the classifier abstains",
    )
    group.add_argument(
        "--thresholds",
        nargs="+",
        type=_label_and_score,
        default=[],
        metavar="LABEL=SCORE",
        help="multi-label: minimum score of each named label; takes precedence over --threshold",
    )
    group.add_argument(
        "--label-short-names",
        nargs="+",
        type=_label_and_name,
        default=[],
        metavar="LABEL=NAME",
        help="short names of labels for the answers of `python -m runtime.serve` (default: the labels themselves)",
    )


def _score(word: str) -> float:
    value = _number(word)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a score from 0 to 1, found {word!r:.40}")
    return value


def _precision(word: str) -> float:
    value = _number(word)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a fraction above 0 and up to 1, found {word!r:.40}")
    return value


def _label_and_score(word: str) -> tuple[str, float]:
    label, separator, score = word.rpartition("=")  # the last one, because a label may contain others
    if not separator:
        raise argparse.ArgumentTypeError(f"expected LABEL=SCORE, found {word!r:.40}")
    return label, _score(score)


def _label_and_name(word: str) -> tuple[str, str]:
    label, separator, name = word.rpartition("=")
    if not separator or not is_label_name(name):
        raise argparse.ArgumentTypeError(f"expected LABEL=NAME, found {word!r:.40}")
    return label, name


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")  # outside every range
