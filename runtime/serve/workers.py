"""Several processes behind one port. The kernel spreads connections over them (SO_REUSEPORT)."""

import argparse
import contextlib
import copy
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TextIO

from prometheus_client import multiprocess

from ..cli.command import run_command
from ..engine.cpus import available_cpus
from .metrics import MULTIPROCESS
from .server import Process, bind

RESTART_S, MOST_RESTART_S = 1.0, 30.0  # before a worker that died is replaced; doubled each time
WAIT_S = 0.2
FAILED = 3  # exit status of a worker that could not start


class Workers:
    """Starts the workers, replaces those that die, and passes signals on."""

    def __init__(self, args: argparse.Namespace, log: Any) -> None:
        """Takes the checked command line. The workers share the CPUs."""
        self._args = copy.copy(args)
        self._args.threads = args.threads or max(1, available_cpus() // args.workers)
        self._log = log
        self._stopping = False
        self._processes: dict[Any, tuple[BaseProcess, float]] = {}  # and when it was started, by sentinel
        self._restarts: list[float] = []  # when to start a worker, on the clock of `time.monotonic`
        self._pause_s = RESTART_S / 2

    def run(self) -> int:
        """Serves until a signal ends it; returns the exit status."""
        args = self._args
        with contextlib.ExitStack() as stack:
            os.environ[MULTIPROCESS] = stack.enter_context(tempfile.TemporaryDirectory(prefix="litmus-metrics-"))
            reserved = stack.enter_context(bind(args.host, args.port, shared=True))  # keeps the port; does not listen
            args.port = reserved.getsockname()[1]
            for number in signal.SIGINT, signal.SIGTERM:
                signal.signal(number, lambda *_: self._stop())
            signal.signal(signal.SIGHUP, lambda *_: self._pass_on(signal.SIGHUP))
            for _ in range(args.workers):
                self._start()
            first = set(self._processes)
            status = 0
            while self._processes or (self._restarts and not self._stopping):
                for sentinel in wait(list(self._processes), timeout=WAIT_S):
                    process, started = self._processes.pop(sentinel)
                    process.join()
                    multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                    if process.exitcode == FAILED and sentinel in first and not self._stopping:
                        status = 1
                        self._stop()
                    elif not self._stopping:
                        self._log.error("worker died", pid=process.pid, exitcode=process.exitcode)
                        lived_s = time.monotonic() - started
                        self._pause_s = (
                            RESTART_S if lived_s > MOST_RESTART_S else min(2 * self._pause_s, MOST_RESTART_S)
                        )
                        self._restarts.append(time.monotonic() + self._pause_s)
                for due in [due for due in self._restarts if due < time.monotonic()]:
                    self._restarts.remove(due)
                    self._start()
            return status

    def _start(self) -> None:
        """Starts a worker, unless a signal has come."""
        if self._stopping:
            return
        process = multiprocessing.get_context("spawn").Process(
            target=run_worker, args=(self._args,), name="litmus-worker"
        )
        process.start()
        self._processes[process.sentinel] = process, time.monotonic()
        if self._stopping:  # the signal came before the process was registered
            process.terminate()

    def _stop(self) -> None:
        self._stopping = True
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        for process, _ in list(self._processes.values()):
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)


def run_worker(args: argparse.Namespace) -> None:
    """Runs one worker; the target of its process."""

    def job(_: TextIO) -> int:
        Process(args).run(bind(args.host, args.port, shared=True))
        return 0

    if run_command(job, prints=False):
        sys.exit(FAILED)
