"""How a command of the runtime ends: an exit status, and one line instead of a stack trace for what went wrong."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

from ..errors import LitmusError

SOON_S = 0.01


def run_command(job: Callable[[TextIO], int], *, prints: bool = True) -> int:
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
        with _without_native_messages(), _interrupts_everywhere():
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


def exit_with(status: int) -> NoReturn:
    """Ends the process with a status; an interrupt that comes so late has nothing to stop any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


@contextlib.contextmanager
def _interrupts_everywhere() -> Iterator[None]:
    """Has an interrupt that comes while an object is removed stop the job all the same: Python only prints it there."""
    plain = sys.unraisablehook

    def again(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(SOON_S, os.kill, (os.getpid(), signal.SIGINT)).start()  # at once would be in here
        else:
            plain(unraisable)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = plain


@contextlib.contextmanager
def _without_native_messages() -> Iterator[None]:
    """Drops what native libraries write to standard error themselves; what Python writes there is written.

    A panic in tokenizers or an error in onnxruntime becomes one line of ours, and their own lines beside it may repeat
    a text. If a library ends the process instead, its last line is dropped, too, so Python says then which signal it
    was and where. Nothing is done where standard error is not the process's own, as in a test that captures it.
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
        with contextlib.suppress(OSError):  # of what was left in its buffer
            own.close()


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
