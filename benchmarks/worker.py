"""One contender in one process: reads requests as JSON lines on stdin, answers on stdout.

Runs in the contender's own interpreter, so it imports the standard library and `job` alone. Texts come through the
pipe and go nowhere else. Whatever libraries print goes to stderr.

Requests: `{"load": {...}}` -> `{"load_s": s}`; `{"time": [[text, ...], ...]}` -> `{"latencies_ms": [...]}`, one per
batch; `{"score": [[text, ...], ...]}` -> `{"scores": [[...], ...]}`, one row per text.
"""

import importlib
import json
import os
import sys
import time
from typing import Any

from benchmarks.job import Job, Scorer


def main(module: str) -> None:
    """Serves requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scorer: Scorer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            start = time.perf_counter()
            scorer = importlib.import_module(module).load(Job(**request["load"]))
            answer: dict[str, Any] = {"load_s": time.perf_counter() - start}
        elif scorer is None:
            raise RuntimeError("load first")
        elif "time" in request:
            answer = {"latencies_ms": [_latency_ms(scorer, batch) for batch in request["time"]]}
        else:
            answer = {"scores": [row for batch in request["score"] for row in scorer(batch)]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _latency_ms(scorer: Scorer, batch: list[str]) -> float:
    start = time.perf_counter()
    scorer(batch)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main(sys.argv[1])
