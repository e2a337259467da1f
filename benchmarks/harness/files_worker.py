"""What `files` runs in fresh processes beside the jobs: the same texts in memory."""

import csv
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from runtime import load
from runtime.scheduling.streaming import chunks, prefetch

from .footprint_worker import memory_mb

SLICE_ROWS = 100_000  # as many as a part of a job; more predictions would not fit into memory


def predict_many(model: str, path: str, threads: int | None) -> dict[str, Any]:
    """Classifies the texts of a CSV file that was read before, with `predict_many`."""
    classifier = load(model, provider="cpu", threads=threads)
    texts = [*_texts(path)]
    classifier.warm_up()
    started, before = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), SLICE_ROWS):
        classifier.predict_many(texts[start : start + SLICE_ROWS])
    return _measured(len(texts), started, before)


def tokenizer_and_session(model: str, path: str, threads: int | None) -> dict[str, Any]:
    """Runs the tokenizer and the session on the same texts, and makes no predictions."""
    classifier = load(model, provider="cpu", threads=threads)
    texts = [*_texts(path)]
    classifier.warm_up()
    started, before = time.perf_counter(), time.process_time()
    for chunk in prefetch(classifier._tokenizer.try_encode, chunks(texts)):  # noqa: SLF001 - what is left without the rest
        classifier._run([window for item in chunk if isinstance(item, list) for window in item])  # noqa: SLF001 - as above
    return _measured(len(texts), started, before)


def run_command(command: list[str]) -> dict[str, Any]:
    """Runs a command; its peak memory is that of its largest process.

    The caller has to be a small process: Linux counts the memory of the process that starts the command as well.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "status": process.returncode,
        "elapsed_s": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss * 1024 / 1e6,
    }


def write_csv(path: str, texts: list[str], rows: int) -> None:
    """Writes rows with unique ids and these texts, repeated."""
    with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - a plain path, as the process got it
        lines = csv.writer(file)
        lines.writerow(["id", "text"])
        lines.writerows(zip(range(rows), itertools.cycle(texts), strict=False))


def _texts(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123 - as above
        yield from (row["text"] for row in csv.DictReader(file))


def _measured(rows: int, started: float, before: float) -> dict[str, Any]:
    elapsed_s = time.perf_counter() - started
    return {
        "rows_per_s": rows / elapsed_s,
        "cpu_us_per_row": (time.process_time() - before) / rows * 1e6,
        "peak_mb": memory_mb()["peak_mb"],
    }
