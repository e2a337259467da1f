"""`python -m benchmarks roofline`: how close the artifact comes to the arithmetic that this CPU can do.

The ceiling of a precision is the fastest matrix product of a transformer's shapes, with PyTorch or with onnxruntime.
The arithmetic of a text is counted from the shapes that onnxruntime's profile reports for the operators that ran. An
operation is one multiplication or one addition.

    python -m benchmarks roofline --model build/artifact --output build/roofline.json
"""

import functools
import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from runtime import Classifier, load
from runtime.engine.cpus import available_cpus

from ..data.sized_texts import SizedTexts
from ..harness import isolated
from ..harness.machine import machine
from ..harness.runner import log_progress

SHAPES = ((128, 768, 768), (128, 768, 3072), (512, 768, 3072), (512, 3072, 768))  # rows, depth, columns
CEILING_S = 1.0  # time for each shape
LENGTHS = (8, 32, 128, 256, 512)
CALLS = 20
WARM_UP_CALLS = 5
PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
GIGA = 1e9


def measure(model: str, *, threads: int | None) -> dict[str, Any]:
    """Measures the ceilings, and every variant for the CPU at several lengths.

    Args:
        model: Artifact folder.
        threads: Threads; None for all CPUs of this process.

    Returns:
        The report, ready for JSON: ceilings in 10^9 operations per second, and by variant and length the operations,
        the median latency in ms, the operations per second, and the share of time of each operator.

    Raises:
        ArtifactError: The artifact cannot be loaded.
        BenchmarkError: A process failed.
    """
    threads = threads or available_cpus()
    log_progress("measuring the fastest matrix products ...")
    ceilings, _ = isolated.run_in_subprocess(ceilings_gops, threads=threads)
    path = str(Path(model).resolve())
    with load(path, provider="cpu") as classifier:
        names = [item.name for item in classifier.manifest.variants if "CPUExecutionProvider" in item.providers]
        variant = classifier.variant
    results = {}
    for name in names:
        log_progress(f"measuring {name} ...")
        results[name], _ = isolated.run_in_subprocess(achieved, model=path, variant=name, threads=threads)
    return {
        "kind": "roofline",
        "machine": machine(threads),
        "settings": {"model": model},
        "variant": variant,
        "ceilings_gops": ceilings,
        "results": results,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    info, ceilings = report["machine"], report["ceilings_gops"]
    lines = [
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; onnxruntime "
        f"{info['versions']['onnxruntime']}, torch {info['versions']['torch']}.",
        "Fastest matrix products, in 10^9 operations per second: "
        + ", ".join(f"{name} {value:.0f}" for name, value in ceilings.items())
        + ".",
        "",
        "| variant | tokens | 10^9 operations | ms | 10^9 per s | of the ceiling | slowest operators |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in report["results"].items():
        for row in rows:
            slowest = ", ".join(f"{operator} {share:.0%}" for operator, share in list(row["time_share"].items())[:3])
            lines.append(
                f"| {name} | {row['tokens']} | {row['giga_operations']:.2f} | {row['median_ms']:.2f} | "
                f"{row['gops']:.0f} | {row['gops'] / ceilings[name]:.0%} | {slowest} |"
            )
    return "\n".join(lines) + "\n"


def ceilings_gops(threads: int) -> dict[str, float]:
    """Returns the fastest rate of each precision, in 10^9 operations per second.

    Args:
        threads: Threads of each library.
    """
    torch.set_num_threads(threads)
    onnx_fp32 = functools.partial(_onnx_product, "MatMul", threads)
    onnx_int8 = functools.partial(_onnx_product, "MatMulIntegerToFloat", threads)
    libraries: dict[str, list[Callable[[int, int, int], Callable[[], object]]]] = {
        "fp32": [functools.partial(_torch_product, torch.float32), onnx_fp32],
        "bf16": [functools.partial(_torch_product, torch.bfloat16)],
        "int8": [onnx_int8],
    }
    return {
        name: max(2 * math.prod(shape) / _fastest_s(make(*shape)) / GIGA for make in makes for shape in SHAPES)
        for name, makes in libraries.items()
    }


def achieved(model: str, variant: str, threads: int) -> list[dict[str, Any]]:
    """Measures one variant at several lengths, in a process of its own.

    Args:
        model: Artifact folder.
        variant: The variant.
        threads: Threads of the session.
    """
    classifier = load(model, provider="cpu", variant=variant, threads=threads)
    sized = SizedTexts.of(classifier)
    found = []
    for length in sorted({min(length, sized.longest) for length in LENGTHS}):
        text = sized.text(length)
        predict = functools.partial(classifier.predict, text)
        latencies = [_seconds(predict) for _ in range(WARM_UP_CALLS + CALLS)]
        median_s = statistics.median(latencies[WARM_UP_CALLS:])
        events = _profile(classifier, Path(model), text, threads)
        operations = sum(map(operation_count, events)) / CALLS
        times = Counter[str]()
        for event in events:
            times[event["args"]["op_name"]] += event["dur"]
        total = sum(times.values())
        found.append(
            {
                "tokens": length,
                "giga_operations": operations / GIGA,
                "median_ms": 1000 * median_s,
                "gops": operations / median_s / GIGA,
                "time_share": {name: spent / total for name, spent in times.most_common()},
            }
        )
    return found


def operation_count(event: Mapping[str, Any]) -> float:
    """Returns the multiplications and additions of one operator of onnxruntime's profile; 0 for those that have few.

    Args:
        event: With `op_name`, `input_type_shape` and `output_type_shape` in `args`. The profile leaves out weights that
            the session has rearranged.
    """
    arguments = event["args"]
    inputs, outputs = (_shapes(arguments[f"{side}_type_shape"]) for side in ("input", "output"))
    match arguments["op_name"]:
        case (
            "MultiHeadAttention"
        ):  # (batch, queries, width) times (batch, keys, width), and the scores times the values
            return 4 * math.prod(inputs[0]) * inputs[1][1]
        case "QAttention" | "Attention":  # the same after projecting to three times the width
            projection = 2 * math.prod(inputs[0]) * 3 * outputs[0][-1]
            return projection + 4 * math.prod(outputs[0]) * inputs[0][1]
        case name if name in PRODUCTS:
            return 2 * math.prod(inputs[0]) * outputs[0][-1]
        case _:
            return 0


def _shapes(typed: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [shape for item in typed for shape in item.values()]


def _profile(classifier: Classifier, model: Path, text: str, threads: int) -> list[dict[str, Any]]:
    """Runs a variant with onnxruntime's profiler; returns the operators of `CALLS` runs after the warm-up."""
    file = next(item.file for item in classifier.manifest.variants if item.name == classifier.variant)
    encoded = classifier._tokenizer.pad([classifier._tokenizer.encode(text)])  # noqa: SLF001 - what `predict` runs
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # as the runtime
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model / file, options, providers=["CPUExecutionProvider"])
        inputs = {node.name: encoded[node.name] for node in session.get_inputs()}
        for _ in range(WARM_UP_CALLS + CALLS):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    return kernels[len(kernels) * WARM_UP_CALLS // (WARM_UP_CALLS + CALLS) :]


def _torch_product(dtype: torch.dtype, rows: int, depth: int, columns: int) -> Callable[[], object]:
    linear = torch.nn.Linear(depth, columns, bias=False, dtype=dtype)
    inputs = torch.rand(rows, depth).to(dtype)

    def run() -> object:
        with torch.inference_mode():
            return linear(inputs)

    return run


def _onnx_product(operator: str, threads: int, rows: int, depth: int, columns: int) -> Callable[[], object]:
    """Returns a run of one matrix product with constant weights, which the session rearranges as it likes."""
    rng = np.random.default_rng(0)
    quantized = operator != "MatMul"
    weights = rng.integers(-64, 64, (depth, columns)).astype(np.int8 if quantized else np.float32)
    initializers = [onnx.numpy_helper.from_array(weights, "weights")]
    if quantized:
        initializers += [
            onnx.numpy_helper.from_array(np.ones(1, np.float32), name) for name in ("scale", "weight_scale")
        ]
    names = ["inputs", "weights", "scale", "weight_scale"] if quantized else ["inputs", "weights"]
    node = helper.make_node(operator, names, ["outputs"], domain="com.microsoft" if quantized else "")
    kind = TensorProto.UINT8 if quantized else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("inputs", kind, [rows, depth])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, [rows, columns])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = rng.integers(0, 127, (rows, depth)).astype(np.uint8 if quantized else np.float32)
    return lambda: session.run(None, {"inputs": inputs})


def _fastest_s(work: Callable[[], object]) -> float:
    """Returns the time that a tenth of the calls in `CEILING_S` stays below: other load must not lower a ceiling."""
    times = [_seconds(work)]
    start = time.perf_counter()
    while time.perf_counter() - start < CEILING_S:
        times.append(_seconds(work))
    return statistics.quantiles(times, n=10)[0] if len(times) > 1 else times[0]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
