"""Makes the int8 and fp16 variants of an fp32 graph, and judges them.

Choices are made on the validation part. The test part is asked once, at the end, and can only say no: the figures of a
variant that is shipped come from it.
"""

import difflib
import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from runtime.artifact.manifest import Precision, Variant
from runtime.engine.cpus import available_cpus
from runtime.engine.providers import PROVIDERS
from runtime.text.tokenizer import Tokenizer

from ..console import log_progress
from ..errors import BudgetError, ExportError
from ..graph.layers import linears
from ..graph.variant_files import FILES, Operators, open_variant, operators
from ..sources.calibration_data import EvaluationData, LabelledTexts
from ..sources.checkpoint import Source
from .activation_stats import collect_stats
from .fp16 import convert_to_fp16
from .gptq import GptqRounder
from .int8 import RANGES, Scheme, quantize
from .quality_gate import Budget, compare, logits_of
from .scheme_search import SearchResult, find_scheme, layer_sensitivity

SAMPLE = 48
NAMED = 5
DEFAULT_FP32_SHARE = 1 / 3
MIN_CALIBRATION_TEXTS = 32
MIN_ROWS = 50


@dataclass(frozen=True)
class ExportContext:
    """What it takes to make a variant.

    Attributes:
        source: What is exported.
        folder: The artifact in the making; its fp32 graph is there.
        tokenizer: The runtime's.
        evidence: Texts to calibrate, choose and judge on.
        budget: What a variant may lose.
        operators: What an int8 variant may be made of.
        fp32_layers: Names of layers that stay fp32 in int8.
        max_fp32_layers: How many may, to pass the quality gate; None for a third of them.
    """

    source: Source
    folder: Path
    tokenizer: Tokenizer
    evidence: EvaluationData
    budget: Budget
    operators: Operators
    fp32_layers: tuple[str, ...] = ()
    max_fp32_layers: int | None = None

    def judge(self, precision: Precision, rows: LabelledTexts) -> Callable[[], dict[str, Any]]:
        """Returns what compares the variant's file, as it is at the moment, with fp32 on some rows."""
        source = self.source

        def logits(name: Precision) -> Any:
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


def make_int8(context: ExportContext, *, dynamic: bool) -> Variant:
    """Writes the int8 variant for CPUs.

    Args:
        context: What it takes.
        dynamic: Find each activation's scale anew in every batch.

    Raises:
        BudgetError: It is outside the budget; the message says by how much, and which layers cost most.
        ExportError: There is nothing to quantize, or a layer that shall stay fp32 is unknown.
    """
    source, target = context.folder / FILES["fp32"], context.folder / FILES["int8"]
    layers = [layer.name for layer in linears(ir.load(source).graph)]
    if not layers:
        raise ExportError("the graph has no linear layer with constant weights to quantize; use --variants fp32")
    kept = _known_layers(context.fp32_layers, layers)
    most = int(len(layers) * DEFAULT_FP32_SHARE) if context.max_fp32_layers is None else context.max_fp32_layers
    texts = context.evidence.calibration
    schemes = [Scheme(excluded=kept, operators=context.operators)]
    observed = rounder = None
    if not dynamic:
        log_progress(f"calibrating int8 on {len(texts)} texts, {len(layers)} linear layers ...")
        observed = collect_stats(
            ir.load(source), (context.tokenizer.pad([text]) for text in texts), threads=available_cpus()
        )
        rounder = GptqRounder(observed)
        schemes = [Scheme(ranges=ranges, excluded=kept, operators=context.operators) for ranges in RANGES]

    def write(scheme: Scheme) -> None:
        model = ir.load(source)
        quantize(model, observed, scheme, rounder)
        ir.save(model, target)

    selection = context.evidence.validation
    sample = context.judge("int8", LabelledTexts(selection.texts[:SAMPLE], None))
    judge = context.judge("int8", selection)
    found = find_scheme(schemes, layers, write, judge, sample, context.budget, most_excluded=most)
    figures = found.figures
    log_progress(f"  rows to choose on: {_summary(figures)}; {len(found.scheme.excluded)} layers left in fp32")
    if context.evidence.test is not None and not context.budget.breaches(figures):
        figures = context.judge("int8", context.evidence.test)()
        log_progress(f"  test part: {_summary(figures)}")
    breaches = context.budget.breaches(figures)
    if breaches:
        sensitivity = found.sensitivity or layer_sensitivity(found.scheme, layers, write, sample)
        target.unlink()
        worst = ", ".join(f"{name} ({share:.0%})" for name, share in list(sensitivity.items())[:NAMED])
        raise BudgetError(
            f"{'; '.join(breaches)}. Left in fp32, these layers lower the logit error most: {worst}. "
            f"{_remedy(found, sensitivity, layers, most)}"
        )
    quantization = {
        "method": "dynamic" if dynamic else "static",
        "ranges": None if dynamic else found.scheme.ranges,
        "calibration_texts": 0 if dynamic else len(texts),
        "calibration_source": None if dynamic else context.evidence.source,
        "fp32_layers": sorted(found.scheme.excluded),
    }
    return _variant(context, "int8", "cpu", quantization, figures, calibrated=not dynamic)


def make_fp16(context: ExportContext) -> Variant:
    """Writes the fp16 variant for CUDA. It is judged on the CPU, where onnxruntime may compute parts of it in fp32.

    Raises:
        BudgetError: It is outside the budget.
    """
    source, target = context.folder / FILES["fp32"], context.folder / FILES["fp16"]
    texts = context.evidence.calibration
    log_progress(f"converting to fp16, range checked on {len(texts)} texts ...")
    report = convert_to_fp16(source, target, (context.tokenizer.pad([text]) for text in texts))
    figures = context.judge("fp16", context.evidence.test or context.evidence.validation)()
    log_progress(f"  {_summary(figures)}; {len(report.fp32_nodes)} nodes left in fp32 for their range")
    breaches = context.budget.breaches(figures)
    if breaches:
        target.unlink()
        raise BudgetError("; ".join(breaches))
    return _variant(context, "fp16", "cuda", None, figures, calibrated=True)


def _known_layers(names: Sequence[str], layers: Sequence[str]) -> frozenset[str]:
    """Checks the names of layers that shall stay fp32."""
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=NAMED, cutoff=0.5) or layers[:NAMED]
            raise ExportError(f"--fp32-layers: no linear layer {name!r:.100}; near it: {', '.join(near)}")
    if set(names) >= set(layers):
        raise ExportError(f"--fp32-layers names all {len(layers)} linear layers; use --variants fp32")
    return frozenset(names)


def _remedy(found: SearchResult, sensitivity: Mapping[str, float], layers: Sequence[str], most: int) -> str:
    """Says how to leave more layers in fp32: the search's number is used up, or it was the test part that said no."""
    excluded = found.scheme.excluded
    left = [name for name, share in sensitivity.items() if share > 0 and name not in excluded]
    if not left:
        return "No other layer would help: widen --min-agreement or --max-metric-drop, or leave int8 out"
    if len(excluded) >= most:
        return f"Export again with --overwrite --max-fp32-layers {min(len(layers) - 1, max(2 * len(excluded), NAMED))}"
    return f"Export again with --overwrite --fp32-layers {shlex.join([*sorted(excluded), *left[:NAMED]])}"


def _warnings(context: ExportContext, figures: Mapping[str, Any], *, calibrated: bool) -> list[str]:
    """Says what a variant's figures cannot tell, for want of texts."""
    found = []
    texts = len(context.evidence.calibration)
    if calibrated and texts < MIN_CALIBRATION_TEXTS:
        found.append(
            f"calibrated on {texts} texts, fewer than {MIN_CALIBRATION_TEXTS}: other texts may go beyond their ranges"
        )
    if (chosen := len(context.evidence.validation.texts)) < MIN_ROWS and context.evidence.test is not None:
        found.append(f"chosen on {chosen} validation rows, fewer than {MIN_ROWS}")
    if (rows := figures["rows"]) < MIN_ROWS:
        found.append(f"compared with fp32 on {rows} texts, fewer than {MIN_ROWS}: one of them is {1 / rows:.1%}")
    return found


def _variant(
    context: ExportContext,
    precision: Precision,
    provider: str,
    quantization: dict[str, Any] | None,
    figures: dict[str, Any],
    *,
    calibrated: bool,
) -> Variant:
    part = "selection" if context.evidence.test is None else "test"
    budget = {"max_metric_drop": context.budget.max_metric_drop, "min_agreement": context.budget.min_agreement}
    quality = {"against": "fp32", "part": part, "budget": budget} | figures
    warnings = _warnings(context, figures, calibrated=calibrated)
    if warnings:
        log_progress(f"  warning: {precision} was {'; '.join(warnings)}")
        quality["warnings"] = warnings
    file = FILES[precision]
    made_of = operators(context.folder / file)
    return Variant(precision, file, (PROVIDERS[provider],), made_of, quantization, quality, ())


def _summary(figures: dict[str, Any]) -> str:
    metric = f", {figures['metric']} drops by {figures['metric_drop']:+.4f}" if "metric" in figures else ""
    return f"{figures['rows']} rows, {figures['agreement']:.2%} decided as by fp32{metric}"
