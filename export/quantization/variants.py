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

from ..console import say
from ..errors import BudgetError, ExportError
from ..graph.layers import linears
from ..graph.variant_files import FILES, Operators, open_variant, operators
from ..sources.calibration_data import Evidence, Rows
from ..sources.checkpoint import Source
from .activation_stats import observe
from .fp16 import convert_half
from .gptq import Rounder
from .int8 import RANGES, Scheme, quantize
from .quality_gate import Budget, compare, logits_of
from .scheme_search import Found, blame, search

SAMPLE = 48
NAMED = 5
DEFAULT_FP32_SHARE = 1 / 3
MIN_CALIBRATION_TEXTS = 32
MIN_ROWS = 50


@dataclass(frozen=True)
class Workshop:
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
    evidence: Evidence
    budget: Budget
    operators: Operators
    fp32_layers: tuple[str, ...] = ()
    max_fp32_layers: int | None = None

    def judge(self, precision: Precision, rows: Rows) -> Callable[[], dict[str, Any]]:
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


def make_int8(shop: Workshop, *, dynamic: bool) -> Variant:
    """Writes the int8 variant for CPUs.

    Args:
        shop: What it takes.
        dynamic: Find each activation's scale anew in every batch.

    Raises:
        BudgetError: It is outside the budget; the message says by how much, and which layers cost most.
        ExportError: There is nothing to quantize, or a layer that shall stay fp32 is unknown.
    """
    source, target = shop.folder / FILES["fp32"], shop.folder / FILES["int8"]
    layers = [layer.name for layer in linears(ir.load(source).graph)]
    if not layers:
        raise ExportError("the graph has no linear layer with constant weights to quantize; use --variants fp32")
    kept = _known_layers(shop.fp32_layers, layers)
    most = int(len(layers) * DEFAULT_FP32_SHARE) if shop.max_fp32_layers is None else shop.max_fp32_layers
    texts = shop.evidence.calibration
    schemes = [Scheme(excluded=kept, operators=shop.operators)]
    observed = rounder = None
    if not dynamic:
        say(f"calibrating int8 on {len(texts)} texts, {len(layers)} linear layers ...")
        observed = observe(ir.load(source), (shop.tokenizer.pad([text]) for text in texts), threads=available_cpus())
        rounder = Rounder(observed)
        schemes = [Scheme(ranges=ranges, excluded=kept, operators=shop.operators) for ranges in RANGES]

    def write(scheme: Scheme) -> None:
        model = ir.load(source)
        quantize(model, observed, scheme, rounder)
        ir.save(model, target)

    selection = shop.evidence.selection
    sample = shop.judge("int8", Rows(selection.texts[:SAMPLE], None))
    judge = shop.judge("int8", selection)
    found = search(schemes, layers, write, judge, sample, shop.budget, most_excluded=most)
    figures = found.figures
    say(f"  rows to choose on: {_summary(figures)}; {len(found.scheme.excluded)} layers left in fp32")
    if shop.evidence.test is not None and not shop.budget.breaches(figures):
        figures = shop.judge("int8", shop.evidence.test)()
        say(f"  test part: {_summary(figures)}")
    breaches = shop.budget.breaches(figures)
    if breaches:
        blamed = found.blamed or blame(found.scheme, layers, write, sample)
        target.unlink()
        worst = ", ".join(f"{name} ({share:.0%})" for name, share in list(blamed.items())[:NAMED])
        raise BudgetError(
            f"{'; '.join(breaches)}. Left in fp32, these layers lower the logit error most: {worst}. "
            f"{_remedy(found, blamed, layers, most)}"
        )
    quantization = {
        "method": "dynamic" if dynamic else "static",
        "ranges": None if dynamic else found.scheme.ranges,
        "calibration_texts": 0 if dynamic else len(texts),
        "calibration_source": None if dynamic else shop.evidence.source,
        "fp32_layers": sorted(found.scheme.excluded),
    }
    return _variant(shop, "int8", "cpu", quantization, figures, calibrated=not dynamic)


def make_fp16(shop: Workshop) -> Variant:
    """Writes the fp16 variant for CUDA. It is judged on the CPU, where onnxruntime may compute parts of it in fp32.

    Raises:
        BudgetError: It is outside the budget.
    """
    source, target = shop.folder / FILES["fp32"], shop.folder / FILES["fp16"]
    texts = shop.evidence.calibration
    say(f"converting to fp16, range checked on {len(texts)} texts ...")
    report = convert_half(source, target, (shop.tokenizer.pad([text]) for text in texts))
    figures = shop.judge("fp16", shop.evidence.test or shop.evidence.selection)()
    say(f"  {_summary(figures)}; {len(report.single_nodes)} nodes left in fp32 for their range")
    breaches = shop.budget.breaches(figures)
    if breaches:
        target.unlink()
        raise BudgetError("; ".join(breaches))
    return _variant(shop, "fp16", "cuda", None, figures, calibrated=True)


def _known_layers(names: Sequence[str], layers: Sequence[str]) -> frozenset[str]:
    """Checks the names of layers that shall stay fp32."""
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=NAMED, cutoff=0.5) or layers[:NAMED]
            raise ExportError(f"--fp32-layers: no linear layer {name!r:.100}; near it: {', '.join(near)}")
    if set(names) >= set(layers):
        raise ExportError(f"--fp32-layers names all {len(layers)} linear layers; use --variants fp32")
    return frozenset(names)


def _remedy(found: Found, blamed: Mapping[str, float], layers: Sequence[str], most: int) -> str:
    """Says how to leave more layers in fp32: the search's number is used up, or it was the test part that said no."""
    excluded = found.scheme.excluded
    left = [name for name, share in blamed.items() if share > 0 and name not in excluded]
    if not left:
        return "No other layer would help: widen --min-agreement or --max-metric-drop, or leave int8 out"
    if len(excluded) >= most:
        return f"Export again with --overwrite --max-fp32-layers {min(len(layers) - 1, max(2 * len(excluded), NAMED))}"
    return f"Export again with --overwrite --fp32-layers {shlex.join([*sorted(excluded), *left[:NAMED]])}"


def _warnings(shop: Workshop, figures: Mapping[str, Any], *, calibrated: bool) -> list[str]:
    """Says what a variant's figures cannot tell, for want of texts."""
    found = []
    texts = len(shop.evidence.calibration)
    if calibrated and texts < MIN_CALIBRATION_TEXTS:
        found.append(
            f"calibrated on {texts} texts, fewer than {MIN_CALIBRATION_TEXTS}: other texts may go beyond their ranges"
        )
    if (chosen := len(shop.evidence.selection.texts)) < MIN_ROWS and shop.evidence.test is not None:
        found.append(f"chosen on {chosen} validation rows, fewer than {MIN_ROWS}")
    if (rows := figures["rows"]) < MIN_ROWS:
        found.append(f"compared with fp32 on {rows} texts, fewer than {MIN_ROWS}: one of them is {1 / rows:.1%}")
    return found


def _variant(
    shop: Workshop,
    precision: Precision,
    provider: str,
    quantization: dict[str, Any] | None,
    figures: dict[str, Any],
    *,
    calibrated: bool,
) -> Variant:
    part = "selection" if shop.evidence.test is None else "test"
    budget = {"max_metric_drop": shop.budget.max_metric_drop, "min_agreement": shop.budget.min_agreement}
    quality = {"against": "fp32", "part": part, "budget": budget} | figures
    warnings = _warnings(shop, figures, calibrated=calibrated)
    if warnings:
        say(f"  warning: {precision} was {'; '.join(warnings)}")
        quality["warnings"] = warnings
    file = FILES[precision]
    made_of = operators(shop.folder / file)
    return Variant(precision, file, (PROVIDERS[provider],), made_of, quantization, quality, ())


def _summary(figures: dict[str, Any]) -> str:
    metric = f", {figures['metric']} drops by {figures['metric_drop']:+.4f}" if "metric" in figures else ""
    return f"{figures['rows']} rows, {figures['agreement']:.2%} decided as by fp32{metric}"
