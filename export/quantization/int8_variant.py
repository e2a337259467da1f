"""Makes the int8 variant: calibration, search for a scheme on the validation split, judgement on the test split."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from runtime.artifact.manifest import Variant
from runtime.engine.cpus import available_cpus

from ..console import Phase, log_progress, phase
from ..errors import ExportError, QualityGateError
from ..graph.layers import linears
from ..graph.variant_files import FILES
from ..sources.calibration_data import LabelledTexts
from .activation_stats import ActivationStats, collect_stats
from .gptq import GptqRounder
from .int8 import RANGES, Scheme, quantize
from .quality_gate import Figures
from .scheme_search import Judge, SearchResult, find_scheme, layer_sensitivity
from .variants import ExportContext, make_variant, summary

SAMPLE = 48
NAMED = 5
DEFAULT_FP32_SHARE = 1 / 3


@dataclass(frozen=True)
class _Int8File:
    """The int8 file of an export, which is rewritten for every scheme.

    Attributes:
        context: The export.
        stats: Activation statistics; None for dynamic quantization.
        rounder: Rounds weights with `stats`; None without them.
    """

    context: ExportContext
    stats: Mapping[str, ActivationStats] | None
    rounder: GptqRounder | None

    def write(self, scheme: Scheme) -> None:
        """Writes the graph of a scheme."""
        model = ir.load(self.context.folder / FILES["fp32"])
        quantize(model, self.stats, scheme, self.rounder)
        ir.save(model, self.context.folder / FILES["int8"])

    def judge(self, rows: LabelledTexts, progress: Phase) -> Judge:
        """Returns a function that writes the graph of a scheme and compares it with fp32 on rows."""
        compare = self.context.judge("int8", rows)

        def judge(scheme: Scheme) -> Figures:
            self.write(scheme)
            figures = compare()
            progress.advance()
            return figures

        return judge


def make_int8(context: ExportContext, *, dynamic: bool) -> Variant:
    """Writes the int8 variant for CPUs.

    Args:
        context: The export.
        dynamic: Find the scale of each activation anew in every batch.

    Raises:
        QualityGateError: The quality gate rejects it. The message names the limits and the most sensitive layers.
        ExportError: There is nothing to quantize, or a layer that should stay fp32 is unknown.
    """
    layers = [layer.name for layer in linears(ir.load(context.folder / FILES["fp32"]).graph)]
    if not layers:
        raise ExportError("the graph has no linear layer with constant weights to quantize; use --variants fp32")
    kept = _known_layers(context.fp32_layers, layers)
    most = int(len(layers) * DEFAULT_FP32_SHARE) if context.max_fp32_layers is None else context.max_fp32_layers
    stats = None if dynamic else _calibrate(context, len(layers))
    file = _Int8File(context, stats, None if stats is None else GptqRounder(stats))
    schemes = [
        Scheme(ranges=ranges, excluded=kept, operators=context.operators)
        for ranges in (RANGES[:1] if dynamic else RANGES)
    ]
    result = _search(file, schemes, layers, most)
    file.write(result.scheme)
    figures = result.figures
    if context.data.test is not None and not context.gate.breaches(figures):
        with phase("judge"):
            figures = context.judge("int8", context.data.test)()
        log_progress(f"  test: {summary(figures)}")
    breaches = context.gate.breaches(figures)
    if breaches:
        sensitivity = result.sensitivity or _sensitivity(file, result.scheme, layers)
        (context.folder / FILES["int8"]).unlink()
        worst = ", ".join(f"{name} ({share:.0%})" for name, share in list(sensitivity.items())[:NAMED])
        raise QualityGateError(
            f"{'; '.join(breaches)}. The most sensitive layers, by how much keeping each in fp32 lowers the logit "
            f"error: {worst}. "
            f"{_remedy(result, sensitivity, layers, most)}"
        )
    quantization = {
        "method": "dynamic" if dynamic else "static",
        "ranges": None if dynamic else result.scheme.ranges,
        "calibration_texts": 0 if dynamic else len(context.data.calibration),
        "calibration_source": None if dynamic else context.data.source,
        "fp32_layers": sorted(result.scheme.excluded),
    }
    return make_variant(context, "int8", "cpu", quantization, figures, calibrated=not dynamic)


def _calibrate(context: ExportContext, layers: int) -> dict[str, ActivationStats]:
    texts = context.data.calibration
    line = f"calibrating int8 on {len(texts)} texts, {layers} linear layers ..."
    with phase("calibrate", steps=len(texts), line=line) as progress:
        batches = (context.tokenizer.pad([text]) for text in texts)
        model = ir.load(context.folder / FILES["fp32"])
        return collect_stats(model, progress.track(batches), threads=available_cpus())


def _search(file: _Int8File, schemes: Sequence[Scheme], layers: Sequence[str], most: int) -> SearchResult:
    validation = file.context.data.validation
    with phase("search", steps=len(schemes)) as progress:
        result = find_scheme(
            schemes,
            layers,
            file.judge(validation, progress),
            file.judge(_sample(validation), progress),
            file.context.gate,
            most_excluded=most,
            expect=progress.expect,
        )
    log_progress(f"  validation: {summary(result.figures)}; {len(result.scheme.excluded)} layers kept in fp32")
    return result


def _sensitivity(file: _Int8File, scheme: Scheme, layers: Sequence[str]) -> dict[str, float]:
    with phase("sensitivity", steps=1 + len(layers) - len(scheme.excluded)) as progress:
        return layer_sensitivity(scheme, layers, file.judge(_sample(file.context.data.validation), progress))


def _sample(rows: LabelledTexts) -> LabelledTexts:
    return LabelledTexts(rows.texts[:SAMPLE], None)


def _known_layers(names: Sequence[str], layers: Sequence[str]) -> frozenset[str]:
    """Checks the names of `--fp32-layers`."""
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=NAMED, cutoff=0.5) or layers[:NAMED]
            raise ExportError(f"--fp32-layers: no linear layer {name!r:.100}; similar names: {', '.join(near)}")
    if set(names) >= set(layers):
        raise ExportError(f"--fp32-layers names all {len(layers)} linear layers; use --variants fp32")
    return frozenset(names)


def _remedy(result: SearchResult, sensitivity: Mapping[str, float], layers: Sequence[str], most: int) -> str:
    """Returns advice on keeping more layers in fp32: a higher limit if the search reached it, else layer names."""
    excluded = result.scheme.excluded
    left = [name for name, share in sensitivity.items() if share > 0 and name not in excluded]
    if not left:
        return "Keeping other layers in fp32 does not help: relax --min-agreement or --max-metric-drop, or omit int8"
    if len(excluded) >= most:
        return f"Export again with --overwrite --max-fp32-layers {min(len(layers) - 1, max(2 * len(excluded), NAMED))}"
    return f"Export again with --overwrite --fp32-layers {shlex.join([*sorted(excluded), *left[:NAMED]])}"
