"""Scores the parts of a job in several processes of this machine."""

import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from ..errors import InferenceError
from .job import Stop
from .output_folder import Receipt
from .part import Job, PartScorer
from .plan import Part

POLL_S = 0.2  # after which a request to stop is seen

_job: Job


def run_in_processes(
    job: Job,
    parts: Sequence[Part],
    *,
    allowed: int | None,
    on_rows: Callable[[int], None],
    stop: Stop,
    workers: int,
) -> Iterator[Receipt]:
    """Scores parts in several processes; arguments and results are those of `RunParts`.

    Raises:
        InferenceError: A process was killed. The parts that are complete stay.
    """
    workers = min(workers, len(parts))
    if not workers:
        return
    context = multiprocessing.get_context("spawn")
    rest = iter(parts)
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,))
    try:
        running: set[Future[Receipt]] = set()
        while True:
            free = 0 if stop.requested else workers - len(running)
            running |= {pool.submit(_score, part, allowed) for part in itertools.islice(rest, free)}
            if not running:
                break
            done, running = concurrent.futures.wait(running, POLL_S, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                receipt = future.result()
                on_rows(receipt.rows)
                yield receipt
        pool.shutdown()
    except BrokenProcessPool as error:
        if stop.requested:  # a process got the signal as well, before it could ignore it
            return
        raise InferenceError(
            "a worker process was killed, perhaps because memory ran out; start the same command again to resume, "
            "or with fewer --workers"
        ) from error
    finally:  # after an error or an interrupt nobody waits for parts that are not complete
        for process in multiprocessing.active_children():
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _start(job: Job) -> None:
    """Prepares a process of the pool. An error here would look like a process that was killed."""
    global _job  # noqa: PLW0603 - what a process of the pool keeps between calls
    _job = job
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first process decides what to do with it
    threading.Thread(target=_end_with_parent, daemon=True).start()


@functools.cache
def _scorer() -> PartScorer:
    return PartScorer(_job)


def _score(part: Part, allowed: int | None) -> Receipt:
    return _scorer().score(part, allowed=allowed)


def _end_with_parent() -> None:
    """Ends the process when the first one was killed, so that nothing writes beside a job that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(OSError):
            wait([parent.sentinel])
        os._exit(1)
