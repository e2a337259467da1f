"""`python -m benchmarks latency`: latency from text to scores, for Litmus and the alternatives.

It runs on texts of the checkpoint's test split or of any file, and on texts of fixed lengths. It also measures what
`predict` adds to its own tokenizer and session (`overhead`).

    python -m benchmarks latency --model build/artifact --checkpoint build/checkpoint --output build/latency.json \
        --contenders pytorch-fp32 pipeline optimum-int8 optimum-int8-pipeline litmus-fp32 litmus \
        --texts_file banking77/test.csv --text_column text --texts 200
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import Classifier, load
from runtime.engine.cpus import available_cpus
from training.data.dataset import LabelledData
from training.data.record import training_data

from ..data.sized_texts import SizedTexts
from ..data.texts_file import TextsFile, check_labels
from ..harness import isolated
from ..harness.catalog import BASELINE, CONTENDERS, LITMUS, OPTIMUM_PIPELINE, PIPELINE
from ..harness.machine import machine
from ..harness.runner import Batch, Measured, run_interleaved
from . import overhead

LENGTHS = (8, 32, 128, 256, 512)
BATCH = 8
BATCH_LENGTH = 128
REPEATS = 10
CALIBRATION_TEXTS = 128
REAL = "real texts"
RIVALS = (PIPELINE, OPTIMUM_PIPELINE)  # the report gives the speedup of `litmus` over these as well


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
    """Measures contenders on real texts and on texts of fixed lengths; returns the report, ready for JSON.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.
        contenders: Contenders of the catalog.
        rounds: Interleaved rounds.
        texts: How many real texts to run; all of them if there are fewer.
        threads: Threads of every contender; None for all CPUs of this process.
        texts_file: Where to take real texts from; None for the test split. The workload is named after the file.

    Raises:
        DataError: The checkpoint's data set or the file cannot be read.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
        BenchmarkError: The process that measures the overhead failed.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    real = _real_texts(data, texts_file, texts)
    classifier = load(model, provider="cpu")
    check_labels(classifier, data, model)
    workloads = real | _fixed_lengths(classifier)
    model_path = str(Path(model).resolve())  # the contenders run in another folder
    extra, _ = isolated.run_in_subprocess(overhead.measure, model=model_path, threads=threads)
    measured, failures = run_interleaved(
        {name: CONTENDERS[name] for name in contenders},
        workloads,
        rounds=rounds,
        model=model_path,
        checkpoint=str(Path(checkpoint).resolve()),
        threads=threads,
        calibration=data.train.texts[:CALIBRATION_TEXTS],
    )
    return {
        "kind": "latency",
        "machine": machine(threads),
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rounds": rounds,
            "texts": sum(map(len, real.values())),
            "texts_file": None if texts_file is None else texts_file.path,
        },
        "variant": classifier.variant,
        "results": {name: _results(result, measured.get(BASELINE)) for name, result in measured.items()},
        "litmus_speedup": {name: _speedups(measured, name) for name in RIVALS if {name, LITMUS} <= set(measured)},
        "overhead": extra,
        "failures": failures,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table: median and p95 in ms, and the speedup over the baseline."""
    info = report["machine"]
    results = report["results"]
    workloads = list(next(iter(results.values()))["workloads"]) if results else []
    lines = [
        f"Latency from text to scores: median (p95) in ms, and speedup over {BASELINE}.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}, torch {info['versions']['torch']}; "
        f"{report['settings']['rounds']} interleaved rounds, one process per contender.",
        "",
        "| contender | " + " | ".join(workloads) + " | label agreement | load, s |",
        "|---" * (len(workloads) + 3) + "|",
    ]
    for name, result in results.items():
        cells = [_cell(result["workloads"][workload]) for workload in workloads]
        agreement = f"{result['label_agreement']:.1%}" if "label_agreement" in result else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {agreement} | {result['load_s']:.1f} |")
    for name, speedups in report["litmus_speedup"].items():
        ratios = "; ".join(f"{workload} {ratio:.2f}" for workload, ratio in speedups.items())
        lines.append(f"\nSpeedup of `{LITMUS}` over {name}: {ratios}.")
    extra = report["overhead"]
    lines.append(
        f"\n`predict` adds {extra['overhead_us']:.0f} us to its tokenizer and session called directly: "
        f"{extra['predict_us']:.0f} us instead of {extra['bare_us']:.0f} us for {extra['tokens']} tokens (medians of "
        f"{extra['calls']} calls each, in random order, in one process)."
    )
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _real_texts(data: LabelledData, texts_file: TextsFile | None, count: int) -> dict[str, list[Batch]]:
    """Returns a workload of single texts from the test split, or from a file after which it is named."""
    if texts_file is None:
        return {REAL: [[text] for text in data.test.texts[:count]]}
    return {f"{REAL} of {texts_file.name}": [[text] for text in texts_file.sample(count)]}


def _fixed_lengths(classifier: Classifier) -> dict[str, list[Batch]]:
    """Builds workloads of texts of an exact number of tokens, no longer than the model reads."""
    sized = SizedTexts.of(classifier)
    lengths = sorted({min(length, sized.longest) for length in LENGTHS})
    workloads: dict[str, list[Batch]] = {f"{length} tokens": [[sized.text(length)]] * REPEATS for length in lengths}
    batch_length = min(BATCH_LENGTH, sized.longest)
    workloads[f"{BATCH} x {batch_length}"] = [[sized.text(batch_length)] * BATCH] * REPEATS
    return workloads


def _speedups(measured: Mapping[str, Measured], name: str) -> dict[str, float]:
    """Returns the speedup of Litmus over another contender, by workload."""
    ours, others = measured[LITMUS].latencies_ms, measured[name].latencies_ms
    return {workload: statistics.median(others[workload]) / statistics.median(ours[workload]) for workload in ours}


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
            workloads[workload]["speedup"] = speedup
    results: dict[str, Any] = {"load_s": measured.load_s, "versions": measured.versions, "workloads": workloads}
    if baseline is not None:
        pairs = list(zip(measured.scores, baseline.scores, strict=True))
        results["label_agreement"] = statistics.mean(_best(row) == _best(other) for row, other in pairs)
        results["max_score_difference"] = max(
            abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)
        )
    return results


def _best(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)


def _cell(figures: Mapping[str, float]) -> str:
    speedup = f" **{figures['speedup']:.1f}x**" if "speedup" in figures else ""
    return f"{figures['median_ms']:.2f} ({figures['p95_ms']:.2f}){speedup}"
