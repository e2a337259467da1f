"""Failures of tokenizers: a bare `Exception`, or a Rust panic, which also prints a message that may hold the text."""

import contextlib
import os
import threading
from collections.abc import Iterator

PANIC = b"\nthread '"  # how the message begins
_one_at_a_time = threading.RLock()  # standard error belongs to the process


def is_tokenizer_failure(error: BaseException) -> bool:
    """Tells a failure of tokenizers, which raises bare `Exception` or a Rust panic, from an interruption."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@contextlib.contextmanager
def silenced_panics() -> Iterator[None]:
    """Keeps the messages of panics in the body off standard error.

    What native code writes to file descriptor 2 meanwhile is held back, and passed on up to the first panic (on Linux).
    Threads take turns, so this is for bodies that are known to be able to panic.
    """
    with _one_at_a_time, contextlib.ExitStack() as stack:
        try:
            captured = os.memfd_create("panics")
            stack.callback(os.close, captured)
            original = os.dup(2)
        except (AttributeError, OSError):  # no Linux, or no standard error
            yield
            return
        stack.callback(os.close, original)
        os.dup2(captured, 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            content = os.pread(captured, os.fstat(captured).st_size, 0)
            printed = content[: content.find(PANIC)] if PANIC in content else content
            with contextlib.suppress(OSError):
                os.write(2, printed)
