"""Runs contenders side by side: one process each, equal threads, interleaved rounds, so that noise hits all alike."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from .catalog import ContenderSpec
from .environments import ROOT, interpreter
from .protocol import LoadRequest

Batch = list[str]
WARM_UP_BATCHES = 3


class ContenderError(Exception):
    """A contender could not be set up, or its process ended."""


class Contender:
    """A contender's process."""

    def __init__(self, name: str, spec: ContenderSpec, threads: int) -> None:
        """Starts the process; `load` makes it ready."""
        self.name = name
        self._module = spec.module
        try:
            python = interpreter(spec)
        except (subprocess.CalledProcessError, OSError) as error:
            raise ContenderError(f"{name}: its environment could not be installed; see pip's message above") from error
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.harness.worker", spec.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
        )

    def load(self, request: LoadRequest) -> tuple[float, dict[str, str]]:
        """Loads the model; returns the seconds it took, conversion included, and the versions of its packages."""
        reply = self._ask({"load": asdict(request)})
        return reply["load_s"], reply["versions"]

    def time(self, batches: Sequence[Batch]) -> list[float]:
        """Returns each batch's latency in milliseconds, from text to scores."""
        latencies: list[float] = self._ask({"time": batches})["latencies_ms"]
        return latencies

    def score(self, batches: Sequence[Batch]) -> list[list[float]]:
        """Returns the scores of each text."""
        scores: list[list[float]] = self._ask({"score": batches})["scores"]
        return scores

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=10)  # closes stdin, which ends the process
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderError(f"{self.name} ({self._module}): its process ended; see its message above")
        reply: dict[str, Any] = json.loads(line)
        return reply


@dataclass(frozen=True)
class Measured:
    """One contender's results.

    Attributes:
        load_s: Seconds until the contender was ready, conversion included.
        versions: Versions of the packages in its environment.
        latencies_ms: Every latency, by workload.
        scores: Scores of the first workload's texts.
    """

    load_s: float
    versions: Mapping[str, str]
    latencies_ms: Mapping[str, list[float]]
    scores: list[list[float]]


def run_interleaved(
    contenders: Mapping[str, ContenderSpec],
    workloads: Mapping[str, Sequence[Batch]],
    *,
    rounds: int,
    model: str,
    checkpoint: str,
    threads: int,
    calibration: Sequence[str],
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Measures contenders on workloads.

    Args:
        contenders: Contenders by name.
        workloads: Batches of texts by name. The first workload's texts are also scored, to compare the contenders.
        rounds: How often every contender runs every workload, taking turns.
        model: Artifact folder.
        checkpoint: Checkpoint folder.
        threads: Threads of each contender.
        calibration: Texts for contenders that calibrate a quantization.

    Returns:
        Results by contender, and the reason for each contender that has none.
    """
    failures: dict[str, str] = {}
    measured: dict[str, Measured] = {}
    running: dict[str, Contender] = {}
    first = next(iter(workloads.values()))

    @contextlib.contextmanager
    def attempt(name: str) -> Iterator[None]:
        try:
            yield
        except ContenderError as error:
            failures[name] = str(error)
            running.pop(name, None)
            measured.pop(name, None)

    with contextlib.ExitStack() as stack:
        for name, spec in contenders.items():
            log_progress(f"loading {name} ...")
            work_dir = stack.enter_context(tempfile.TemporaryDirectory())
            with attempt(name):
                contender = stack.enter_context(Contender(name, spec, threads))
                request = LoadRequest(model, checkpoint, threads, spec.option, list(calibration), work_dir)
                load_s, versions = contender.load(request)
                for batches in workloads.values():
                    contender.time(batches[:WARM_UP_BATCHES])
                measured[name] = Measured(load_s, versions, {key: [] for key in workloads}, contender.score(first))
                running[name] = contender
        for turn in range(rounds):
            log_progress(f"round {turn + 1} of {rounds}")
            for workload, batches in workloads.items():
                for name in rotated(list(running), turn):
                    with attempt(name):
                        measured[name].latencies_ms[workload].extend(running[name].time(batches))
    return measured, failures


def rotated(names: list[str], turn: int) -> Iterator[str]:
    """Yields the names, starting with a different one each round."""
    shift = turn % len(names) if names else 0
    yield from names[shift:] + names[:shift]


def log_progress(line: str) -> None:
    """Reports progress on stderr."""
    print(line, file=sys.stderr, flush=True)
