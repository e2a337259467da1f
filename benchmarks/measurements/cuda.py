"""`python -m benchmarks cuda`: every check of a GPU in one command, in less than 9 minutes.

It verifies the artifact on CUDA, measures its variants against PyTorch in eager mode, with `torch.compile` and with
CUDA graphs, the gain of IO binding, and the size of batches. It needs onnxruntime-gpu and a torch with CUDA.

    python -m benchmarks cuda --model build/artifact --checkpoint build/checkpoint --output build/cuda.json
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runtime import load
from runtime.engine.cuda import run_bound
from runtime.engine.inference_session import OUTPUT
from runtime.engine.ort import onnxruntime
from runtime.engine.providers import PROVIDERS
from runtime.verify import verify
from training.data.record import training_data

from ..data.sized_texts import SizedTexts
from ..errors import BenchmarkError
from ..harness import isolated
from ..harness.catalog import ContenderSpec
from ..harness.machine import machine
from ..harness.runner import Batch, log_progress, run_interleaved
from . import tuning

SHAPES = ((1, 32), (1, 128), (1, 512), (8, 128), (64, 128))
REPEATS = 10
BOUND_CALLS = 300
BOUND_TOKENS = 128
BATCH_SECONDS = 30.0
DEVICE = "cuda"  # the tests use the CPU


def measure(model: str, checkpoint: str, *, rounds: int) -> dict[str, Any]:
    """Runs every check.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from.
        rounds: How often every contender runs every workload, taking turns.

    Returns:
        The report, ready for JSON: machine, verification, latencies, IO binding, batch sizes, failures.

    Raises:
        BenchmarkError: There is no GPU that both onnxruntime and torch can use.
        ArtifactError: The artifact cannot be loaded.
        DataError: The checkpoint's data set cannot be read.
    """
    _check_device()
    path, texts = str(Path(model).resolve()), training_data(checkpoint).test.texts
    log_progress("verifying ...")
    outcomes = [str(outcome) for outcome in verify(model, provider=DEVICE).outcomes]  # type: ignore[arg-type]
    with load(model, provider=DEVICE) as classifier:  # type: ignore[arg-type]
        variant, sized = classifier.variant, SizedTexts.of(classifier)
        names = [item.name for item in classifier.manifest.variants if PROVIDERS[DEVICE] in item.providers]
    measured, failures = run_interleaved(
        _contenders(names),
        _workloads(sized),
        rounds=rounds,
        model=path,
        checkpoint=str(Path(checkpoint).resolve()),
        threads=1,
        calibration=[],
    )
    log_progress("IO binding ...")
    binding, _ = isolated.run_in_subprocess(io_binding, model=path, device=DEVICE, text=sized.text(BOUND_TOKENS))
    log_progress("batch sizes ...")
    sizes = tuning.batch_sizes({"provider": DEVICE, "threads": 1, "profile": "latency"})
    batches = tuning.take_turns(path, sizes, [list(texts)], BATCH_SECONDS, failures)
    return {
        "kind": "cuda",
        "machine": machine(1) | {"gpu": torch.cuda.get_device_name() if DEVICE == "cuda" else None},
        "settings": {"model": model, "checkpoint": checkpoint, "rounds": rounds},
        "variant": variant,
        "verify": outcomes,
        "results": {
            name: {
                "versions": result.versions,
                "start_s": result.start_s,
                "median_ms": {
                    key: statistics.median(ms for times in turns for ms in times)
                    for key, turns in result.latencies_ms.items()
                },
            }
            for name, result in measured.items()
        },
        "io_binding": binding,
        "batch_tokens": tuning.figures(batches),
        "failures": failures,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a page of Markdown."""
    info, results = report["machine"], report["results"]
    workloads = list(next(iter(results.values()))["median_ms"]) if results else []
    ours = results.get(f"litmus-{report['variant']}", {}).get("median_ms", {})
    lines = [
        f"{info['gpu']}; {info['cpu']}; onnxruntime {info['versions']['onnxruntime']}, "
        f"torch {info['versions']['torch']}; {report['settings']['rounds']} interleaved rounds.",
        "",
        *(f"- {outcome}" for outcome in report["verify"]),
        "",
        f"Latency from text to scores: median in ms, and the speedup of litmus-{report['variant']} over it.",
        "",
        f"| contender | {' | '.join(workloads)} |",
        "|---" * (len(workloads) + 1) + "|",
    ]
    for name, result in results.items():
        medians = result["median_ms"]
        cells = [f"{medians[key]:.2f}" + (f" **{medians[key] / ours[key]:.2f}x**" if ours else "") for key in workloads]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    bound = report["io_binding"]
    lines += [
        "",
        f"IO binding, {bound['tokens']} tokens: {bound['bound_us']:.0f} us, without it {bound['plain_us']:.0f} us.",
        "",
        "| batch_tokens | ms per text | speedup |",
        "|---|---|---|",
    ]
    for row in report["batch_tokens"]:
        lines.append(f"| {row['options']['batch_tokens']} | {row['ms_per_text']:.3f} | {row['speedup']:.2f}x |")
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def io_binding(model: str, device: str, text: str) -> dict[str, float]:
    """Times one text with IO binding and without, alternating, in a process of its own.

    Args:
        model: Artifact folder.
        device: The provider.
        text: The text.

    Returns:
        Tokens of the text, and medians in microseconds.
    """
    classifier = load(model, provider=device)  # type: ignore[arg-type]
    inputs = classifier._tokenizer.pad([classifier._tokenizer.encode(text)])  # noqa: SLF001 - what `predict` runs
    session = classifier._session._session  # noqa: SLF001 - as above
    assert session is not None, "the classifier is open"
    inputs = {node.name: inputs[node.name] for node in session.get_inputs()}
    ways: dict[str, Callable[[], object]] = {
        "plain_us": lambda: session.run([OUTPUT], inputs),
        "bound_us": lambda: run_bound(session, inputs, OUTPUT),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(BOUND_CALLS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) * 1e6 for name, seconds in times.items()}
    return {"tokens": len(inputs["input_ids"][0]), **medians}


def _check_device() -> None:
    present = onnxruntime.get_available_providers()
    if PROVIDERS[DEVICE] not in present:
        raise BenchmarkError(
            f"this onnxruntime has {', '.join(present)}: pip uninstall onnxruntime and pip install onnxruntime-gpu"
        )
    if DEVICE == "cuda" and not torch.cuda.is_available():
        raise BenchmarkError(f"torch {torch.__version__} finds no GPU; install a build with CUDA and its driver")


def _contenders(variants: Sequence[str]) -> dict[str, ContenderSpec]:
    """Returns Litmus in every variant for the GPU, and PyTorch in eager mode, compiled, and with CUDA graphs."""
    half = "float16" if DEVICE == "cuda" else "bfloat16"
    options = {name: json.dumps({"provider": DEVICE, "variant": name, "threads": 1}) for name in variants}
    ours = {f"litmus-{name}": ContenderSpec("benchmarks.contenders.tuned", option) for name, option in options.items()}
    theirs = {
        "pytorch-fp32": f"float32 {DEVICE}",
        "pytorch-fp16": f"{half} {DEVICE}",
        "pytorch-bf16": f"bfloat16 {DEVICE}",
        "pytorch-fp16-compile": f"{half} {DEVICE} compile",
        "pytorch-fp16-cuda-graphs": f"{half} {DEVICE} cuda-graphs",
    }
    return ours | {name: ContenderSpec("benchmarks.contenders.pytorch", option) for name, option in theirs.items()}


def _workloads(sized: SizedTexts) -> dict[str, list[Batch]]:
    """Builds batches of texts of one length, no longer than the model reads."""
    shapes = dict.fromkeys((rows, min(length, sized.longest)) for rows, length in SHAPES)
    return {f"{rows} x {length}": [[sized.text(length)] * rows] * REPEATS for rows, length in shapes}
