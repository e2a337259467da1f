"""Finds an int8 scheme that passes the quality gate, on rows that the final figures do not come from.

Of the initial schemes that pass, the one whose logits are nearest to fp32's is taken. If none passes, the sensitivity
of each layer is measured by leaving it in fp32, and the most sensitive layers stay in fp32 one after another until the
scheme passes or the allowed number is reached.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .int8 import Scheme
from .quality_gate import Figures, QualityGate

Judge = Callable[[Scheme], Figures]


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        scheme: One that passes, or the last one tried if none does.
        figures: Of `quality_gate.compare`, on the rows of the search.
        sensitivity: Of `layer_sensitivity`; empty if an initial scheme passes.
    """

    scheme: Scheme
    figures: Figures
    sensitivity: Mapping[str, float]


def find_scheme(
    schemes: Sequence[Scheme],
    layers: Sequence[str],
    judge: Judge,
    sample: Judge,
    gate: QualityGate,
    *,
    most_excluded: int,
    expect: Callable[[int], object] = lambda _: None,
) -> SearchResult:
    """Searches for a scheme that passes the quality gate.

    Args:
        schemes: The initial schemes. If none passes, the one with the least logit error is pursued.
        layers: Names of the layers that may stay fp32.
        judge: Returns the figures of a scheme.
        sample: As `judge`, on a few rows, to compare layers.
        gate: The limits.
        most_excluded: How many layers may stay fp32, including those that the initial schemes exclude.
        expect: Receives how many more schemes will be judged at most, once the initial ones have failed.
    """
    results = [SearchResult(scheme, judge(scheme), {}) for scheme in schemes]
    best = min(results, key=lambda result: (gate.breaches(result.figures) != [], _error(result.figures)))
    if not gate.breaches(best.figures):
        return best
    scheme = best.scheme
    allowed = max(0, most_excluded - len(scheme.excluded))
    expect(1 + len(layers) - len(scheme.excluded) + allowed)
    sensitivity = layer_sensitivity(scheme, layers, sample)
    sensitive = [name for name, share in sensitivity.items() if share > 0]
    for name in sensitive[:allowed]:
        scheme = replace(scheme, excluded=scheme.excluded | {name})
        best = SearchResult(scheme, judge(scheme), {})
        if not gate.breaches(best.figures):
            break
    return replace(best, sensitivity=sensitivity)


def layer_sensitivity(scheme: Scheme, layers: Sequence[str], sample: Judge) -> dict[str, float]:
    """Returns by which share the mean logit error falls if a layer stays fp32, the most sensitive layer first."""
    error = _error(sample(scheme))
    shares = {}
    for name in layers:
        if name not in scheme.excluded:
            remaining = _error(sample(replace(scheme, excluded=scheme.excluded | {name})))
            shares[name] = 1 - remaining / error if error else 0.0
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _error(figures: Figures) -> float:
    return float(figures["mean_logit_difference"])
