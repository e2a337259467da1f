"""Reports what the command is doing: a progress bar for each phase on a terminal, lines in the log elsewhere."""

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Iterator

CLEAR = "\033[K"  # erases the rest of the terminal's line
REDRAW_S = 0.1
BAR_WIDTH = 20

logger = logging.getLogger(__name__)


class Phase:
    """A running phase. On a terminal it draws one line, which the next line of the log overwrites.

    Attributes:
        note: Shown behind the name, for example which epoch is running.
    """

    def __init__(self, name: str, total: int | None) -> None:
        """Starts the clock.

        Args:
            name: What is done.
            total: Steps until the phase is complete; None if that cannot be known, and there is no bar.
        """
        self.note = ""
        self._name = name
        self._drawn = sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)
        self._redrawn = 0.0
        self.expect(total)

    def expect(self, total: int | None, done: int = 0) -> None:
        """Sets the number of steps; the time left is estimated from here on.

        Args:
            total: As for the constructor.
            done: Steps that were done before, in an interrupted run.
        """
        self._total, self._done, self._first = total, done, done
        self._started = time.monotonic()
        self._draw()

    def advance(self, steps: int = 1) -> None:
        """Counts steps that are done."""
        self._done += steps
        if time.monotonic() - self._redrawn >= REDRAW_S:
            self._draw()

    def close(self) -> None:
        """Erases the line."""
        if self._drawn:
            self._write(CLEAR)

    def _draw(self) -> None:
        if self._drawn:
            self._redrawn = time.monotonic()
            width = shutil.get_terminal_size((100, 24)).columns - 1
            self._write(f"{self._line()[:width]}{CLEAR}\r")

    def _line(self) -> str:
        name = f"{self._name}, {self.note}" if self.note else self._name
        if not self._total:
            return f"{name} ..."
        share = min(1.0, self._done / self._total)
        filled = round(share * BAR_WIDTH)
        line = f"{name} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {share:4.0%}"
        if self._done == self._first:
            return line
        elapsed_s = time.monotonic() - self._started
        minutes, seconds = divmod(round(elapsed_s * (self._total - self._done) / (self._done - self._first)), 60)
        return f"{line}, {minutes // 60}:{minutes % 60:02}:{seconds:02} left"

    @staticmethod
    def _write(content: str) -> None:
        sys.stderr.write(content)
        sys.stderr.flush()


@contextlib.contextmanager
def phase(name: str, total: int | None = None) -> Iterator[Phase]:
    """Reports a phase: a bar on a terminal, elsewhere a line when it begins; then a line with its time.

    A phase that fails has no such line; the error follows.

    Args:
        name: What is done.
        total: Steps until it is complete, if that is known.
    """
    if not sys.stderr.isatty():
        logger.info("%s ...", name)
    started = time.monotonic()
    running = Phase(name, total)
    try:
        yield running
    finally:
        running.close()
    logger.info("%s: %s", name, duration(time.monotonic() - started))


def duration(seconds: float) -> str:
    """Formats a time for people: `0.4 s`, `59.9 s`, `4 min 5 s`, `2 h 3 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
