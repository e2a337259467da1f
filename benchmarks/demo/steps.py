"""Runs commands as a step: one line on stderr, and everything that the commands print in a log file.

Needs only the standard library, because `make setup` uses it before anything is installed.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

INTERVAL_S = 0.5
TAIL_LINES = 15
CLEAR_LINE = "\r\033[K"


class StepError(Exception):
    """A command of a step failed; the step's line and the end of the log have been shown.

    Attributes:
        status: Exit status of the command.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


def run_step(
    title: str,
    commands: Sequence[Sequence[str]],
    log: Path,
    *,
    result: Callable[[int, str], str] = lambda _status, _output: "done",
    accept: Sequence[int] = (0,),
) -> None:
    """Runs commands one after the other, and shows one line with their result and the time they took.

    On a terminal the line shows the elapsed time while a command runs.

    Args:
        title: Start of the line.
        commands: Commands and their arguments.
        log: File to append the commands and their output to.
        result: Returns the text to show, from the last command's exit status and output.
        accept: Exit statuses that mean success.

    Raises:
        StepError: A command ended with another status.
    """
    live = sys.stderr.isatty()
    start = time.monotonic()
    _show(f"{title}  ..." if live else f"{title}  ")
    for command in commands:
        try:
            status, output = _run(command, log, f"{CLEAR_LINE}{title}  ... {{}}" if live else "", start)
        except KeyboardInterrupt:
            _show("\ninterrupted\n")
            raise
        if status not in accept:
            break
    _show(f"{CLEAR_LINE}{title}  " if live else "")
    elapsed = duration(time.monotonic() - start)
    if status not in accept:
        _show(f"failed with exit status {status} ({elapsed})\n\nThe last lines of {log}:\n\n{_tail(output)}")
        raise StepError(status)
    _show(f"{result(status, output)} ({elapsed})\n")


def _run(command: Sequence[str], log: Path, line: str, start: float) -> tuple[int, str]:
    """Runs a command; returns its exit status and what it printed."""
    with log.open("a+b") as file:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        output_start = file.tell()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT) as process:
            while True:
                try:
                    status = process.wait(INTERVAL_S)
                    break
                except subprocess.TimeoutExpired:
                    _show(line.format(duration(time.monotonic() - start)))
        file.seek(output_start)
        return status, file.read().decode("utf-8", "replace")


def duration(seconds: float) -> str:
    """Formats a time: `9 s`, `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _tail(output: str) -> str:
    """Returns the last lines, indented. Of a line that a progress bar redraws, only the last state is kept."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in output.rstrip().split("\n")]
    return "".join(f"    {line}\n" for line in lines[-TAIL_LINES:])


def _show(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
