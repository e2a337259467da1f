"""`python -m benchmarks throughput`: texts per second.

It runs the checkpoint's test split, with its real lengths and in the order of the file, in four ways:

- `padded`: batches of 32 in the given order, each padded to its longest text, as most services do. It uses the loaded
  classifier's own session and stops at the logits, whereas the other ways go on to predictions.
- `litmus`: `predict_many`.
- `litmus-stream`: `predict_iter`.
- `pipeline`: the transformers pipeline with `batch_size=32`, in PyTorch fp32, in its own process.

    python -m benchmarks throughput --model build/artifact --checkpoint build/checkpoint --output build/throughput.json
"""

import contextlib
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import Classifier, Prediction, load
from runtime.engine.cpus import available_cpus
from training.data.record import training_data

from ..data.texts_file import check_labels
from ..harness.catalog import CONTENDERS, LITMUS, PIPELINE
from ..harness.machine import machine
from ..harness.protocol import LoadRequest
from ..harness.runner import Batch, Contender, ContenderError, log_progress, shuffled

BATCH = 32
PADDED = "padded"
STREAM = "litmus-stream"


def measure(model: str, checkpoint: str, *, rounds: int, texts: int | None, threads: int | None) -> dict[str, Any]:
    """Measures the four ways in interleaved rounds.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.
        rounds: How often each way runs all texts, taking turns.
        texts: How many texts of the test split to run; None, or more than there are, for all.
        threads: Threads of each way; None for all CPUs of this process.

    Returns:
        The report, ready for JSON: machine, settings, speed and logits of each way, failures.

    Raises:
        DataError: The checkpoint's data set cannot be read.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    classifier = load(model, provider="cpu", threads=threads)
    check_labels(classifier, data, model)
    rows = list(data.test.texts[:texts])
    predictions = classifier.predict_many(rows, with_logits=True)
    tokens = [prediction.n_tokens for prediction in predictions]
    seconds, failures = _measure_seconds(classifier, rows, model, str(Path(checkpoint).resolve()), threads, rounds)
    results = _speeds(seconds, len(rows), sum(tokens))
    expected = np.concatenate([classifier.logits(batch) for batch in _batches(rows)])
    streamed = classifier.predict_iter(rows, with_logits=True)
    for name, found in ((LITMUS, _logits(predictions)), (STREAM, _logits(streamed))):
        difference = float(np.abs(found - expected).max())
        results[name] |= {"same_logits": difference == 0, "max_logit_difference": difference}
        if difference and _promises_same_logits(classifier):
            failures[name] = (
                f"{name}: static int8 must give the logits of `{PADDED}`, but they differ by up to {difference:.1e}"
            )
    return {
        "kind": "throughput",
        "machine": machine(threads),
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rounds": rounds,
            "batch": BATCH,
            "texts": len(rows),
            "texts_asked": texts,
            "texts_held_out": len(data.test.texts),
            "tokens": sum(tokens),
            "padding": _padding(tokens),
        },
        "variant": classifier.variant,
        "results": results,
        "failures": failures,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    info, settings = report["machine"], report["settings"]
    asked, texts = settings["texts_asked"], settings["texts"]
    fewer = "" if asked is None or asked <= texts else f" ({asked} were requested)"
    lines = [
        f"Throughput on {texts} texts of the test split{fewer}, {settings['tokens']} tokens, in the order of the file, "
        f"{report['variant']} variant. The speedup is over `{PADDED}`: batches of {settings['batch']} padded to their "
        f"longest text, which makes {settings['padding']:.0%} of their tokens padding.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}, torch {info['versions']['torch']}; "
        f"medians of {settings['rounds']} interleaved rounds.",
        "",
        f"| contender | texts per s | tokens per s | speedup | logits, compared with {PADDED} |",
        "|---|---|---|---|---|",
    ]
    for name, result in report["results"].items():
        difference = result.get("max_logit_difference")
        logits = "" if difference is None else "bit-identical" if result["same_logits"] else f"up to {difference:.1e}"
        lines.append(
            f"| {name} | {result['texts_per_s']:.1f} | {result['tokens_per_s']:.0f} | "
            f"**{result['speedup']:.2f}x** | {logits} |"
        )
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _measure_seconds(
    classifier: Classifier, texts: list[str], model: str, checkpoint: str, threads: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Times the four ways; returns seconds by name, and the reason for each way that has none."""
    batches = _batches(texts)
    ours: dict[str, Callable[[], Any]] = {
        PADDED: lambda: [classifier.logits(batch) for batch in batches],
        LITMUS: lambda: classifier.predict_many(texts),
        STREAM: lambda: list(classifier.predict_iter(texts)),
    }
    passes = {name: functools.partial(_seconds, work) for name, work in ours.items()}
    with tempfile.TemporaryDirectory() as work_dir, Contender(PIPELINE, CONTENDERS[PIPELINE], threads) as pipeline:
        log_progress(f"loading {PIPELINE} ...")
        with contextlib.suppress(ContenderError):  # its first turn reports the failure
            pipeline.load(LoadRequest(model, checkpoint, threads, "", [], work_dir))
        return _take_turns(passes | {PIPELINE: lambda: sum(pipeline.time(batches)) / 1000}, rounds)


def _take_turns(
    passes: Mapping[str, Callable[[], float]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Runs every pass once to warm up, then once in every round.

    Returns:
        Seconds by name, and the reason for each pass that has none.
    """
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    failures: dict[str, str] = {}
    for turn in range(rounds + 1):
        log_progress(f"round {turn} of {rounds}" if turn else "warming up ...")
        for name in shuffled(seconds, str(turn)):
            try:
                elapsed_s = passes[name]()
            except ContenderError as error:
                failures[name] = str(error)
                del seconds[name]
                continue
            if turn:
                seconds[name].append(elapsed_s)
    return seconds, failures


def _speeds(seconds: Mapping[str, Sequence[float]], texts: int, tokens: int) -> dict[str, dict[str, Any]]:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        name: {
            "median_s": median,
            "runs": len(seconds[name]),
            "texts_per_s": texts / median,
            "tokens_per_s": tokens / median,
            "speedup": medians[PADDED] / median,
        }
        for name, median in medians.items()
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _batches(texts: Sequence[str]) -> list[Batch]:
    return [list(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]


def _logits(predictions: Iterable[Prediction]) -> npt.NDArray[np.float32]:
    """Returns (texts, labels) float32. The predictions hold Python floats, which represent every float32 exactly."""
    return np.array([prediction.logits for prediction in predictions], np.float32)


def _promises_same_logits(classifier: Classifier) -> bool:
    """Returns whether a text's logits must not depend on the rest of its batch, as with static int8."""
    quantization = next(item.quantization for item in classifier.manifest.variants if item.name == classifier.variant)
    return (quantization or {}).get("method") == "static"


def _padding(tokens: Sequence[int]) -> float:
    """Returns the fraction of padding among the tokens of the padded batches."""
    batches = [tokens[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
    return 1 - sum(tokens) / sum(len(batch) * max(batch) for batch in batches)
