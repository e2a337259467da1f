"""`python -m benchmarks throughput --model ARTIFACT --checkpoint CHECKPOINT [--texts N] [--rounds N] [--threads N]`.

How many of the checkpoint's held-out texts per second, ragged as they are, in the order of the file:

- `padded`: what most services do, batches of 32 in the given order, each padded to its longest text. The very session
  of the loaded classifier runs them, and it may stop at the logits, where the others go on to predictions.
- `litmus`: `predict_many`. `litmus-stream`: `predict_iter`.
- `pipeline`: the transformers pipeline with batch_size=32, PyTorch fp32, in its own process.

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
from ..harness.catalog import CONTENDERS
from ..harness.machine import machine
from ..harness.protocol import LoadRequest
from ..harness.runner import Contender, ContenderError, log_progress, rotated

BATCH = 32
PADDED = "padded"
PIPELINE = "pipeline"


def measure(model: str, checkpoint: str, *, rounds: int, texts: int | None, threads: int | None) -> dict[str, Any]:
    """Measures all of them, rounds interleaved.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.
        rounds: How often each goes through the texts, taking turns.
        texts: How many texts of the test part; None for all of them, and there are never more.
        threads: For each; None for all CPUs of this process.

    Returns:
        The report, ready for JSON: machine, settings, speed and logits of each, failures.

    Raises:
        DataError: The checkpoint's data set cannot be read again.
        ArtifactError: The artifact cannot be loaded, or has other labels than the data set.
    """
    threads = threads or available_cpus()
    data = training_data(checkpoint)
    classifier = load(model, provider="cpu", threads=threads)
    check_labels(classifier, data, model)
    rows = list(data.test.texts[:texts])
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    ours: dict[str, Callable[[], Any]] = {
        PADDED: lambda: [classifier.logits(batch) for batch in batches],
        "litmus": lambda: classifier.predict_many(rows),
        "litmus-stream": lambda: list(classifier.predict_iter(rows)),
    }
    predictions = classifier.predict_many(rows, with_logits=True)
    expected = np.concatenate(ours[PADDED]())
    differences = {
        "litmus": float(np.abs(_logits(predictions) - expected).max()),
        "litmus-stream": float(np.abs(_logits(classifier.predict_iter(rows, with_logits=True)) - expected).max()),
    }
    with tempfile.TemporaryDirectory() as work_dir, Contender(PIPELINE, CONTENDERS[PIPELINE], threads) as pipeline:
        log_progress(f"loading {PIPELINE} ...")
        with contextlib.suppress(ContenderError):  # its first turn tells
            pipeline.load(LoadRequest(model, str(Path(checkpoint).resolve()), threads, "", [], work_dir))
        passes = {name: functools.partial(_seconds, work) for name, work in ours.items()}
        seconds, failures = _take_turns(passes | {PIPELINE: lambda: sum(pipeline.time(batches)) / 1000}, rounds)
    tokens = [prediction.n_tokens for prediction in predictions]
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    results: dict[str, dict[str, Any]] = {
        name: {
            "median_s": median,
            "runs": len(seconds[name]),
            "texts_per_s": len(rows) / median,
            "tokens_per_s": sum(tokens) / median,
            "times_faster": medians[PADDED] / median,
        }
        for name, median in medians.items()
    }
    for name, difference in differences.items():
        results[name] |= {"same_logits": difference == 0, "max_logit_difference": difference}
        if difference and _promises_same_logits(classifier):
            failures[name] = f"{name}: int8 with fixed scales, yet other logits than {PADDED}, by {difference:.1e}"
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
    short = "" if asked is None or asked <= texts else f" ({asked} were asked for, there are no more)"
    lines = [
        f"Throughput on {texts} held-out texts{short} of {settings['tokens']} tokens in the order of the file, "
        f"{report['variant']}; how many times faster than `{PADDED}`: batches of {settings['batch']}, "
        f"of which {settings['padding']:.0%} is padding.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}, torch {info['versions']['torch']}; "
        f"medians of {settings['rounds']} interleaved rounds.",
        "",
        f"| contender | texts per s | tokens per s | times faster | logits, beside {PADDED} |",
        "|---|---|---|---|---|",
    ]
    for name, result in report["results"].items():
        difference = result.get("max_logit_difference")
        logits = "" if difference is None else "the same bits" if result["same_logits"] else f"up to {difference:.1e}"
        lines.append(
            f"| {name} | {result['texts_per_s']:.1f} | {result['tokens_per_s']:.0f} | "
            f"**{result['times_faster']:.2f}x** | {logits} |"
        )
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _take_turns(
    passes: Mapping[str, Callable[[], float]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Runs every pass in every round, after one that only warms up.

    Returns:
        Seconds by name, and the reason for each that has none.
    """
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    failures: dict[str, str] = {}
    for turn in range(rounds + 1):
        log_progress(f"round {turn} of {rounds}" if turn else "warming up ...")
        for name in rotated(list(seconds), turn):
            try:
                elapsed_s = passes[name]()
            except ContenderError as error:
                failures[name] = str(error)
                del seconds[name]
                continue
            if turn:
                seconds[name].append(elapsed_s)
    return seconds, failures


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _logits(predictions: Iterable[Prediction]) -> npt.NDArray[np.float32]:
    """Returns them as they were before they became Python's floats, which hold every float32."""
    return np.array([prediction.logits for prediction in predictions], np.float32)


def _promises_same_logits(classifier: Classifier) -> bool:
    """Tells whether a text's logits may not depend on the others in its batch: int8 with fixed scales."""
    quantization = next(item.quantization for item in classifier.manifest.variants if item.name == classifier.variant)
    return (quantization or {}).get("method") == "static"


def _padding(tokens: Sequence[int]) -> float:
    """Returns which share of the tokens of the padded batches is padding."""
    batches = [tokens[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
    return 1 - sum(tokens) / sum(len(batch) * max(batch) for batch in batches)
