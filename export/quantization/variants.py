"""What the quantized variants of an export share, and the fp16 variant.

Every choice is made on the validation split. The test split is evaluated once, at the end, and can only reject. The
figures of a variant that is shipped come from it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.artifact.manifest import Precision, Variant
from runtime.engine.providers import PROVIDERS
from runtime.text.tokenizer import Tokenizer
from training.arrays import Floats

from ..console import log_progress, phase
from ..errors import QualityGateError
from ..graph.variant_files import FILES, Operators, open_variant, operators
from ..sources.calibration_data import EvaluationData, LabelledTexts
from ..sources.source import Source
from .fp16 import convert_to_fp16
from .quality_gate import Figures, QualityGate, compare, logits_of

MIN_CALIBRATION_TEXTS = 32
MIN_ROWS = 50


@dataclass(frozen=True)
class ExportContext:
    """Inputs and limits for the variants of one export.

    Attributes:
        source: The checkpoint or ONNX export.
        folder: The unfinished artifact, which has the fp32 graph.
        tokenizer: The runtime's.
        data: Calibration, validation and test texts.
        gate: Limits on what a variant may lose against fp32.
        operators: Operators that an int8 variant may use.
        fp32_layers: Names of layers that stay fp32 in int8.
        max_fp32_layers: How many layers may stay fp32 to pass the quality gate; None for a third of them.
    """

    source: Source
    folder: Path
    tokenizer: Tokenizer
    data: EvaluationData
    gate: QualityGate
    operators: Operators
    fp32_layers: tuple[str, ...] = ()
    max_fp32_layers: int | None = None

    def judge(self, precision: Precision, rows: LabelledTexts) -> Callable[[], Figures]:
        """Returns a function that compares the variant's file, as it is at that moment, with fp32 on some rows."""
        source = self.source

        def logits(name: Precision) -> Floats:
            return logits_of(open_variant(self.folder, name, labels=len(source.labels)), self.tokenizer, rows)

        reference = functools.cache(lambda: logits("fp32"))
        return lambda: compare(
            reference(),
            logits(precision),
            rows,
            task=source.task,
            labels=source.labels,
            decisions=source.decisions,
        )


def make_fp16(context: ExportContext) -> Variant:
    """Writes the fp16 variant for CUDA. It is judged on the CPU, where onnxruntime may compute parts of it in fp32.

    Raises:
        QualityGateError: The quality gate rejects it.
    """
    source, target = context.folder / FILES["fp32"], context.folder / FILES["fp16"]
    texts = context.data.calibration
    line = f"converting to fp16, range checked on {len(texts)} texts ..."
    with phase("convert fp16", steps=len(texts), line=line) as progress:
        batches = (context.tokenizer.pad([text]) for text in texts)
        report = convert_to_fp16(source, target, progress.track(batches))
    with phase("judge fp16"):
        figures = context.judge("fp16", context.data.test or context.data.validation)()
    log_progress(f"  {summary(figures)}; {len(report.fp32_nodes)} nodes kept in fp32 for their range")
    breaches = context.gate.breaches(figures)
    if breaches:
        target.unlink()
        raise QualityGateError("; ".join(breaches))
    return make_variant(context, "fp16", "cuda", None, figures, calibrated=True)


def make_variant(
    context: ExportContext,
    precision: Precision,
    provider: str,
    quantization: dict[str, Any] | None,
    figures: Figures,
    *,
    calibrated: bool,
) -> Variant:
    """Returns the manifest's entry of a variant whose file is written.

    Args:
        context: The export.
        precision: Its name.
        provider: The provider that it is for.
        quantization: How it was quantized, for the manifest.
        figures: Of `quality_gate.compare`.
        calibrated: Whether it depends on the calibration texts.
    """
    split = "selection" if context.data.test is None else "test"  # the manifest's word for the validation split
    limits = {"max_metric_drop": context.gate.max_metric_drop, "min_agreement": context.gate.min_agreement}
    quality = {"against": "fp32", "part": split, "budget": limits} | figures
    warnings = _warnings(context, figures, calibrated=calibrated)
    if warnings:
        log_progress(f"  warning: {precision} was {'; '.join(warnings)}")
        quality["warnings"] = warnings
    file = FILES[precision]
    return Variant(
        name=precision,
        file=file,
        providers=(PROVIDERS[provider],),
        operators=operators(context.folder / file),
        quantization=quantization,
        quality=quality,
        golden=(),
    )


def summary(figures: Figures) -> str:
    """Returns the main figures of `quality_gate.compare` in one line."""
    metric = f", {figures['metric']} drop {figures['metric_drop']:.4f}" if "metric" in figures else ""
    return f"{figures['rows']} rows, {figures['agreement']:.2%} label agreement with fp32{metric}"


def _warnings(context: ExportContext, figures: Mapping[str, Any], *, calibrated: bool) -> list[str]:
    """Returns warnings about too few texts, which make the figures of a variant uncertain."""
    warnings = []
    texts = len(context.data.calibration)
    if calibrated and texts < MIN_CALIBRATION_TEXTS:
        warnings.append(
            f"calibrated on {texts} texts, fewer than {MIN_CALIBRATION_TEXTS}: other texts may go beyond their ranges"
        )
    if (chosen := len(context.data.validation.texts)) < MIN_ROWS and context.data.test is not None:
        warnings.append(f"chosen on {chosen} validation rows, fewer than {MIN_ROWS}")
    if (rows := figures["rows"]) < MIN_ROWS:
        warnings.append(f"compared with fp32 on {rows} texts, fewer than {MIN_ROWS}: one of them is {1 / rows:.1%}")
    return warnings
