"""Runs a job: plans it, scores the parts that are missing, and records what was done.

A job can be interrupted at any moment, by kill -9 or a power failure. Started again, it goes on at the first part that
is not complete. At the end, the parts are equal byte for byte to those of a job that was never interrupted.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from ..classifier import Classifier
from ..cli.progress import Progress, say
from ..errors import InputError
from .output_folder import RECEIPTS, OutputFolder, Receipt
from .part import Job, PartScorer, TooManyRejectsError
from .plan import Part, differences, fingerprint, make_plan

RESUME_STATUS = 75  # EX_TEMPFAIL of sysexits.h: what the caller should do is to try again
SCHEMA = 1
TOO_MANY = "more than {} rows are rejected, see --max-rejects"


@dataclass(frozen=True)
class Limit:
    """How many rows may be rejected.

    Attributes:
        text: A number of rows, or percent of all rows, such as `100` or `0.5%`.
    """

    text: str

    def rows(self, total: int) -> int:
        """Returns the number of rows, of a total."""
        number = Decimal(self.text.removesuffix("%"))  # in floats, 0.57 % of 10,000 would be 56
        return int(number * total / 100 if self.text.endswith("%") else number)

    def __str__(self) -> str:
        return self.text


class RunParts(Protocol):
    """Scores parts, in any order, here or elsewhere."""

    def __call__(
        self, job: Job, parts: Sequence[Part], *, allowed: int | None, on_rows: Callable[[int], None], stop: "Stop"
    ) -> Iterator[Receipt]:
        """Yields the receipt of each part, until all are scored or `stop` is set.

        Args:
            job: The job.
            parts: The parts that are missing.
            allowed: Number of rejects that they may have; None for any.
            on_rows: Called with the number of rows when some are done.
            stop: Whether to start no more parts.
        """


class Stop:
    """Whether the job was asked to stop.

    Attributes:
        requested: Whether it was.
        then: Called when it is.
    """

    def __init__(self) -> None:
        self.requested = False
        self.then: Callable[[], None] = _raise_stopped

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Makes SIGTERM a request to stop: at once, and from `finish_parts` on when what was begun is finished."""

        def request(*_: object) -> None:
            self.requested = True
            self.then()

        before = signal.signal(signal.SIGTERM, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def finish_parts(self, then: Callable[[], None] = lambda: None) -> None:
        """Lets parts end from now on; `then` is called when the job is asked to stop."""
        self.then = then


class _StoppedError(Exception):
    """Ends the preparation of a job."""


def _raise_stopped() -> None:
    raise _StoppedError


def run_job(
    job: Job,
    *,
    rows_per_part: int,
    run: RunParts,
    record: Mapping[str, Any],
    max_rejects: Limit | None,
    restart: bool,
    quiet: bool,
) -> int:
    """Runs a job, or what is left of it.

    Args:
        job: The job.
        rows_per_part: Number of rows of a part.
        run: Scores the parts.
        record: What has to be the same when the job is resumed, ready for JSON.
        max_rejects: How many rows may be rejected; None for any, which is a failure all the same.
        restart: Whether to remove the output of an earlier job.
        quiet: Whether to print nothing on stderr.

    Returns:
        The exit status: 0; 1 if rows were rejected and `max_rejects` is None; 75 if the job was stopped by SIGTERM.

    Raises:
        InputError: An input or the output cannot be used, was changed, or is in use, or too many rows are rejected.
        LitmusError: As `PartScorer`.
    """
    stop, output = Stop(), job.output
    output.check()  # before anything is made in it, and again when no other job can change it
    with output.locked(), stop.on_signals():
        started = time.monotonic()
        try:
            output.check()
            parts, header = _prepare(job, rows_per_part, record, restart=restart, quiet=quiet)
            receipts = output.receipts(parts)
        except _StoppedError:
            return _stopped(restart=restart, quiet=quiet)
        stop.finish_parts()
        total = sum(part.span.rows for part in parts)
        allowed = None if max_rejects is None else max_rejects.rows(total)
        missing = [part for part in parts if part.number not in receipts]
        done = sum(receipt.rows for receipt in receipts.values())
        if receipts and missing:
            say(f"resuming: {done:,} of {total:,} rows are done", quiet=quiet)
        with Progress(quiet=quiet, total=total, done=done, noun="row") as progress:
            left = None if allowed is None else allowed - sum(item.rejected for item in receipts.values())
            _check_rejects(left, max_rejects)
            try:
                for receipt in run(job, missing, allowed=left, on_rows=progress.add, stop=stop):
                    receipts[receipt.part] = receipt
                    progress.failures += receipt.rejected
                    if left is not None:
                        left -= receipt.rejected
                        _check_rejects(left, max_rejects)
            except TooManyRejectsError as error:
                raise TooManyRejectsError(f"{TOO_MANY.format(max_rejects)}: {error}") from error
        ordered = [receipts[number] for number in sorted(receipts)]
        if len(ordered) < len(parts):
            return _stopped(restart=restart, quiet=quiet)
        output.clean(receipts)  # after a process that was killed while others went on
        output.collect_rejects(ordered)
        counts = _counts(ordered)
        output.write_run(header | {"state": "finished"} | counts)
        say(_summary(counts, output, time.monotonic() - started, total - done), quiet=quiet)
    return 1 if counts["rejected"] and max_rejects is None else 0


def run_here(
    job: Job,
    parts: Sequence[Part],
    *,
    allowed: int | None,
    on_rows: Callable[[int], None],
    stop: Stop,
    classifier: Classifier,
) -> Iterator[Receipt]:
    """Scores parts in this process, with a classifier; other arguments and results are those of `RunParts`."""
    with contextlib.closing(PartScorer(job, classifier)) as scorer:
        for part in parts:
            if stop.requested:
                return
            receipt = scorer.score(part, allowed=allowed, on_rows=on_rows)
            if allowed is not None:
                allowed -= receipt.rejected
            yield receipt


def _prepare(
    job: Job, rows_per_part: int, record: Mapping[str, Any], *, restart: bool, quiet: bool
) -> tuple[list[Part], dict[str, Any]]:
    """Returns the parts and the content of run.json; of an earlier job if there is one.

    Raises:
        InputError: The earlier job is another one.
    """
    output = job.output
    earlier = None if restart else output.read_run()
    inputs = [fingerprint(file, status) for file, status in zip(job.files, job.statuses, strict=True)]
    header: dict[str, Any] = {"schema": SCHEMA, **record, "rows_per_part": rows_per_part, "input": inputs}
    if earlier is not None:
        changed = list(differences({key: earlier.get(key) for key in header}, header))
        if changed:
            raise InputError(
                f"{output.path} is the output of another job: {'; '.join(changed):.800}. "
                "Choose another folder, or pass --restart to remove it"
            )
        sha256 = earlier.get("plan_sha256")
        return output.read_plan(sha256), header | {"plan_sha256": sha256}
    say("counting the rows", quiet=quiet)
    parts = make_plan(job.files, job.layouts, rows_per_part, typed=job.form == "parquet")
    if restart:  # not before the input is known to be readable
        output.clear()
    header["plan_sha256"] = output.write_plan(parts)
    rows = sum(part.span.rows for part in parts)
    output.write_run(header | {"state": "running", "rows": rows, "parts": len(parts)})
    return parts, header


def _stopped(*, restart: bool, quiet: bool) -> int:
    say(f"stopped; start the same command again{', without --restart,' * restart} to resume", quiet=quiet)
    return RESUME_STATUS


def _check_rejects(left: int | None, limit: Limit | None) -> None:
    if left is not None and left < 0:
        raise InputError(f"{TOO_MANY.format(limit)}; see the rejects in {RECEIPTS}")


def _counts(receipts: Sequence[Receipt]) -> dict[str, int]:
    return {
        "rows": sum(item.rows for item in receipts),
        "scored": sum(item.scored for item in receipts),
        "rejected": sum(item.rejected for item in receipts),
        "repeated": sum(item.repeated for item in receipts),
        "parts": len(receipts),
    }


def _summary(counts: Mapping[str, int], output: OutputFolder, elapsed_s: float, rows: int) -> str:
    """Returns the last line of a job."""
    text = f"{counts['rows']:,} rows = {counts['scored']:,} scored + {counts['rejected']:,} rejected"
    if counts["repeated"]:
        text += f"; {counts['repeated']:,} texts were repeated and not classified again"
    if rows:
        text += f"; {rows:,} rows in {elapsed_s:,.0f} s, {rows / max(elapsed_s, 1e-3):,.0f} a second"
    return f"{text}; output in {output.path}"
