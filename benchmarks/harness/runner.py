"""Runs contenders side by side: one process each, equal threads, interleaved rounds, so that noise hits all alike."""

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import psutil

from .catalog import ContenderSpec
from .environments import ROOT, interpreter
from .protocol import LoadRequest

Batch = list[str]
WARM_UP_BATCHES = 3
SHOWN_LINES = 20  # of what a contender printed before it failed; otherwise nobody needs its libraries' notes


class ContenderError(Exception):
    """A contender could not be set up, or its process ended."""


class Contender:
    """A contender's process, which is stopped whenever it is not asked for anything.

    OpenMP's threads keep a CPU busy for up to 200 ms after their work. Without the stop they would slow down whoever
    runs next: a second process of the same contender differed by up to a third.
    """

    def __init__(self, name: str, spec: ContenderSpec, threads: int) -> None:
        """Starts the process; `load` makes it ready."""
        self.name = name
        self._module = spec.module
        try:
            python = interpreter(spec)
        except (subprocess.CalledProcessError, OSError) as error:
            raise ContenderError(f"{name}: its environment could not be installed; see pip's message above") from error
        self._started = time.perf_counter()
        self._messages = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.harness.worker", spec.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
        )

    @property
    def age_s(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started

    def prepare(self, request: LoadRequest) -> None:
        """Has the checkpoint converted into the request's `work_dir`."""
        self._ask({"prepare": asdict(request)})

    def load(self, request: LoadRequest) -> None:
        """Loads the model."""
        self._ask({"load": asdict(request)})

    def time(self, batches: Sequence[Batch]) -> list[float]:
        """Returns each batch's latency in milliseconds, from text to scores."""
        latencies: list[float] = self._ask({"time": batches})["latencies_ms"]
        return latencies

    def score(self, batches: Sequence[Batch]) -> list[list[float]]:
        """Returns the scores of each text."""
        scores: list[list[float]] = self._ask({"score": batches})["scores"]
        return scores

    def describe(self) -> tuple[dict[str, float] | None, dict[str, str]]:
        """Returns the process's memory in MB, `resident` and `peak` (None without `/proc`), and package versions."""
        reply = self._ask({"describe": True})
        return reply["memory_mb"], reply["versions"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resume()
        try:
            self._process.communicate(timeout=10)  # closes stdin, which ends the process
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._messages.close()

    def _resume(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self._process.pid).resume()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._resume()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._messages.seek(0)
            log_progress("".join(self._messages.readlines()[-SHOWN_LINES:]).rstrip())
            raise ContenderError(f"{self.name} ({self._module}): its process ended; see its message above")
        reply: dict[str, Any] = json.loads(line)
        psutil.Process(self._process.pid).suspend()
        if "unavailable" in reply:
            raise ContenderError(f"{self.name}: {reply['unavailable']}")
        return reply


@dataclass(frozen=True)
class Measured:
    """One contender's results.

    Attributes:
        prepare_s: Seconds that converting the checkpoint took, in a process of its own; None if it runs as it is.
        start_s: Seconds from starting the process to the first text's scores: imports, load and one prediction.
        memory_mb: `resident` and `peak` memory of the process after all rounds; None where there is no `/proc`.
        versions: Versions of the packages in its environment.
        latencies_ms: Latency of every batch by workload, one list per round.
        scores: Scores of the texts that were to be scored.
    """

    prepare_s: float | None
    start_s: float
    memory_mb: Mapping[str, float] | None
    versions: Mapping[str, str]
    latencies_ms: Mapping[str, list[list[float]]]
    scores: list[list[float]]


@dataclass(frozen=True)
class _Running:
    """A contender that is ready."""

    contender: Contender
    prepare_s: float | None
    start_s: float
    latencies_ms: dict[str, list[list[float]]]

    def results(self, scored: Sequence[str]) -> Measured:
        """Collects the results after the last round."""
        memory_mb, versions = self.contender.describe()  # before the texts that are not part of a round
        scores = self.contender.score([[text] for text in scored])
        return Measured(self.prepare_s, self.start_s, memory_mb, versions, self.latencies_ms, scores)


def run_interleaved(
    contenders: Mapping[str, ContenderSpec],
    workloads: Mapping[str, Sequence[Batch]],
    *,
    rounds: int,
    model: str,
    checkpoint: str,
    threads: int,
    calibration: Sequence[str],
    scored: Sequence[str] = (),
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Measures contenders on workloads.

    Args:
        contenders: Contenders by name.
        workloads: Batches of texts by name. The first text of the first one is also each contender's first prediction.
        rounds: How often every contender runs every workload, taking turns.
        model: Artifact folder.
        checkpoint: Checkpoint folder.
        threads: Threads of each contender.
        calibration: Texts for contenders that calibrate a quantization.
        scored: Texts to score after the last round, one at a time, to compare the contenders.

    Returns:
        Results by contender, and the reason for each contender that has none.
    """
    failures: dict[str, str] = {}
    running: dict[str, _Running] = {}
    measured: dict[str, Measured] = {}
    first = next(iter(workloads.values()))[0][:1]

    @contextlib.contextmanager
    def attempt(name: str) -> Iterator[None]:
        try:
            yield
        except ContenderError as error:
            failures[name] = str(error)
            running.pop(name, None)

    with contextlib.ExitStack() as stack:
        for name, spec in contenders.items():
            work_dir = stack.enter_context(tempfile.TemporaryDirectory())
            request = LoadRequest(model, checkpoint, threads, spec.option, list(calibration), work_dir)
            with attempt(name):
                prepare_s = _prepare(name, spec, request) if spec.prepares else None
                log_progress(f"loading {name} ...")
                contender = stack.enter_context(Contender(name, spec, threads))
                contender.load(request)
                contender.score([first])
                start_s = contender.age_s
                for batches in workloads.values():
                    contender.time(batches[:WARM_UP_BATCHES])
                running[name] = _Running(contender, prepare_s, start_s, {key: [] for key in workloads})
        for turn in range(rounds):
            log_progress(f"round {turn + 1} of {rounds}")
            for workload, batches in workloads.items():
                for name in shuffled(running, f"{turn} {workload}"):
                    with attempt(name):
                        running[name].latencies_ms[workload].append(running[name].contender.time(batches))
        for name in list(running):
            with attempt(name):
                measured[name] = running[name].results(scored)
    return measured, failures


def _prepare(name: str, spec: ContenderSpec, request: LoadRequest) -> float:
    """Converts the checkpoint in a process that ends; returns the seconds from its start to the complete files."""
    log_progress(f"preparing {name} ...")
    with Contender(name, spec, request.threads) as contender:
        contender.prepare(request)
        return contender.age_s


def shuffled(names: Iterable[str], seed: str) -> list[str]:
    """Returns the names in a random order, the same for the same seed.

    In a fixed order, even one that starts elsewhere in each round, a contender would always run after the same one,
    whose threads and memory it finds in the caches.
    """
    listed = list(names)
    return random.Random(seed).sample(listed, len(listed))  # noqa: S311 - an order, not a secret


def log_progress(line: str) -> None:
    """Reports progress on stderr."""
    print(line, file=sys.stderr, flush=True)
