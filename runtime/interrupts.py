"""Interrupts that Python would only print, because they come inside a `__del__` or a callback."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

DELAY_S = 0.01


@contextlib.contextmanager
def interrupts_everywhere() -> Iterator[None]:
    """Makes an interrupt stop the body even if it comes inside a `__del__`, where Python only prints it."""
    plain = sys.unraisablehook

    def repeat(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(
                DELAY_S, os.kill, (os.getpid(), signal.SIGINT)
            ).start()  # later, because now it would be raised in here
        else:
            plain(unraisable)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = plain
