"""One contender in one process: reads requests as JSON lines on stdin and replies on stdout.

It runs in the contender's own environment, so it imports only the standard library and `protocol`. Texts arrive through
the pipe and are stored nowhere. Whatever the contender's libraries print goes to stderr.

Requests and their replies:

    {"load": {...}}                  {"load_s": seconds, "versions": {...}}
    {"time": [[text, ...], ...]}     {"latencies_ms": [...]}, one per batch
    {"score": [[text, ...], ...]}    {"scores": [[...], ...]}, a row per text
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
    """Replies to requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scorer: Scorer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            start = time.perf_counter()
            scorer = importlib.import_module(module).load(LoadRequest(**request["load"]))
            reply: dict[str, Any] = {"load_s": time.perf_counter() - start, "versions": _versions()}
        elif scorer is None:
            raise RuntimeError("the first request must be `load`")
        elif "time" in request:
            reply = {"latencies_ms": [_latency_ms(scorer, batch) for batch in request["time"]]}
        else:
            reply = {"scores": [row for batch in request["score"] for row in scorer(batch)]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _versions() -> dict[str, str]:
    """Returns the versions of the packages that may affect the contender's speed."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _latency_ms(scorer: Scorer, batch: list[str]) -> float:
    start = time.perf_counter()
    scorer(batch)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main(sys.argv[1])
