"""Failures of tokenizers: a bare `Exception`, or a Rust panic, whose printed message may contain the text."""

import contextlib
import os
import threading
from collections.abc import Iterator

PANIC = b"\nthread '"  # the start of the message
_stderr_lock = threading.RLock()  # standard error belongs to the process


def is_tokenizer_failure(error: BaseException) -> bool:
    """Returns whether an error is a failure of tokenizers rather than an interrupt."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@contextlib.contextmanager
def silenced_panics() -> Iterator[None]:
    """Suppresses the messages of panics in the body (on Linux).

    Output of native code to file descriptor 2 is captured, and passed on up to the first panic. Only one thread at a
    time can do this, so use it only for a body that can panic.
    """
    with _stderr_lock, contextlib.ExitStack() as stack:
        try:
            captured = os.memfd_create("panics")
            stack.callback(os.close, captured)
            original = os.dup(2)
        except (AttributeError, OSError):  # not Linux, or no standard error
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
