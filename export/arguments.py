"""The command line of `python -m export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .graph.variant_files import FILES
from .quantization.quality_gate import QualityGate


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description="Turn a checkpoint into an ONNX artifact.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder that `python -m training` wrote")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path, help="folder to write; must not exist")
    parser.add_argument("--overwrite", action="store_true", help="replace an artifact that is there")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=list(FILES),
        default=["fp32", "int8"],
        help="default: fp32 int8; fp16 is for CUDA",
    )
    parser.add_argument("--portable", action="store_true", help="ONNX's own operators only, for other engines")
    parser.add_argument(
        "--require-fused", action="store_true", help="write nothing unless the attention of every layer is fused"
    )
    parser.add_argument("--from-onnx", action="store_true", help="CHECKPOINT is an ONNX export made elsewhere")
    _add_quantization(parser.add_argument_group("int8 and fp16"))
    _add_decisions(parser.add_argument_group("decisions (default: those that training learned)"))
    args = parser.parse_args(argv)
    if args.require_fused and (args.portable or args.from_onnx):
        parser.error("--require-fused goes neither with --portable nor with --from-onnx")
    if args.calibration_texts < 1 or not 0 <= args.min_agreement <= 1 or not 0 <= args.max_metric_drop <= 1:
        parser.error("expected --calibration-texts of 1 or more, and budgets from 0 to 1")
    if args.max_fp32_layers is not None and args.max_fp32_layers < 0:
        parser.error("expected --max-fp32-layers of 0 or more")
    if "int8" not in args.variants and (args.fp32_layers or args.max_fp32_layers is not None):
        parser.error("--fp32-layers and --max-fp32-layers go with int8, which is not in --variants")
    if args.target_precision is not None and (args.threshold is not None or args.thresholds):
        parser.error("--target-precision learns what --threshold and --thresholds set; pass one of them")
    labels = [label for label, _ in args.thresholds]
    if len(set(labels)) < len(labels):
        parser.error("--thresholds has a label twice")
    return args


def _add_quantization(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--int8",
        choices=["static", "dynamic"],
        default="static",
        help="scales fixed by calibration, or found per batch",
    )
    group.add_argument(
        "--calibration", type=Path, metavar="FILE", help="texts, one per line (default: from the training part)"
    )
    group.add_argument("--calibration-texts", type=int, default=256, metavar="N", help="how many (default: 256)")
    gate = QualityGate()
    group.add_argument(
        "--max-metric-drop",
        type=float,
        default=gate.max_metric_drop,
        metavar="X",
        help=f"most that accuracy or micro-F1 may fall below fp32 (default: {gate.max_metric_drop})",
    )
    group.add_argument(
        "--min-agreement",
        type=float,
        default=gate.min_agreement,
        metavar="X",
        help=f"least share of rows decided as by fp32 (default: {gate.min_agreement})",
    )
    group.add_argument(
        "--fp32-layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="linear layers that stay fp32 in int8, by the names that the export prints",
    )
    group.add_argument(
        "--max-fp32-layers",
        type=int,
        metavar="N",
        help="most layers that may stay fp32 to pass the quality gate (default: a third of them)",
    )


def _add_decisions(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--target-precision",
        type=_precision,
        metavar="P",
        help="single-label: abstain below the score from which on this share of validation rows is right",
    )
    group.add_argument(
        "--threshold",
        type=_score,
        metavar="SCORE",
        help="minimum score at which a label is assigned: single-label, of the best one; multi-label, of every label",
    )
    group.add_argument(
        "--thresholds",
        nargs="+",
        type=_label_and_score,
        default=[],
        metavar="LABEL=SCORE",
        help="multi-label: the same for single labels",
    )


def _score(word: str) -> float:
    value = _number(word)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a score from 0 to 1, found {word!r:.40}")
    return value


def _precision(word: str) -> float:
    value = _number(word)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to 1, found {word!r:.40}")
    return value


def _label_and_score(word: str) -> tuple[str, float]:
    label, separator, score = word.rpartition("=")  # the last one: a label may have others
    if not separator:
        raise argparse.ArgumentTypeError(f"expected LABEL=SCORE, found {word!r:.40}")
    return label, _score(score)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")  # in no range
