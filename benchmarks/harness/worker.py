"""One contender in one process: reads requests as JSON lines on stdin and replies on stdout.

It runs in the contender's own environment, so it imports only the standard library and `protocol`. Texts arrive through
the pipe and are stored nowhere. Whatever the contender's libraries print goes to stderr.

Requests and their replies:

    {"prepare": {...}}               {}
    {"load": {...}}                  {}
    {"time": [[text, ...], ...]}     {"latencies_ms": [...]}, one per batch
    {"score": [[text, ...], ...]}    {"scores": [[...], ...]}, a row per text
    {"describe": true}               {"memory_mb": {"resident": ..., "peak": ...}, "versions": {...}}

If a contender cannot run on this machine, the reply is {"unavailable": reason}.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness.protocol import LoadRequest, Scorer, UnavailableError

PR_SET_PDEATHSIG = 1
STATUS = Path("/proc/self/status")
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "optimum",
    "optimum-onnx",
    "openvino",
    "nncf",
    "sentence-transformers",
)


def main(module: str) -> None:
    """Replies to requests until stdin ends."""
    _end_with_parent()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scorer: Scorer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, Any] = {}
        if "prepare" in request:
            importlib.import_module(module).prepare(LoadRequest(**request["prepare"]))
        elif "load" in request:
            try:
                scorer = importlib.import_module(module).load(LoadRequest(**request["load"]))
            except UnavailableError as error:
                reply = {"unavailable": str(error)}
        elif "describe" in request:
            reply = {"memory_mb": _memory_mb(), "versions": _versions()}
        elif scorer is None:
            raise RuntimeError("the first request must be `load`")
        elif "time" in request:
            scorer(request["time"][0])  # the caches hold what ran before, which in a service is the same model
            reply = {"latencies_ms": [_latency_ms(scorer, batch) for batch in request["time"]]}
        else:
            reply = {"scores": [row for batch in request["score"] for row in scorer(batch)]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _end_with_parent() -> None:
    """Has the kernel end this process when its parent ends, even while it is stopped. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _memory_mb() -> dict[str, float] | None:
    """Returns the memory of this process in MB (a million bytes), mapped files included; None without `/proc`."""
    if not STATUS.exists():
        return None
    fields = dict(line.split(":", 1) for line in STATUS.read_text("utf-8").splitlines())
    names = {"resident": "VmRSS", "peak": "VmHWM"}
    return {key: int(fields[name].split()[0]) * 1024 / 1e6 for key, name in names.items()}


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
