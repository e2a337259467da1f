"""Runs a command: exit status, one line per error instead of a stack trace, closed pipes, interrupts."""

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

from ..errors import LitmusError
from ..interrupts import interrupts_everywhere


def run_command(job: Callable[[TextIO], int], *, prints: bool = True, has_children: bool = False) -> int:
    """Runs a job and returns the exit status: the job's, 1 if it raised an error, 130 if it was interrupted.

    Args:
        job: Receives standard output, in UTF-8, and returns the exit status.
        prints: Whether the job needs standard output.
        has_children: Whether the job starts processes that write to this one's standard error. They have to drop native
            messages themselves.
    """
    _fill_descriptors()
    if sys.stderr is None:  # if it is closed, print would write to standard output
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        if prints:
            print("error: standard output is closed; there is nowhere to write to", file=sys.stderr)
            return 1
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with contextlib.nullcontext() if has_children else _without_native_messages(), interrupts_everywhere():
            return job(sys.stdout)
    except LitmusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: there is not enough memory; allow the process more", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head -1`: the reader has read enough
        discard_output()
        return 0
    except OSError as error:
        discard_output()
        print(f"error: reading or writing failed: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        discard_output()
        return 130


def exit_with(status: int) -> NoReturn:
    """Exits with a status, and ignores an interrupt that comes now, because the job is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


@contextlib.contextmanager
def _without_native_messages() -> Iterator[None]:
    """Drops what native libraries write to standard error, and keeps what Python writes there.

    A panic in tokenizers or an error in onnxruntime becomes one error line of Litmus, because the lines that these
    libraries print may repeat a text. If a library kills the process, its last line is dropped as well, so Python's
    fault handler prints the signal and the position. Where standard error is not the process's own, as in a test that
    captures it, this does nothing.
    """
    plain = sys.stderr
    if plain is not sys.__stderr__ or plain is None or plain.fileno() != 2:
        yield
        return
    watched = faulthandler.is_enabled()
    own = open(os.dup(2), "w", buffering=1, encoding=plain.encoding, errors=plain.errors)  # noqa: PTH123, SIM115
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(own, all_threads=False)
    sys.stderr = own
    try:
        yield
    finally:
        sys.stderr = plain
        os.dup2(own.fileno(), 2)
        faulthandler.disable()
        if watched:
            faulthandler.enable()
        with contextlib.suppress(OSError):  # flushing its buffer may fail
            own.close()


def _fill_descriptors() -> None:
    """Opens the null device in the place of closed standard streams, before another file takes their descriptors."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor


def discard_output() -> None:
    """Drops what is still buffered for standard output, so that the interpreter does not report it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
