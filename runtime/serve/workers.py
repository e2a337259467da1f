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

RESTART_S = 1.0
FAILED = 3  # exit status of a worker that could not start; another one would fail as well


class Workers:
    """Starts the workers, replaces those that die, and passes signals on."""

    def __init__(self, args: argparse.Namespace, log: Any) -> None:
        """Takes the checked command line. The workers share the CPUs."""
        self._args = args
        self._log = log
        self._stopping = False
        self._processes: dict[Any, BaseProcess] = {}  # by sentinel

    def run(self) -> int:
        """Serves until a signal ends it; returns the exit status."""
        args = copy.copy(self._args)
        args.threads = args.threads or max(1, available_cpus() // args.workers)
        with contextlib.ExitStack() as stack:
            os.environ[MULTIPROCESS] = stack.enter_context(tempfile.TemporaryDirectory(prefix="litmus-metrics-"))
            reserved = stack.enter_context(bind(args.host, args.port, shared=True))  # keeps the port; does not listen
            args.port = reserved.getsockname()[1]
            for number in signal.SIGINT, signal.SIGTERM:
                signal.signal(number, lambda *_: self._stop())
            signal.signal(signal.SIGHUP, lambda *_: self._pass_on(signal.SIGHUP))
            for _ in range(args.workers):
                self._start(args)
            status = 0
            while self._processes:
                for sentinel in wait(list(self._processes), timeout=1):
                    process = self._processes.pop(sentinel)
                    process.join()
                    multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                    if process.exitcode == FAILED:
                        status = 1
                        self._stop()
                    elif not self._stopping:
                        self._log.error("worker died", pid=process.pid, exitcode=process.exitcode)
                        time.sleep(RESTART_S)
                        self._start(args)
            return status

    def _start(self, args: argparse.Namespace) -> None:
        process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(args,), name="litmus-worker")
        process.start()
        self._processes[process.sentinel] = process

    def _stop(self) -> None:
        self._stopping = True
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        for process in list(self._processes.values()):
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
