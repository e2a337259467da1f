"""Finds an int8 graph inside the quality budget, on rows that the final figures do not come from.

Two ways to take an activation's range are tried; of those inside the budget, the one whose logits are nearest to fp32's
is kept. If neither is inside, each layer's share of the nearer one's error is measured by leaving it in fp32, and the
layers that cost most stay in fp32 one after another, until the budget holds or as many as allowed have gone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .int8 import Scheme
from .quality_gate import Budget

Write = Callable[[Scheme], None]
Judge = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        scheme: One inside the budget, or the last that was pursued outside it.
        figures: Of `quality.compare`, on the rows of the search.
        sensitivity: As `layer_sensitivity` gives it; empty if one of the schemes to begin with was good enough.
    """

    scheme: Scheme
    figures: dict[str, Any]
    sensitivity: Mapping[str, float]


def find_scheme(
    schemes: Sequence[Scheme],
    layers: Sequence[str],
    write: Write,
    judge: Judge,
    sample: Judge,
    budget: Budget,
    *,
    most_excluded: int,
) -> SearchResult:
    """Finds a scheme. Inside the budget, its graph is the one that was written last.

    Outside, that is so if at least one layer was left out; otherwise the last one is a graph of `layer_sensitivity`.

    Args:
        schemes: To begin with; if none is inside the budget, the one with the least logit error is pursued.
        layers: Names of the layers that may stay fp32.
        write: Writes the graph of a scheme.
        judge: Measures the graph written last.
        sample: The same on a few rows, to compare layers.
        budget: When to stop.
        most_excluded: How many layers may stay fp32, those that the schemes exclude to begin with among them.
    """

    def attempt(scheme: Scheme) -> SearchResult:
        write(scheme)
        return SearchResult(scheme, judge(), {})

    best = min(map(attempt, schemes), key=lambda found: (budget.breaches(found.figures) != [], _error(found.figures)))
    if not budget.breaches(best.figures):
        write(best.scheme)
        return best
    sensitivity = layer_sensitivity(best.scheme, layers, write, sample)
    scheme = best.scheme
    costly = [name for name, share in sensitivity.items() if share > 0]
    for name in costly[: max(0, most_excluded - len(scheme.excluded))]:
        scheme = replace(scheme, excluded=scheme.excluded | {name})
        best = attempt(scheme)
        if not budget.breaches(best.figures):
            break
    return replace(best, sensitivity=sensitivity)


def layer_sensitivity(scheme: Scheme, layers: Sequence[str], write: Write, sample: Judge) -> dict[str, float]:
    """Measures by how much the mean logit error falls if one layer stays fp32, as a share of it; worst first.

    Another graph has been written afterwards.
    """
    write(scheme)
    whole = _error(sample())
    shares = {}
    for name in layers:
        if name not in scheme.excluded:
            write(replace(scheme, excluded=scheme.excluded | {name}))
            shares[name] = 1 - _error(sample()) / whole if whole else 0.0
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _error(figures: dict[str, Any]) -> float:
    return float(figures["mean_logit_difference"])
