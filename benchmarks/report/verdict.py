"""The first lines of the report: what a team decides by, in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.decisions.metrics import TITLES as METRICS

from ..harness.catalog import BASELINE, CONTROL, LITMUS, LITMUS_FP32
from ..measurements.latency_plot import TITLES
from .ratios import Ratio, process_noise, ratio

NOISY = 0.1  # two equal processes differ by more than a tenth
SAME_LABELS = 0.99
OURS = (LITMUS, CONTROL, LITMUS_FP32)


@dataclass(frozen=True)
class Situation:
    """A way of using a classifier.

    Attributes:
        words: How it is called in a sentence.
        workload: Its workload in the latency report.
    """

    words: str
    workload: str


def situations(report: Mapping[str, Any]) -> list[Situation]:
    """Returns one text at a time, and the largest batch if batches were measured."""
    workloads = next(iter(report["results"].values()))["workloads"]
    found = [Situation("one text at a time", next(iter(workloads)))]
    largest = max(workloads, key=lambda name: workloads[name]["texts"])
    if (size := workloads[largest]["texts"]) > 1:
        found.append(Situation(f"in batches of {size}", largest))
    return found


def verdict(report: Mapping[str, Any], sizes_mb: Mapping[str, float]) -> str:
    """Returns the verdict.

    Args:
        report: From `latency.measure`.
        sizes_mb: Size of the weights of `litmus` and of the checkpoint.
    """
    results = report["results"]
    if LITMUS not in results:
        return "Litmus could not be measured, so there is nothing to compare; the report says why."
    sentences = []
    noise = process_noise(report)
    if noise > NOISY:
        sentences.append(
            f"This machine was too noisy for small differences: two processes of the same classifier differ by "
            f"{100 * noise:.0f} %."
        )
    if BASELINE in results:
        sentences.append(_against_baseline(report, sizes_mb))
    sentences += [_against_others(report, situation) for situation in situations(report)]
    return " ".join(filter(None, sentences)) or "Only Litmus could be measured, so there is nothing to compare."


def _against_baseline(report: Mapping[str, Any], sizes_mb: Mapping[str, float]) -> str:
    ours, rows = report["results"][LITMUS], report["settings"]["rows"]
    first = situations(report)[0]
    found = ratio(report, BASELINE, first.workload)
    title, name = f"Litmus {report['variant']}", TITLES[BASELINE]
    if not found.clear:
        speed = f"{title} and {name} are too close to tell"
    elif found.value > 1:
        speed = f"{title} is {_times(found)} as fast as {name}"
    else:
        speed = f"{name} is {_times(found.inverse)} as fast as {title}"
    quality = _quality(ours, report["results"][BASELINE], rows)
    return f"{speed}, {first.words}, {quality}, at {_share(sizes_mb)} of the size."


def _quality(ours: Mapping[str, Any], baseline: Mapping[str, Any], rows: int) -> str:
    """Says whether the labels stay the same, and otherwise how the main metric changes."""
    agreement = ours["label_agreement"]
    same = f"with the same labels on {_percent(agreement)} of {rows} test rows"
    if agreement >= SAME_LABELS:
        return same
    metric = next(iter(ours["figures"]))
    return f"{same} ({METRICS[metric]} {ours['figures'][metric]:.4f} instead of {baseline['figures'][metric]:.4f})"


def _against_others(report: Mapping[str, Any], situation: Situation) -> str:
    """Compares with the fastest contender other than Litmus and PyTorch fp32."""
    others = {
        name: ratio(report, name, situation.workload) for name in report["results"] if name not in (*OURS, BASELINE)
    }
    if not others:
        return ""
    nearest = min(others, key=lambda name: others[name].value)
    found = others[nearest]
    if not found.clear:
        return f"{_capital(situation.words)}, {TITLES[nearest]} and Litmus are too close to tell."
    if found.value < 1:
        speed = f"{TITLES[nearest]} is {_times(found.inverse)} as fast as Litmus"
        return f"{speed}, {situation.words}{_price(report, nearest)}."
    return (
        f"{_capital(situation.words)}, Litmus is the fastest: {_times(found)} as fast as the next, {TITLES[nearest]}."
    )


def _times(found: Ratio) -> str:
    digits = found.digits
    return f"{found.value:.{digits}f} times (95 % interval {found.low:.{digits}f} to {found.high:.{digits}f})"


def _price(report: Mapping[str, Any], name: str) -> str:
    """Says what a faster contender costs in labels, if it changes more of them than the quality gate would allow."""
    agreement = report["results"][name].get("label_agreement")
    if agreement is None or agreement >= SAME_LABELS:
        return ""
    return f", but changes the label of {_percent(1 - agreement)} of the test rows"


def _share(sizes_mb: Mapping[str, float]) -> str:
    share = sizes_mb["litmus"] / sizes_mb["checkpoint"]
    return "a quarter" if 0.24 <= share <= 0.27 else _percent(share)


def _percent(value: float) -> str:
    text = f"{100 * value:.1f}"
    return f"{text.removesuffix('.0')} %"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
