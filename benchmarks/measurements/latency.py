"""`python -m benchmarks latency`: latency from text to scores, for Litmus and the alternatives.

It runs on texts of the checkpoint's test split or of any file, one at a time and in batches, and on texts of fixed
lengths. After the last round every contender scores the whole test split. It also measures what `predict` adds to its
own tokenizer and session (`overhead`).

    python -m benchmarks latency --model build/artifact --checkpoint build/checkpoint --output build/latency.json \
        --contenders pytorch-fp32 pipeline optimum-int8 optimum-int8-pipeline litmus-fp32 litmus litmus-control \
        --texts_file banking77/test.csv --text_column text --texts 200
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from runtime import Classifier, load
from runtime.engine.cpus import available_cpus
from training.arrays import Integers
from training.data.dataset import LabelledData
from training.data.record import read_record, training_data
from training.decisions.learning import Decisions, decide
from training.decisions.metrics import agreement, quality

from ..data.sized_texts import SizedTexts
from ..data.texts_file import TextsFile, check_labels
from ..harness import isolated
from ..harness.catalog import BASELINE, CONTENDERS, CONTROL, LITMUS, OPTIMUM_PIPELINE, PIPELINE
from ..harness.machine import machine
from ..harness.runner import Batch, Measured, run_interleaved
from . import overhead

REPEATS = 5
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
    batch_sizes: Sequence[int],
    lengths: Sequence[int],
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
        batch_sizes: Real texts per batch; 1 is always measured.
        lengths: Tokens of the texts of fixed lengths; those that are longer than the model reads are truncated.
        texts_file: Where to take real texts from; None for the test split. The workloads are named after the file.

    Raises:
        DataError: The checkpoint's data set or the file cannot be read.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
        BenchmarkError: The process that measures the overhead failed.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    real = list(data.test.texts[:texts]) if texts_file is None else texts_file.sample(texts)
    classifier = load(model, provider="cpu")
    check_labels(classifier, data, model)
    workloads = _real_texts(real, batch_sizes, texts_file) | _fixed_lengths(classifier, lengths)
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
        scored=data.test.texts,
    )
    sizes = {name: len(batches[0]) for name, batches in workloads.items()}
    decided = _decided(measured, data, Decisions.from_record(read_record(checkpoint)))
    return {
        "kind": "latency",
        "machine": machine(threads),
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rounds": rounds,
            "texts": len(real),
            "texts_file": None if texts_file is None else texts_file.path,
            "rows": len(data.test.texts),
        },
        "variant": classifier.variant,
        "results": {
            name: _costs(result, measured.get(BASELINE), sizes) | _quality(name, measured, decided, data)
            for name, result in measured.items()
        },
        "litmus_speedup": {name: _ratios(measured, name, LITMUS) for name in RIVALS if {name, LITMUS} <= set(measured)},
        "control": _ratios(measured, CONTROL, LITMUS),
        "overhead": extra,
        "failures": failures,
    }


def _real_texts(
    texts: Sequence[str], batch_sizes: Sequence[int], texts_file: TextsFile | None
) -> dict[str, list[Batch]]:
    """Builds workloads of the same real texts, in their order: one at a time first, then in full batches.

    The last batch of a size starts over at the first text, so that all batches of a workload have the same size.
    """
    workloads = {REAL if texts_file is None else f"{REAL} of {texts_file.name}": [[text] for text in texts]}
    for size in sorted(set(batch_sizes) - {1}):
        stream = islice(cycle(texts), math.ceil(len(texts) / size) * size)
        name = f"batches of {size} " + ("test texts" if texts_file is None else f"texts of {texts_file.name}")
        workloads[name] = [list(batch) for batch in zip(*[stream] * size, strict=True)]
    return workloads


def _fixed_lengths(classifier: Classifier, lengths: Sequence[int]) -> dict[str, list[Batch]]:
    """Builds workloads of texts of an exact number of tokens, no longer than the model reads."""
    sized = SizedTexts.of(classifier)
    found = sorted({min(max(length, sized.shortest), sized.longest) for length in lengths})
    return {f"{length} tokens": [[sized.text(length)]] * REPEATS for length in found}


def _median_ms(measured: Measured, workload: str) -> float:
    return statistics.median(chain.from_iterable(measured.latencies_ms[workload]))


def _ratios(measured: Mapping[str, Measured], name: str, other: str) -> dict[str, float]:
    """Returns the ratio of two contenders' median latencies, by workload; empty if one has no results."""
    if not {name, other} <= set(measured):
        return {}
    workloads = measured[other].latencies_ms
    return {key: _median_ms(measured[name], key) / _median_ms(measured[other], key) for key in workloads}


def _costs(measured: Measured, baseline: Measured | None, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Returns a contender's start, memory and latencies.

    Args:
        measured: Its results.
        baseline: Those of the contender that it is compared with.
        sizes: Texts per batch by workload.
    """
    workloads: dict[str, dict[str, Any]] = {}
    for workload, rounds in measured.latencies_ms.items():
        ordered = sorted(chain.from_iterable(rounds))
        workloads[workload] = {
            "texts": sizes[workload],
            "median_ms": statistics.median(ordered),
            "p95_ms": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
            "p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
            "texts_per_s": statistics.median(1000 * sizes[workload] / statistics.mean(batches) for batches in rounds),
            "runs": len(ordered),
            "rounds_ms": [[float(f"{latency_ms:.4g}") for latency_ms in batches] for batches in rounds],
        }
        if baseline is not None:
            workloads[workload]["speedup"] = _median_ms(baseline, workload) / workloads[workload]["median_ms"]
    return {
        "prepare_s": measured.prepare_s,
        "start_s": measured.start_s,
        "memory_mb": measured.memory_mb,
        "versions": measured.versions,
        "workloads": workloads,
    }


def _decided(measured: Mapping[str, Measured], data: LabelledData, decisions: Decisions) -> dict[str, Integers]:
    """Returns every contender's predicted labels on the test split.

    The scores become logits again, because the checkpoint's temperature divides logits. The softmax of single-label
    scores is not undone: it changes neither the order of a row's scores nor, with it, the predicted label.
    """
    return {
        name: decide(logit(np.array(result.scores)).astype(np.float32), data.task, decisions)
        for name, result in measured.items()
    }


def _quality(
    name: str, measured: Mapping[str, Measured], decided: Mapping[str, Integers], data: LabelledData
) -> dict[str, Any]:
    """Returns a contender's metrics on the test split and how far it agrees with PyTorch."""
    found: dict[str, Any] = {"figures": quality(decided[name], data.test.targets, data.task)}
    if BASELINE in measured:
        difference = np.array(measured[name].scores) - np.array(measured[BASELINE].scores)
        found["label_agreement"] = agreement(decided[name], decided[BASELINE])
        found["max_score_difference"] = float(np.abs(difference).max())
    return found
