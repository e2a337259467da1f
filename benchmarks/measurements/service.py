"""`python -m benchmarks service`: what the service costs, and what it does under load.

1. Cost: p50 over HTTP at concurrency 1 minus p50 of `predict` in a process of its own, on a text of 30 tokens. The
   services take turns in interleaved rounds. Service and `predict` have one CPU, the load generator another one.
2. Throughput: texts per second of many connections, against `predict_many` on the same texts and CPUs.
3. Overload: requests at a constant rate of twice that throughput. Those that are accepted are compared with the time of
   a full batch without load.

    python -m benchmarks service --model build/artifact --checkpoint build/checkpoint --output build/service.json
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from runtime import load
from runtime.engine.cpus import available_cpus
from training.data.record import training_data

from ..data.sized_texts import SizedTexts
from ..errors import BenchmarkError
from ..harness import isolated
from ..harness.environments import PEERS, ROOT, peer_python
from ..harness.http_load import Job
from ..harness.machine import machine
from ..harness.runner import log_progress, shuffled

TOKENS = 30
REQUESTS = 300  # of a round
CONNECTIONS = 32
START_S = 90
LITMUS, ECHO, PREDICT = "litmus", "echo", "predict"


def measure(model: str, checkpoint: str, services: Sequence[str], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Measures the services; returns the report, ready for JSON.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from.
        services: Names of the catalog's services.
        rounds: Interleaved rounds of the cost.
        seconds: How long the overload lasts.

    Raises:
        BenchmarkError: This process has fewer than two CPUs, or a service does not start.
        DataError: The checkpoint's data set cannot be read.
        ArtifactError: The artifact cannot be loaded.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchmarkError("the service and the load generator need a CPU each; this process has one")
    model, checkpoint = str(Path(model).resolve()), str(Path(checkpoint).resolve())
    with load(model, provider="cpu") as classifier:
        text = SizedTexts.of(classifier).text(TOKENS)
        variant = classifier.variant
    texts = training_data(checkpoint).test.texts
    return {
        "kind": "service",
        "machine": machine(available_cpus()),
        "settings": {"rounds": rounds, "tokens": TOKENS, "requests": REQUESTS, "seconds": seconds},
        "variant": variant,
        "cost": _cost(model, checkpoint, services, text, rounds, cpus),
        **_load(model, checkpoint, texts, seconds, cpus),
        "failures": {},
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as Markdown tables."""
    info, cost, throughput, overload = (report[name] for name in ("machine", "cost", "throughput", "overload"))
    lines = [
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {report['variant']}, a text of {TOKENS} tokens, one "
        f"connection, one CPU, medians of {report['settings']['rounds']} interleaved rounds:",
        "",
        "| | p50, ms | p99, ms | cost over `predict`, ms |",
        "|---|---|---|---|",
    ]
    for name, row in cost.items():
        extra = "" if name in (PREDICT, ECHO) else f"{row['cost_ms']:.2f}"
        lines.append(f"| {name} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {extra} |")
    lines += [
        "",
        f"Throughput of {CONNECTIONS} connections: {throughput['service']:.0f} texts per second, "
        f"{throughput['share']:.0%} of `predict_many` ({throughput['predict_many']:.0f}).",
        "",
        f"At {overload['rate']:.0f} requests per second, twice the throughput, for {overload['seconds']:.0f} s: "
        f"{overload['accepted']} accepted, p50 {overload['accepted_p50_ms']:.0f} ms, p99 "
        f"{overload['accepted_p99_ms']:.0f} ms, {overload['over_full_batch']:.1f} times the p99 of a full batch "
        f"without load ({overload['full_batch_p99_ms']:.0f} ms); {overload['rejected']} rejected with 429, p99 "
        f"{overload['rejected_p99_ms']:.1f} ms; {overload['errors']} other responses, {overload['failures']} "
        f"broken connections. Memory grew by {overload['memory_growth_mb']:.1f} MB.",
    ]
    return "\n".join(lines) + "\n"


def time_predict(model: str, text: str, calls: int) -> list[float]:
    """Returns latencies of `predict`, in ms; runs in a process of its own."""
    latencies = []
    with load(model, provider="cpu") as classifier:
        for number in range(calls + 50):
            start = time.perf_counter()
            classifier.predict(text)
            if number >= 50:
                latencies.append(1000 * (time.perf_counter() - start))
    return latencies


def time_predict_many(model: str, file: str, repeats: int) -> float:
    """Returns texts per second of `predict_many` on the texts of a JSON file; runs in a process of its own."""
    texts = json.loads(Path(file).read_text("utf-8"))
    with load(model, provider="cpu", warm_up=True) as classifier:
        classifier.predict_many(texts[:64])
        rates = []
        for _ in range(repeats):
            start = time.perf_counter()
            classifier.predict_many(texts)
            rates.append(len(texts) / (time.perf_counter() - start))
    return statistics.median(rates)


def _cost(
    model: str, checkpoint: str, services: Sequence[str], text: str, rounds: int, cpus: Sequence[int]
) -> dict[str, Any]:
    """Measures p50 at concurrency 1, in interleaved rounds."""
    body = json.dumps({"texts": [text]})
    latencies: dict[str, list[list[float]]] = {name: [] for name in (PREDICT, *services)}
    with contextlib.ExitStack() as stack:
        ports = {}
        for name in services:
            log_progress(f"starting {name} ...")
            ports[name] = stack.enter_context(_service(name, model, checkpoint, cpus[:1])).port
        for number in range(rounds):
            log_progress(f"round {number + 1} of {rounds}")
            for name in shuffled(latencies, str(number)):
                if name == PREDICT:
                    with _on(cpus[:1]):
                        found, _ = isolated.run_in_subprocess(time_predict, model=model, text=text, calls=REQUESTS)
                else:
                    job = Job(ports[name], "/predict", [body], "closed", REQUESTS)
                    found = _send(job, cpus[1:])["latencies_ms"]["200"]
                latencies[name].append(found)
    predict = [statistics.median(row) for row in latencies[PREDICT]]
    report = {}
    for name, per_round in latencies.items():
        medians = [statistics.median(row) for row in per_round]
        report[name] = {
            "p50_ms": statistics.median(medians),
            "p99_ms": _p99([latency for row in per_round for latency in row]),
            "cost_ms": statistics.median([own - base for own, base in zip(medians, predict, strict=True)]),
            "rounds_ms": medians,
        }
    return report


def _load(model: str, checkpoint: str, texts: Sequence[str], seconds: float, cpus: Sequence[int]) -> dict[str, Any]:
    """Measures throughput at saturation, then twice that load."""
    texts = [texts[number % len(texts)] for number in range(max(400, len(texts)))]
    bodies = [json.dumps({"texts": [text]}) for text in texts]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file, _on(cpus[:1]):
        json.dump(texts, file)
        file.flush()
        many, _ = isolated.run_in_subprocess(time_predict_many, model=model, file=file.name, repeats=3)
    unlimited = ["--max-wait-ms", "600000"]
    log_progress("throughput ...")
    with _service(LITMUS, model, checkpoint, cpus[:1], *unlimited) as service:
        job = Job(service.port, "/predict", bodies, "closed", CONNECTIONS * (len(bodies) // CONNECTIONS), CONNECTIONS)
        rates = []
        for _ in range(3):
            found = _send(job, cpus[1:])
            rates.append(sum(map(len, found["latencies_ms"].values())) / found["seconds"])
        rate = statistics.median(rates)
    log_progress("overload ...")
    with _service(LITMUS, model, checkpoint, cpus[:1]) as service:
        full = Job(service.port, "/predict", [_full_batch(model)], "closed", 100)
        full_p99 = _p99(_send(full, cpus[1:])["latencies_ms"]["200"])
        _send(Job(service.port, "/predict", bodies, "open", int(2 * rate * 3), 1, 2 * rate), cpus[1:])  # warms up
        before = service.memory_mb()
        count = int(2 * rate * seconds)
        found = _send(Job(service.port, "/predict", bodies, "open", count, 1, 2 * rate), cpus[1:])
        growth = service.memory_mb() - before
    accepted, rejected = found["latencies_ms"].get("200", []), found["latencies_ms"].get("429", [])
    return {
        "throughput": {"service": rate, "predict_many": many, "share": rate / many},
        "overload": {
            "rate": 2 * rate,
            "seconds": seconds,
            "accepted": len(accepted),
            "accepted_p50_ms": statistics.median(accepted),
            "accepted_p99_ms": _p99(accepted),
            "full_batch_p99_ms": full_p99,
            "over_full_batch": _p99(accepted) / full_p99,
            "rejected": len(rejected),
            "rejected_p99_ms": _p99(rejected),
            "errors": sum(len(rows) for status, rows in found["latencies_ms"].items() if status not in ("200", "429")),
            "failures": found["failures"],
            "memory_growth_mb": growth,
        },
    }


def _full_batch(model: str) -> str:
    """Returns a request whose texts fill a batch exactly."""
    with load(model, provider="cpu") as classifier:
        batch_tokens, sized = classifier.info()["batch_tokens"], SizedTexts.of(classifier)
    tokens = min(128, sized.longest)
    return json.dumps({"texts": [sized.text(tokens)] * max(1, batch_tokens // tokens)})


class _Service:
    """A running service."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = psutil.Process(process.pid)
        self.port = port

    def memory_mb(self) -> float:
        return float(self._process.memory_info().rss) / 1e6


@contextlib.contextmanager
def _service(name: str, model: str, checkpoint: str, cpus: Sequence[int], *options: str) -> Iterator[_Service]:
    """Runs a service on some CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = sys.executable
    arguments = [str(port), model, checkpoint, str(len(cpus))]
    if name == LITMUS:
        command = ["-m", "runtime.serve", "--model", model, "--port", str(port), *options]
    elif name == "litserve":
        python = peer_python(name, PEERS / name / "requirements.txt")
        command = ["-m", "benchmarks.peers.litserve.server", *arguments]
    else:
        command = ["-m", f"benchmarks.contenders.services.{name.removeprefix('fastapi-')}", *arguments]
    with _on(cpus):
        process = subprocess.Popen([python, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(name, process, port)
        yield _Service(process, port)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _wait(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise BenchmarkError(f"the service {name} did not start")


def _send(job: Job, cpus: Sequence[int]) -> dict[str, Any]:
    """Runs the load generator on some CPUs."""
    with _on(cpus):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.harness.http_load"],
            input=json.dumps(asdict(job)),
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    if done.returncode:
        raise BenchmarkError("the load generator failed; see its message above")
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def _on(cpus: Sequence[int]) -> Iterator[None]:
    """Makes processes that start in the body run on these CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _p99(latencies: Sequence[float]) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0
