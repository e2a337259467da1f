"""How a command of the runtime ends: an exit status, and one line instead of a stack trace for what went wrong."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from .errors import LitmusError


def exit_status(job: Callable[[TextIO], int], *, prints: bool = True) -> int:
    """Runs a command's job and returns the exit status: 0, 1 if anything failed, 130 if it was interrupted.

    Args:
        job: Receives standard output, in UTF-8; returns how much failed.
        prints: The job needs standard output.
    """
    _fill_descriptors()
    if sys.stderr is None:  # closed; print would write to standard output instead, among the data
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        if prints:
            print("error: standard output is closed; there is nowhere to write to", file=sys.stderr)
            return 1
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return 1 if job(sys.stdout) else 0
    except LitmusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: there is not enough memory; allow the process more", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head -1`: the reader has what it wanted
        discard_output()
        return 0
    except OSError as error:
        discard_output()
        print(f"error: reading or writing failed: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        discard_output()
        return 130


def _fill_descriptors() -> None:
    """Opens the null device in the place of standard streams that are closed, before a file of ours takes it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def discard_output() -> None:
    """Sends what is still buffered nowhere, so that the interpreter does not complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
