"""`python -m benchmarks latency`: how long from text to scores, for Litmus and the alternatives."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import Classifier, load
from runtime.threads import available_cpus
from training.record import training_data

from .contest import Batch, Measured, compete
from .data import check_labels
from .machine import machine
from .roster import BASELINE

LENGTHS = (32, 128, 512)
BATCH = 8
BATCH_LENGTH = 128
REPEATS = 10
CALIBRATION_TEXTS = 128
REAL = "real texts"


def measure(
    model: str, checkpoint: str, contenders: Sequence[str], *, rounds: int, texts: int, threads: int | None
) -> dict[str, Any]:
    """Measures the contenders on real texts and on fixed lengths.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.
        contenders: Names from the roster.
        rounds: Interleaved rounds.
        texts: How many texts of the test part make up the real workload.
        threads: For every contender; None for all CPUs of this process.

    Returns:
        The report, ready for JSON: machine, settings, results per contender and workload, agreement, failures.

    Raises:
        DataError: The checkpoint's data set cannot be read again.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    workloads: dict[str, list[Batch]] = {REAL: [[text] for text in data.test.texts[:texts]]}
    classifier = load(model, provider="cpu")
    check_labels(classifier, data, model)
    workloads |= _fixed_lengths(classifier)
    measured, failures = compete(
        contenders,
        workloads,
        rounds=rounds,
        model=str(Path(model).resolve()),  # contenders run in another folder
        checkpoint=str(Path(checkpoint).resolve()),
        threads=threads,
        calibration=data.train.texts[:CALIBRATION_TEXTS],
    )
    return {
        "kind": "latency",
        "machine": machine(threads),
        "settings": {"model": model, "checkpoint": checkpoint, "rounds": rounds, "texts": len(workloads[REAL])},
        "results": {name: _results(result, measured.get(BASELINE)) for name, result in measured.items()},
        "failures": failures,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table: median and p95 in ms, and the ratio of medians to the baseline."""
    info = report["machine"]
    results = report["results"]
    workloads = list(next(iter(results.values()))["workloads"]) if results else []
    lines = [
        f"Latency from text to scores: median ms (p95), and how many times faster than {BASELINE}.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}, torch {info['versions']['torch']}; "
        f"{report['settings']['rounds']} interleaved rounds, one process per contender.",
        "",
        "| contender | " + " | ".join(workloads) + " | same label | load s |",
        "|---" * (len(workloads) + 3) + "|",
    ]
    for name, result in results.items():
        cells = [_cell(result["workloads"][workload]) for workload in workloads]
        agreement = result.get("same_label")
        same = "" if agreement is None else f"{agreement:.1%}"
        lines.append(f"| {name} | {' | '.join(cells)} | {same} | {result['load_s']:.1f} |")
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _fixed_lengths(classifier: Classifier) -> dict[str, list[Batch]]:
    """Makes texts of exactly so many tokens, as far as the model reads them, from a word that is one token."""
    longest = classifier.manifest.max_length
    lengths = sorted({min(length, longest) for length in LENGTHS})
    per_word = classifier.predict("the the").n_tokens - classifier.predict("the").n_tokens
    if per_word < 1:  # the model reads too few tokens to tell
        return {}
    special = classifier.predict("the").n_tokens - per_word

    def text(length: int) -> str:
        return " ".join(["the"] * ((length - special) // per_word))

    workloads: dict[str, list[Batch]] = {f"{length} tokens": [[text(length)]] * REPEATS for length in lengths}
    batch_length = min(BATCH_LENGTH, longest)
    workloads[f"{BATCH} x {batch_length}"] = [[text(batch_length)] * BATCH] * REPEATS
    return workloads


def _results(measured: Measured, baseline: Measured | None) -> dict[str, Any]:
    workloads = {}
    for workload, latencies in measured.latencies_ms.items():
        ordered = sorted(latencies)
        workloads[workload] = {
            "median_ms": statistics.median(ordered),
            "p95_ms": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
            "p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
            "runs": len(ordered),
        }
        if baseline is not None:
            speedup = statistics.median(baseline.latencies_ms[workload]) / statistics.median(ordered)
            workloads[workload]["times_faster"] = speedup
    results: dict[str, Any] = {"load_s": measured.load_s, "versions": measured.versions, "workloads": workloads}
    if baseline is not None:
        pairs = list(zip(measured.scores, baseline.scores, strict=True))
        results["same_label"] = statistics.mean(_best(row) == _best(other) for row, other in pairs)
        results["max_score_difference"] = max(
            abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)
        )
    return results


def _best(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)


def _cell(figures: Mapping[str, float]) -> str:
    ratio = f" **{figures['times_faster']:.1f}x**" if "times_faster" in figures else ""
    return f"{figures['median_ms']:.2f} ({figures['p95_ms']:.2f}){ratio}"
