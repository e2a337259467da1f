"""Latency reports with known ratios."""

from collections.abc import Mapping
from typing import Any

import numpy as np

ROUNDS, CALLS = 10, 6
WORKLOADS = {
    "real texts": (1, 10.0),
    "batches of 32 test texts": (32, 200.0),
    "8 tokens": (1, 1.0),
    "128 tokens": (1, 6.0),
}
MACHINE = {
    "cpu": "Some CPU",
    "cpu_flags": ["avx2"],
    "cpus": 2,
    "threads": 2,
    "load_average": [0.1, 0.2, 0.3],
    "platform": "Linux",
    "versions": {"python": "3.11", "litmus-onnx": "0.1.0", "onnxruntime": "1.31.1", "torch": "2.13.0"},
}


def latency_report(
    factors: Mapping[str, float], *, noise: float = 0.01, control: float = 0.01, seed: int = 0
) -> dict[str, Any]:
    """Returns a latency report in which contenders take a multiple of the time of `litmus`.

    Args:
        factors: The multiples; `litmus` itself is added.
        noise: Standard deviation of the logarithm of every call.
        control: The control's deviation from `litmus`.
        seed: Of the noise.
    """
    random = np.random.default_rng(seed)
    results = {}
    for name, factor in {"litmus": 1.0, **factors}.items():
        workloads = {}
        for workload, (texts, ms) in WORKLOADS.items():
            rounds = ms * factor * np.exp(noise * random.standard_normal((ROUNDS, CALLS)))
            median = float(np.median(rounds))
            workloads[workload] = {
                "texts": texts,
                "median_ms": median,
                "p95_ms": median * 1.1,
                "p99_ms": median * 1.2,
                "texts_per_s": 1000 * texts / median,
                "runs": ROUNDS * CALLS,
                "rounds_ms": rounds.tolist(),
            }
        results[name] = {
            "workloads": workloads,
            "figures": {"accuracy": 0.9, "macro_f1": 0.8},
            "label_agreement": 1.0,
            "start_s": 1.5,
            "prepare_s": None,
            "memory_mb": {"resident": 100.0, "peak": 120.0},
            "versions": {"onnxruntime": "1.31.1"},
        }
    signs = (1, -1, 1, -1)
    return {
        "kind": "latency",
        "machine": MACHINE,
        "settings": {"rounds": ROUNDS, "rows": 114, "texts": 24},
        "variant": "int8",
        "results": results,
        "control": {name: float(np.exp(sign * control)) for name, sign in zip(WORKLOADS, signs, strict=True)},
        "failures": {},
    }
