"""`python -m benchmarks latency`: how long from text to scores, for Litmus and the alternatives.

On texts of the checkpoint's held-out part, or of any file; on fixed lengths; and what `predict` adds to the bare
minimum (`overhead`).

    python -m benchmarks latency --model build/artifact --checkpoint build/checkpoint --output build/latency.json \
        --contenders pytorch-fp32 pipeline optimum-int8 optimum-int8-pipeline litmus-fp32 litmus \
        --texts_file banking77/test.csv --text_column text --texts 200
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime import Classifier, load
from runtime.artifact.manifest import Manifest
from runtime.engine.cpus import available_cpus
from training.data.record import training_data

from ..data.sized_texts import SizedTexts
from ..data.texts_file import TextsFile, check_labels
from ..harness import isolated
from ..harness.catalog import BASELINE
from ..harness.machine import machine
from ..harness.runner import Batch, Measured, run_interleaved
from . import overhead

LENGTHS = (32, 128, 512)
BATCH = 8
BATCH_LENGTH = 128
REPEATS = 10
CALIBRATION_TEXTS = 128
REAL = "real texts"
LITMUS = "litmus"
PIPELINES = ("pipeline", "optimum-int8-pipeline")  # what `litmus` is compared with below the table


def measure(
    model: str,
    checkpoint: str,
    contenders: Sequence[str],
    *,
    rounds: int,
    texts: int,
    threads: int | None,
    texts_file: TextsFile | None = None,
) -> dict[str, Any]:
    """Measures the contenders on real texts and on fixed lengths.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.
        contenders: Names from the catalog.
        rounds: Interleaved rounds.
        texts: How many texts of the test part, or of the file, make up the real workload; there may be fewer.
        threads: For every contender; None for all CPUs of this process.
        texts_file: Where to take real texts from instead of the test part; the workload is then named after it.

    Returns:
        The report, ready for JSON: machine, settings, results per contender and workload, agreement, how many times
        faster `litmus` is than the pipelines, what `predict` adds to the bare minimum, failures.

    Raises:
        DataError: The checkpoint's data set cannot be read again, or the file not at all.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
        BenchmarkError: The process that measures the overhead failed.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    name, real = (
        (REAL, data.test.texts[:texts])
        if texts_file is None
        else (f"{REAL} of {texts_file.name}", texts_file.sample(texts))
    )
    workloads: dict[str, list[Batch]] = {name: [[text] for text in real]}
    classifier = load(model, provider="cpu")
    check_labels(classifier, data, model)
    workloads |= _fixed_lengths(classifier)
    where = str(Path(model).resolve())  # other processes run in another folder
    extra, _ = isolated.run_in_subprocess(overhead.measure, model=where, threads=threads)
    measured, failures = run_interleaved(
        contenders,
        workloads,
        rounds=rounds,
        model=where,
        checkpoint=str(Path(checkpoint).resolve()),
        threads=threads,
        calibration=data.train.texts[:CALIBRATION_TEXTS],
    )
    measured = {
        name: dataclasses.replace(result, scores=_without_temperature(result.scores, classifier.manifest))
        if name.startswith(LITMUS)
        else result
        for name, result in measured.items()
    }
    return {
        "kind": "latency",
        "machine": machine(threads),
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rounds": rounds,
            "texts": len(real),
            "texts_file": None if texts_file is None else texts_file.path,
        },
        "results": {name: _results(result, measured.get(BASELINE)) for name, result in measured.items()},
        "litmus_times_faster": {name: _ratios(measured, name) for name in PIPELINES if {name, LITMUS} <= set(measured)},
        "overhead": extra,
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
    for name, ratios in report["litmus_times_faster"].items():
        speedups = "; ".join(f"{workload} {ratio:.2f}" for workload, ratio in ratios.items())
        lines.append(f"\nHow many times faster `{LITMUS}` is than {name}: {speedups}.")
    extra = report["overhead"]
    lines.append(
        f"\n`predict` adds {extra['overhead_us']:.0f} us to tokenizer, NumPy and session alone, the same objects: "
        f"{extra['predict_us']:.0f} against {extra['bare_us']:.0f} us for {extra['tokens']} tokens, medians of "
        f"{extra['calls']} calls each, in random order, in one process."
    )
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _fixed_lengths(classifier: Classifier) -> dict[str, list[Batch]]:
    """Makes texts of exactly so many tokens, as far as the model reads them."""
    sized = SizedTexts.of(classifier)
    lengths = sorted({min(length, sized.longest) for length in LENGTHS})
    workloads: dict[str, list[Batch]] = {f"{length} tokens": [[sized.text(length)]] * REPEATS for length in lengths}
    batch_length = min(BATCH_LENGTH, sized.longest)
    workloads[f"{BATCH} x {batch_length}"] = [[sized.text(batch_length)] * BATCH] * REPEATS
    return workloads


def _ratios(measured: Mapping[str, Measured], name: str) -> dict[str, float]:
    """Returns how many times faster Litmus is than another contender, by workload."""
    ours, others = measured[LITMUS].latencies_ms, measured[name].latencies_ms
    return {workload: statistics.median(others[workload]) / statistics.median(ours[workload]) for workload in ours}


def _without_temperature(scores: Sequence[Sequence[float]], manifest: Manifest) -> list[list[float]]:
    """Takes the artifact's temperature out of scores, because PyTorch and the peers know none."""
    found = np.array(scores, np.float64)
    powers, rest = found**manifest.temperature, (1 - found) ** manifest.temperature
    whole = powers.sum(axis=1, keepdims=True) if manifest.task == "single_label" else powers + rest
    return [[float(score) for score in row] for row in powers / whole]


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
