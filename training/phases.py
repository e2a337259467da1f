"""Logs what the command is doing and how long it took, where there is no progress bar; knows nothing of training."""

import contextlib
import logging
import time
from collections.abc import Iterator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Logs that a phase begins, and its time when it ends; of one that fails, the error is the end."""
    logger.info("%s ...", name)
    started = time.monotonic()
    yield
    logger.info("%s: %s", name, duration(time.monotonic() - started))


def duration(seconds: float) -> str:
    """Spells a time so that it is read at a glance: `0.4 s`, `59.9 s`, `4 min 5 s`, `2 h 3 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
