"""One contender in one process: reads requests as JSON lines on stdin, answers on stdout.

Runs in the contender's own interpreter, so it imports the standard library and `job` alone. Texts come through the
pipe and go nowhere else. Whatever libraries print goes to stderr.

Requests: `{"load": {...}}` -> `{"load_s": s, "versions": {...}}`; `{"time": [[text, ...], ...]}` ->
`{"latencies_ms": [...]}`, one per batch; `{"score": [[text, ...], ...]}` -> `{"scores": [[...], ...]}`, a row per text.
"""

import importlib
import json
import os
import sys
import time
from importlib import metadata
from typing import Any

from benchmarks.harness.protocol import LoadRequest, Scorer

PACKAGES = ("torch", "transformers", "tokenizers", "onnxruntime", "optimum", "optimum-onnx", "openvino", "nncf")


def main(module: str) -> None:
    """Serves requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scorer: Scorer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            start = time.perf_counter()
            scorer = importlib.import_module(module).load(LoadRequest(**request["load"]))
            answer: dict[str, Any] = {"load_s": time.perf_counter() - start, "versions": _versions()}
        elif scorer is None:
            raise RuntimeError("load first")
        elif "time" in request:
            answer = {"latencies_ms": [_latency_ms(scorer, batch) for batch in request["time"]]}
        else:
            answer = {"scores": [row for batch in request["score"] for row in scorer(batch)]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _versions() -> dict[str, str]:
    """Returns the versions of what may be at work in this process."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _latency_ms(scorer: Scorer, batch: list[str]) -> float:
    start = time.perf_counter()
    scorer(batch)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main(sys.argv[1])
